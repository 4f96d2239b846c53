"""The headers of all frames: one typed struct a frame type, encoded as a msgpack array `[type, field, field, ...]`.

Trailing fields that have their default may be left out by a sender; a receiver ignores fields beyond those it knows, so a field
can be added at the end of a header without a new protocol version. The direction is noted at each class: C client, G gateway;
between two gateways of a node the same frames travel.

A frame with a `request` other than 0 is answered by exactly one frame that carries the same number: ACK, REPLY or ERROR. With 0
nothing is answered unless it is refused, then ERROR says so with `method` set.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PROTOCOL_VERSION = 1

Encoding = Literal[0, 1, 2]
"""What the payload bytes are: RAW is bytes that only the application understands."""

RAW: Encoding = 0
MSGPACK: Encoding = 1
JSON: Encoding = 2

RETAIN = 1
"""Bit of `Publish.flags`: keep the last message of the run as the topic's retained value (an empty payload removes it)."""

RETAINED = 2
"""Bit of `Publish.flags`, set by a gateway: this is a retained value sent at subscription, not a new publication."""


FAULT_CHARACTERS = 8_192
"""Of a fault's message; longer ones are cut. In UTF-8 at most half of what a header holds."""
_NAME_CHARACTERS = 256
_RETRY_LIMIT_S = 3_600.0


class Header(msgspec.Struct, array_like=True, frozen=True):
    """Base of all headers."""


class Hello(Header, frozen=True, array_like=True, tag=1):
    """C>G, first frame of a connection; nothing else is served before it.

    version: highest protocol version the client speaks.
    client_id: the id wanted, empty: the gateway makes one.
    secret: what WELCOME gave to the session that holds `client_id`; it takes the id over.
    token: bearer token, empty where the gateway has `auth: none`.
    agent: free text for `status`, such as `majula-python/0.1.0`.
    """

    version: int
    client_id: str = ""
    secret: str = ""
    token: str = ""
    agent: str = ""

    def __repr__(self) -> str:
        """Without what nobody is to read in a log."""
        return f"Hello(version={self.version}, client_id={self.client_id!r}, agent={self.agent!r})"


class Welcome(Header, frozen=True, array_like=True, tag=2):
    """G>C, answer to HELLO. `limits` names what this gateway allows (`message_bytes`, `pending_calls` ...)."""

    version: int
    node_id: str
    client_id: str
    secret: str
    gateway: str
    limits: dict[str, int] = {}

    def __repr__(self) -> str:
        """Without what nobody is to read in a log."""
        return (
            f"Welcome(version={self.version}, node_id={self.node_id!r}, client_id={self.client_id!r}, gateway={self.gateway!r})"
        )


class Publish(Header, frozen=True, array_like=True, tag=3):
    """C>G a run of messages for one topic; G>C the same bytes to each subscriber, which matches `topic` to its own subscriptions.

    The body is a run: (u32 little-endian length, bytes) for each message.
    queue: set by the gateway where the run is for this client's membership in that queue group, and for it alone.
    headers: application headers, common to the run.
    """

    topic: str
    encoding: Encoding = 0
    flags: int = 0
    request: int = 0
    queue: str = ""
    headers: dict[str, str] | None = None


class Subscribe(Header, frozen=True, array_like=True, tag=4):
    """C>G. `pattern` gives `*` and `>` their meaning. `retained` asks for the retained values that match. `sync`: ACK only when
    the subscription is in force at every gateway of every reachable node."""

    request: int
    topic: str
    pattern: bool = False
    queue: str = ""
    retained: bool = False
    sync: bool = False


class Unsubscribe(Header, frozen=True, array_like=True, tag=5):
    """C>G. Ends the subscription of the same (topic, pattern, queue)."""

    request: int
    topic: str
    pattern: bool = False
    queue: str = ""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter or result of a function, for people and generators: name, type in words, note."""

    name: str
    type: str = ""
    note: str = ""


class Register(Header, frozen=True, array_like=True, tag=6):
    """C>G. Offer a function; again with the same name replaces it. `sync` as in SUBSCRIBE."""

    request: int
    function: str
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Parameter, ...] = ()
    note: str = ""
    idempotent: bool = False
    sync: bool = False


class Unregister(Header, frozen=True, array_like=True, tag=7):
    """C>G."""

    request: int
    function: str


class Call(Header, frozen=True, array_like=True, tag=8):
    """C>G a call, body = arguments; G>C the same to the provider, with the gateway's `call` and the true `source`.

    call: chosen by the sender, unique among its open calls, more than 0.
    timeout_ms: milliseconds left until the deadline, at the time of sending.
    provider: client id of the wanted provider, `init` for the node's own; empty: the gateway chooses.
    node: node id, empty: any.
    idempotent: the caller allows another provider to be tried after a failure.
    source: client id of the caller; what a client writes here is overwritten.
    """

    call: int
    function: str
    encoding: Encoding = 0
    timeout_ms: int = 10_000
    provider: str = ""
    node: str = ""
    idempotent: bool = False
    source: str = ""
    headers: dict[str, str] | None = None


class Fault(msgspec.Struct, array_like=True, frozen=True):
    """Why a call failed: stable code (`remote_error`: the handler raised), the exception's type, its message."""

    code: str
    message: str = ""
    type: str = ""
    retry_after_s: float = 0.0

    def cut(self) -> Fault:
        """The same, its texts cut to `FAULT_CHARACTERS` and less, so that it fits into any header: a caller is owed the answer,
        however much a provider has to say. A time that is none (negative, not a number, over an hour) is left out."""
        retry_after_s = self.retry_after_s if 0.0 <= self.retry_after_s <= _RETRY_LIMIT_S else 0.0
        return Fault(self.code[:_NAME_CHARACTERS], self.message[:FAULT_CHARACTERS], self.type[:_NAME_CHARACTERS], retry_after_s)


