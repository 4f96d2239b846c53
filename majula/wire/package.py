"""One JSON package: what can stand in it, and the texts of those that a gateway writes. `packages` turns them into frames."""

from __future__ import annotations

from typing import Any

import msgspec

from majula.errors import InvalidRequest, MajulaError
from majula.wire import headers, jsontext
from majula.wire.headers import Encoding, Fault
from majula.wire.values import to_json

NOT_BUILT = frozenset(
    {
        "REGISTER_FRP",
        "REGISTER_FRP_WITH_ADDR",
        "START_FRP_LISTENER_WITH_REGISTRATION",
        "START_FRP_LISTENER_WITHOUT_REGISTRATION",
        "START_FRP_LISTENER_WITH_LOCAL_ADDR",
        "REGISTER_NGINX_FRP_AND_RUN",
        "UNREGISTER_NGINX_FRP",
        "UPLOAD_FILE",
        "DOWNLOAD_FILE",
        "JOIN_RAFT_LEARNER",
        "JOIN_RAFT_LEARNER_WITH_FAST_SYNC",
        "LEAVE_RAFT_LEARNER",
        "PUT_IN_GROUP",
        "DELETE_FROM_GROUP",
        "GET_FROM_GROUP",
        "JOIN_ELECTION",
        "GIVEUP_ELECTION",
        "LEAVE_ELECTION",
        "GET_ELECTION_STATUS",
        "CONNECT_TO_NODE",
    }
)
"""Methods that belong to the API and are answered by ERROR `not_built` in this version."""

_MAX_ID_BYTES = 256
_SPACES = frozenset({b" ", b"\t", b"\r", b"\n"})
ABSENT = msgspec.Raw(b"")
"""What stands for a field that did not come: compare by identity."""


class Package(msgspec.Struct):
    """One package as it came. `args`, `result`, `id`, `error` stay text."""

    method: str
    topic: str = ""
    fun: str = ""
    args: msgspec.Raw = ABSENT
    invokeid: int | None = None
    result: msgspec.Raw = ABSENT
    id: msgspec.Raw = ABSENT
    queue: str = ""
    pattern: bool = False
    retained: bool = False
    sync: bool = False
    retain: bool = False
    ack: bool = False
    headers: dict[str, str] | None = None
    timeout_ms: int = 10_000
    idempotent: bool = False
    provider: str = ""
    node: str = ""
    ok: bool = True
    error: msgspec.Raw = ABSENT
    packages: list[msgspec.Raw] | None = None
    operation: str = ""
    flow: int = 0
    sequence: int = 0
    oldest: int = 1
    ttl_ms: int = 60_000


class Bare(msgspec.Struct):
    """As much of a package as can be read when the rest has wrong types."""

    method: str = ""
    id: msgspec.Raw = ABSENT


class Registration(msgspec.Struct):
    """args of REGISTER_RPC."""

    parameters: list[headers.Parameter] | None = None
    results: list[headers.Parameter] | None = None
    note: str = ""


class Failure(msgspec.Struct):
    """`error` of a RETURN_RESULT with `ok: false`."""

    code: str = "remote_error"
    message: str = ""
    type: str = "Exception"


class Naming(msgspec.Struct):
    """args of REGISTER_CLIENT."""

    client_id: str = ""
    secret: str = ""
    flows: bool = False


_encode = msgspec.json.Encoder().encode
decode_package = msgspec.json.Decoder(Package).decode
_decode_bare = msgspec.json.Decoder(Bare).decode
decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_text = msgspec.json.Decoder(str).decode
decode_registration = msgspec.json.Decoder(Registration).decode
decode_failure = msgspec.json.Decoder(Failure).decode
decode_named = msgspec.json.Decoder(Naming).decode


def error_package(error: MajulaError, *, method: str = "", id: bytes = b"") -> bytes:
    """ERROR; `id` is JSON text."""
    fields: dict[str, Any] = {"method": "ERROR"}
    if id:
        fields["id"] = msgspec.Raw(id)
    if method:
        fields["refused"] = method[:128]
    return _encode(fields | error.to_dict())


def is_object(text: bytes | msgspec.Raw) -> bool:
    """A JSON text that is an object, by its first character."""
    raw = bytes(text)
    return raw[:1] == b"{" or (raw[:1] in _SPACES and raw.lstrip(b" \t\r\n")[:1] == b"{")


def to_json_text(encoding: Encoding, payload: bytes) -> bytes:
    """The payload as JSON text. One that has no JSON form comes as its bytes in base64: nothing is lost or refused late."""
    try:
        return bytes(to_json(encoding, payload))
    except InvalidRequest:
        return bytes(to_json(headers.RAW, payload))


def client_named(text: bytes) -> tuple[str, str, bool] | None:
    """(client_id, secret, does it run the flows of its private messages) where a text is a REGISTER_CLIENT package, or a BATCH
    that begins with one: what names a session whose path gave no id."""
    try:
        package = decode_package(text)
        if package.method == "BATCH" and package.packages:
            package = decode_package(package.packages[0])
        if package.method != "REGISTER_CLIENT":
            return None
        named = decode_named(bytes(package.args) or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return named.client_id, named.secret, named.flows


def check_id(id: bytes) -> None:
    """An `id` as JSON text.

    Raises:
        InvalidRequest: neither a number nor a short text.
    """
    if len(id) > _MAX_ID_BYTES or id[:1] in b"[{":
        raise InvalidRequest(f"id is a number or a text of at most {_MAX_ID_BYTES} bytes")


def returned_id(id: bytes) -> bytes:
    """The `id` of a text that was refused before it was checked; empty where it is none that a client could find again."""
    try:
        check_id(id)
        jsontext.check(id)
    except InvalidRequest:
        return b""
    return id


def result_package(function: str, invokeid: int | None, fault: Fault | None, result: bytes) -> bytes:
    """RPC_RESULT. Where the call failed, the reason stands in `result.error` too: programs of the inner circle look there."""
    start = b'{"method":"RPC_RESULT","fun":' + _encode(function)
    if invokeid is not None:
        start += b',"invokeid":%d' % invokeid
    if fault is None:
        return start + (b',"ok":true}' if result in {b"", b"null"} else b',"result":%b,"ok":true}' % result)
    error = {"code": fault.code, "type": fault.type, "message": fault.message}
    if fault.retry_after_s:
        error |= {"retry_after_s": fault.retry_after_s}  # type: ignore[dict-item] # one number among texts
    return start + b',"result":%b,"ok":false,"error":%b}' % (_encode({"error": fault.message or fault.code}), _encode(error))


def unreadable(text: bytes, error: Exception) -> bytes:
    """ERROR for a text that is no package, with as much of method and id as could be read."""
    invalid = error if isinstance(error, InvalidRequest) else InvalidRequest(f"this package cannot be read: {error}")
    try:
        known = _decode_bare(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        known = Bare()
    return error_package(invalid, method=known.method, id=returned_id(bytes(known.id)))
