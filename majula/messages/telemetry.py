"""What the actor `telemetry` is told, what it asks, and what it tells. It may be away at any time: nobody waits for it.

    anybody -> telemetry       Event (one happening); a supervisor's Status answers its StatusRequest
    gateway -> telemetry       ClientFigures (its clients, those whose figures have changed)
    runner  -> telemetry       NodeFacts
    telemetry -> anybody       Look (debug: stacks, tasks, queues, tap), answered by Looked; SetLevel
    telemetry -> a gateway     PublishEvent (an event for its topic `$SYS.<name>`)

What telemetry does not take is dropped, never waited for: all that is sent to it is `droppable`. Payloads of clients are in none
of these, and neither are tokens.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from majula.messages.base import Message, Role
from majula.messages.supervision import Figure

What = Literal["stacks", "tasks", "queues", "tap"]


class Event(Message, frozen=True, array_like=True, tag="telemetry.Event"):
    """One happening. Sent by `MajulaActor.event`, which logs it under the same name.

    Args:
        name: `thing.happened`, declared in `majula.telemetry.events`.
        role: where it happened.
        pid: of that role's process.
        at: seconds since 1970.
        fields: plain values; text of a peer is cut to 200 characters.
    """

    droppable: ClassVar[bool] = True

    name: str
    role: Role
    pid: int
    at: float
    fields: dict[str, Figure] = msgspec.field(default_factory=dict)


class ClientFigure(msgspec.Struct, frozen=True, array_like=True):
    """One session of a gateway.

    Args:
        number: of the session in its gateway's life; never used again.
        token: on whose behalf: a token's id, `uid:1000`, or empty.
        since: seconds since 1970.
        received_messages, sent_messages: by the gateway from it, and to it, since it came.
    """

    number: int
    client_id: str
    surface: str
    agent: str = ""
    token: str = ""
    since: float = 0.0
    subscriptions: int = 0
    functions: int = 0
    received_messages: int = 0
    sent_messages: int = 0
    waiting_bytes: int = 0
    dropped_messages: int = 0
    is_slow: bool = False


class ClientFigures(Message, frozen=True, array_like=True, tag="telemetry.ClientFigures"):
    """A gateway's clients: those whose figures have changed since they were told the last time, in portions.

    Args:
        incarnation: of the gateway.
        is_first: forget what was known of this gateway.
        changed: new, or not as they were.
        gone: numbers of sessions that have ended.
    """

    droppable: ClassVar[bool] = True

    incarnation: int
    is_first: bool
    changed: tuple[ClientFigure, ...]
    gone: tuple[int, ...] = ()


class NodeFacts(Message, frozen=True, array_like=True, tag="telemetry.NodeFacts"):
    """What only the runner knows. Sent when telemetry comes up and whenever it changes.

    Args:
        state: of the node, as `majula status` shows it.
        began_at: monotonic seconds (the same clock in all processes of a machine) of the node's start.
        pid: of the runner.
        trees: how many trees of actors there were.
        data_dir: where the flight recorder may write.
        insecure: what is served without the protection that it should have, a sentence each.
    """

    droppable: ClassVar[bool] = True

    state: str
    version: str
    began_at: float
    pid: int
    trees: int
    data_dir: str
    insecure: tuple[str, ...] = ()


class SetLevel(Message, frozen=True, array_like=True, tag="telemetry.SetLevel"):
    """Log from this level on: `debug`, `info`, `warning`, `error`. For the whole process of who gets it."""

    droppable: ClassVar[bool] = True

    level: str


class Look(Message, frozen=True, array_like=True, tag="telemetry.Look"):
    """Show something of yourself. Answered by the base of every actor, at once (`tap`: after `for_s` seconds).

    Args:
        number: comes back in the answer.
        for_s, limit: of `tap`.
    """

    droppable: ClassVar[bool] = True

    number: int
    what: What
    for_s: float = 0.0
    limit: int = 0


class Looked(Message, frozen=True, array_like=True, tag="telemetry.Looked"):
    """`answer`: the msgpack of what `debug.<what>` declares as its answer."""

    droppable: ClassVar[bool] = True

    number: int
    answer: bytes


class PublishEvent(Message, frozen=True, array_like=True, tag="telemetry.PublishEvent"):
    """Publish this on `topic`, which begins with `$SYS.`, to all subscribers of the node. `payload`: JSON."""

    droppable: ClassVar[bool] = True

    topic: str
    payload: bytes
