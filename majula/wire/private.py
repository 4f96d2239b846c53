"""Private messages as JSON packages and back, the gateway's side of it.

A client that says only SEND leaves all else to its gateway: the package becomes a REQUEST `messages.send`, and what comes for it
is PRIVATE_MESSAGE and nothing more. A client that runs the flow itself (REGISTER_CLIENT with `args.flows: true`) puts `flow`,
`sequence`, `oldest` and `ttl_ms` beside `args`, finds them beside the `args` of what comes, and acknowledges by RECEIPT:

    {"method": "SEND", "flow": 7, "sequence": 1, "oldest": 1, "ttl_ms": 60000,
     "args": {"target_node": "", "target_client": "bob", "content": {...}}}
    {"method": "PRIVATE_MESSAGE", "flow": 7, "sequence": 1, "oldest": 1, "ttl_ms": 60000,
     "args": {"source_node": "n1", "source_client": "ann", "message_id": "7-1", "message": {...}}}
    {"method": "RECEIPT", "flow": 7, "args": {"target_node": "n1", "target_client": "ann", "up_to": 1}}

Without `content` (`message`) such a package is a run that holds nothing: it says what `oldest` is. The message is moved as the
text that came.
"""

from __future__ import annotations

from typing import Any

import msgspec

from majula.errors import InvalidRequest
from majula.flow import message_id
from majula.wire.frames import encode_frame, encode_run, split_run
from majula.wire.headers import JSON, Receipt, Request, Send
from majula.wire.package import ABSENT, Package, to_json_text

SEND = "messages.send"
BROADCAST = "messages.broadcast"


class _Sent(msgspec.Struct):
    """args of SEND and BROADCAST."""

    target_node: str = ""
    target_client: str | None = None
    content: msgspec.Raw = ABSENT
    ttl_s: float = 60.0
    wait_s: float = 2.0


class _Received(msgspec.Struct):
    """args of RECEIPT."""

    target_client: str
    up_to: int
    target_node: str = ""
    received: tuple[int, ...] = ()
    state: str = "delivered"
    code: str = ""
    via: str = ""


_encode = msgspec.json.Encoder().encode
_decode_sent = msgspec.json.Decoder(_Sent).decode
_decode_received = msgspec.json.Decoder(_Received).decode


def asked_of_gateway(package: Package, number: int) -> bytes:
    """SEND without a flow, or BROADCAST, as the REQUEST that asks the gateway for it.

    Raises:
        InvalidRequest: nobody is named.
        msgspec.DecodeError: args of wrong types.
    """
    args = _decode_sent(bytes(package.args) or b"{}")
    fields: dict[str, Any] = {"node": args.target_node, "ttl_s": args.ttl_s}
    # Who gives no id hears no verdict: nothing has to wait for one.
    fields["wait_s"] = args.wait_s if package.id is not ABSENT else 0.0
    if args.content is not ABSENT:
        fields["message"] = args.content
    if package.headers:
        fields["headers"] = package.headers
    operation = BROADCAST
    if package.method == "SEND":
        if args.target_client is None:
            raise InvalidRequest("args.target_client is missing; empty text means every client of the node")
        if args.target_client:
            operation = SEND
            fields["client"] = args.target_client
    return encode_frame(Request(number, operation, JSON), _encode(fields))


def sent(package: Package) -> bytes:
    """SEND of a client that runs the flow itself.

    Raises:
        InvalidRequest: nobody is named.
        msgspec.DecodeError: args of wrong types.
    """
    args = _decode_sent(bytes(package.args) or b"{}")
    if not args.target_client:
        raise InvalidRequest("args.target_client is missing; BROADCAST is for all of them")
    header = Send(
        args.target_client,
        args.target_node,
        package.flow,
        package.sequence,
        package.oldest,
        package.ttl_ms,
        JSON,
        headers=package.headers,
    )
    return encode_frame(header, b"" if args.content is ABSENT else encode_run([bytes(args.content)]))


def receipt(package: Package) -> bytes:
    """RECEIPT.

    Raises:
        msgspec.DecodeError: args of wrong types.
    """
    args = _decode_received(bytes(package.args) or b"{}")
    header = Receipt(
        args.target_client, args.target_node, package.flow, args.up_to, args.received, args.state, args.code, via=args.via
    )
    return encode_frame(header)


def packages_of_send(header: Send, body: bytes, *, with_flow: bool) -> list[bytes]:
    """PRIVATE_MESSAGE for each message of a run. `with_flow`: the client runs the flow itself."""
    beside = b""
    if with_flow:
        beside = b',"flow":%d,"oldest":%d,"ttl_ms":%d' % (header.flow, header.oldest, header.ttl_ms)
        if header.via:
            beside += b',"via":' + _encode(header.via)
    if header.headers:
        beside += b',"headers":' + _encode(header.headers)
    source = b'"source_node":%b,"source_client":%b' % (_encode(header.source_node), _encode(header.source))
    packages: list[bytes] = []
    for sequence, message in enumerate(split_run(body), header.sequence):
        text = to_json_text(header.encoding, message) or b"null"
        own = beside + b',"sequence":%d' % sequence if with_flow else beside
        named = _encode(message_id(header.flow, sequence))
        packages.append(b'{"method":"PRIVATE_MESSAGE"%b,"args":{%b,"message_id":%b,"message":%b}}' % (own, source, named, text))
    if not packages and with_flow:
        packages.append(b'{"method":"PRIVATE_MESSAGE"%b,"sequence":%d,"args":{%b}}' % (beside, header.sequence, source))
    return packages


def package_of_receipt(header: Receipt) -> bytes:
    """RECEIPT for a client that runs its flows itself."""
    args: dict[str, Any] = {"source_node": header.source_node, "source_client": header.source, "up_to": header.up_to}
    if header.received:
        args["received"] = header.received
    args["state"] = header.state
    if header.code:
        args["code"] = header.code
    return _encode({"method": "RECEIPT", "flow": header.flow, "args": args})


def package_of_verdict(id: bytes, result: bytes) -> bytes:
    """ACK of a SEND or BROADCAST that the gateway did; `id` and `result` are JSON texts."""
    return b'{"method":"ACK","id":%b,"result":%b}' % (id, result)
