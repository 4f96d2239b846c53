"""A TLS context from the files that the operator names."""

from __future__ import annotations

import os
import ssl
import stat

from majula.errors import ConfigError


def server_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate, for HTTP/1.1 and the native port. Reads two small files.

    Raises:
        ConfigError: a file cannot be read, they do not belong together, or others than its owner may read the key.
    """
    try:
        mode = stat.S_IMODE(os.stat(key_file).st_mode)
    except OSError as error:
        raise ConfigError(f"the key {key_file} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(f"the key {key_file} can be read by others (mode {mode:04o}): chmod 600 it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Of 1.2: a client that asks for new keys again and again would make the gateway work for nothing (A23's renegotiation).
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A passphrase is not asked for on the terminal: the empty one does not open the key.
        context.load_cert_chain(cert_file, key_file, password="")
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or "no key and certificate that belong together"
        raise ConfigError(f"the certificate {cert_file} with the key {key_file} cannot be used: {reason}") from error
    return context