class Result(Header, frozen=True, array_like=True, tag=9):
    """C>G from the provider, G>C to the caller. Body = result where `fault` is None."""

    call: int
    encoding: Encoding = 0
    fault: Fault | None = None


class Cancel(Header, frozen=True, array_like=True, tag=10):
    """C>G the caller no longer wants the answer; G>C to the provider. Never answered."""

    call: int


class Request(Header, frozen=True, array_like=True, tag=11):
    """C>G any other operation by its declared name (`rpc.services`, `node.info` ...); body = its parameters, encoded as said."""

    request: int
    operation: str
    encoding: Encoding = 1


class Reply(Header, frozen=True, array_like=True, tag=12):
    """G>C answer to REQUEST; body = the operation's answer."""

    request: int
    encoding: Encoding = 1


class Ack(Header, frozen=True, array_like=True, tag=13):
    """G>C. `guarantee` says what holds now: `gateway` or `everywhere` (SUBSCRIBE, REGISTER), `accepted` (PUBLISH)."""

    request: int
    guarantee: str = ""


class Error(Header, frozen=True, array_like=True, tag=14):
    """G>C. The request was refused, or (request 0) the frame type `method` was. Before a close it says why."""

    request: int
    code: str
    message: str
    detail: dict[str, object] = {}
    method: str = ""


class Ping(Header, frozen=True, array_like=True, tag=15):
    """Both ways; answered by PONG with the same number."""

    number: int = 0


class Pong(Header, frozen=True, array_like=True, tag=16):
    """Both ways."""

    number: int = 0


class Slow(Header, frozen=True, array_like=True, tag=17):
    """G>C, in the stream at the place of the gap: this client read too slowly and so many messages were dropped here."""

    dropped_messages: int
    dropped_bytes: int = 0


class Reconnect(Header, frozen=True, array_like=True, tag=18):
    """G>C. The gateway is about to stop: finish what is open and connect again after `after_ms`."""

    after_ms: int = 0
    reason: str = ""


class Bye(Header, frozen=True, array_like=True, tag=19):
    """C>G. The session ends for good; without it the id may be taken over with its secret for a while."""


class Send(Header, frozen=True, array_like=True, tag=20):
    """C>G private messages, G>C the same to their receiver. A run of one *flow*: the numbered messages of one session to one
    client, see `majula.flow`.

    The body is a run as of PUBLISH: message number `sequence`, the next one, and so on. It may be empty: then the frame only says
    what `oldest` is.

    target, node: client id and node of the receiver; an empty node is the sender's own.
    flow: drawn at random by the sender's session, from 1 to 2 ** 53 - 1; a new one begins at sequence 1.
    sequence: of the first message of the run in (source, flow, target).
    oldest: the lowest sequence that the sender still wants delivered; what is below it is settled or given up.
    ttl_ms: milliseconds that the messages may still be delivered in.
    source, source_node: who sends; what a client writes here is overwritten.
    via: role of the gateway that runs the flow for a source that does not (plain HTTP, the seed protocol); else empty.
    headers: application headers, common to the run.
    """

    target: str
    node: str
    flow: int
    sequence: int
    oldest: int
    ttl_ms: int
    encoding: Encoding = 0
    source: str = ""
    source_node: str = ""
    via: str = ""
    headers: dict[str, str] | None = None


class Receipt(Header, frozen=True, array_like=True, tag=21):
    """Back from the receiver of a flow to its sender, C>G and G>C.

    target, node: client id and node of the flow's sender. flow, via: as in SEND.
    up_to: every message up to this sequence was received, in order, or is no longer wanted.
    received: sequences beyond `up_to` that have come already and wait for those before them.
    state: `delivered` (the receiver's SDK has them) or `written` (to the socket of a client that does not acknowledge).
    code: empty, or why a SEND was not taken; `up_to` is then the last sequence of its run. `no_route` (nobody has that id now),
        `no_such_node`, `overloaded`, `unavailable`, `draining` may be over soon and are tried again; any other ends the messages.
    source, source_node: the receiver; what a client writes here is overwritten. With a code, the client that was not reached.
    """

    target: str
    node: str
    flow: int
    up_to: int
    received: tuple[int, ...] = ()
    state: str = "delivered"
    code: str = ""
    source: str = ""
    source_node: str = ""
    via: str = ""


AnyHeader = (
    Hello
    | Welcome
    | Publish
    | Subscribe
    | Unsubscribe
    | Register
    | Unregister
    | Call
    | Result
    | Cancel
    | Request
    | Reply
    | Ack
    | Error
    | Ping
    | Pong
    | Slow
    | Reconnect
    | Bye
    | Send
    | Receipt
)
