"""How a scalar of the file becomes a value: durations, sizes, names, addresses. Each reader raises ValueError with one sentence.

The schema names a reader by `kind` in the field's metadata; `READERS` is the table of all kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from majula.config.document import quote

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNIT_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ns|us|ms|s|m|h)){1,6}")
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|ms|s|m|h)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?(B|KiB|MiB|GiB|kB|MB|GB)")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ROLE = re.compile(r"[a-z_]{1,64}(?::[A-Za-z0-9._-]{1,128})?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def duration(value: object) -> float:
    """Seconds. A number counts seconds; a text carries its unit: ``"30s"``, ``"500ms"``, ``"1m30s"``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(value))
    else:
        raise ValueError(f"expected a duration such as 30s, 500ms or 1m30s, got {quote(value)}")
    if seconds < 0:
        raise ValueError(f"a duration is not negative, got {quote(value)}")
    return seconds


def size(value: object) -> int:
    """Bytes. A number counts bytes; a text carries its unit: ``"4 MiB"``, ``"64KiB"``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"expected a size such as 65536, 64 KiB or 4 MiB, got {quote(value)}")
    return int(float(found.group(1)) * _UNIT_BYTES[found.group(2)])


def name(value: object) -> str:
    """A node, group or service name."""
    text = _text(value, "a name")
    if not _NAME.fullmatch(text) or text in (".", ".."):
        raise ValueError(f"a name has 1 to 128 of A-Z a-z 0-9 . _ -, got {quote(text)}")
    return text


def secret(value: object) -> str:
    """A secret: any text. It is never shown."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty: put it in quotes")
    return value


def path(value: object) -> str:
    """A path of the file system; relative ones start at the working directory of the node."""
    text = _text(value, "a path")
    if not text or "\n" in text:
        raise ValueError(f"expected a path, got {quote(text)}")
    return text


def address(value: object) -> str:
    """``host:port``, the host an IP address (IPv6 in brackets) or a name."""
    text = _text(value, "an address such as 127.0.0.1:29090")
    split_address(text)
    return text


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``. Raises ValueError with a sentence for the reader of a configuration file."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        is_host = _is_ip(host) and ":" in host
    else:
        is_host = bool(_HOST.fullmatch(host))
    if not colon or not is_host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"expected an address such as 127.0.0.1:29090, got {quote(text)}")
    return host, int(port)


def tcp_listener(value: object) -> str:
    """``off``, or the address that the native port listens on by TCP."""
    return "off" if value in ("off", False) else address(value)


def unix_listener(value: object) -> str:
    """``off``, or the path of a Unix socket."""
    return "off" if value in ("off", False) else path(value)


def ip(value: object) -> str:
    """An IP address. Names are not taken: what a listener binds must not depend on a resolver."""
    text = _text(value, "an IP address")
    if not _is_ip(text):
        raise ValueError(f"expected an IP address such as 127.0.0.1, got {quote(text)}")
    return text


def network(value: object) -> str:
    """An IP address or a network in CIDR form."""
    text = _text(value, "an IP address or network")
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"expected an address or network such as 192.168.1.0/24, got {quote(text)}") from None
    return text


def host(value: object) -> str:
    """A host name or address as it stands in a Host header, without a port, in lower case."""
    text = _text(value, "a host name")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not (_HOST.fullmatch(text) or (bare != text and _is_ip(bare))):
        raise ValueError(f"expected a host name without scheme and port, such as node.example.org, got {quote(text)}")
    return text.lower()


def origin(value: object) -> str:
    """A web origin: scheme, host and, where it is not the scheme's own, port. ``*`` is refused: it would let every site in."""
    text = _text(value, "an origin")
    try:
        parts = urlsplit(text)
        has_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_place, parts = False, urlsplit("")
    is_bare = f"{parts.scheme}://{parts.netloc}" == text and "@" not in parts.netloc and text.isprintable() and " " not in text
    if not has_place or not is_bare or parts.scheme not in ("http", "https"):
        raise ValueError(f"expected an origin such as https://app.example.org, without a path, got {quote(text)}")
    return text.lower()


def websocket_url(value: object) -> str:
    """A ``ws://`` or ``wss://`` address with a host."""
    text = _text(value, "a WebSocket address")
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("ws", "wss") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url or not text.isprintable() or " " in text:
        raise ValueError(f"expected an address such as ws://localhost:8080/ws, got {quote(text)}")
    return text


def role(value: object) -> str:
    """A role of the node, `gateway:18080`, or a kind of them, `gateway`."""
    text = _text(value, "a role")
    if not _ROLE.fullmatch(text):
        raise ValueError(f"expected a role such as router or gateway:18080, got {quote(text)}")
    return text


def optional_path(value: object) -> str:
    """A path, or an empty text for none."""
    return "" if value == "" else path(value)


def any_origin(value: object) -> str:
    """A web origin, or `*` for every one."""
    return "*" if value == "*" else origin(value)


READERS: dict[str, Callable[[object], str | int | float]] = {
    "duration": duration,
    "size": size,
    "name": name,
    "secret": secret,
    "path": path,
    "address": address,
    "tcp_listener": tcp_listener,
    "unix_listener": unix_listener,
    "ip": ip,
    "network": network,
    "host": host,
    "origin": origin,
    "websocket_url": websocket_url,
    "role": role,
    "optional_path": optional_path,
    "any_origin": any_origin,
}
"""What the schema may name as a field's `kind`."""


def is_loopback(text: str) -> bool:
    """Whether the IP address can only be reached from this machine. ``::ffff:127.0.0.1`` counts as what it maps to."""
    found = ip_address(text)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone names an interface: not a plain address


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {what}, got {quote(value)}: put it in quotes if it is text")
    return value
