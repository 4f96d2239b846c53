"""What clients can ask of topics."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from majula.operations import ListLimit, Operation, PatternText, TopicName
from majula.wire import headers


class PublishRequest(msgspec.Struct, frozen=True):
    """topic: dotted levels. message: any value. retain: keep it as the topic's last value. ack: answer once it is taken."""

    topic: TopicName
    message: Any = None
    retain: bool = False
    ack: bool = False
    headers: dict[str, str] | None = None


class PublishAnswer(msgspec.Struct, frozen=True):
    """status is `published`: the gateway took the message and sends it on (at most once to each subscriber)."""

    status: str
    topic: str


class SubscribeRequest(msgspec.Struct, frozen=True):
    """topic: a literal topic, or with `pattern` one in which `*` is any one level and a last `>` all that follows.

    queue: name of a queue group; each message goes to one member. retained: send the retained values that match first.
    sync: answer when the subscription is in force at every gateway of every reachable node.
    """

    topic: str
    pattern: bool = False
    queue: str = ""
    retained: bool = False
    sync: bool = False


class SubscribeAnswer(msgspec.Struct, frozen=True):
    """guarantee: `gateway` (in force at this gateway) or `everywhere`."""

    guarantee: str


class UnsubscribeRequest(msgspec.Struct, frozen=True):
    """The same topic, pattern and queue as the subscription that ends."""

    topic: str
    pattern: bool = False
    queue: str = ""


class TopicsRequest(msgspec.Struct, frozen=True):
    """pattern: only what it matches; empty: all. Lists stop at `limit`, at most 1,024; `offset` goes on."""

    pattern: PatternText = ""
    offset: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    limit: ListLimit = 1_024


class TopicLine(msgspec.Struct, frozen=True):
    """A topic or pattern that somebody subscribes to, or that has a retained value.

    subscribers: gateways that have subscribers. queues: its queue groups. retained_bytes: of its retained value, 0: none.
    """

    topic: str
    pattern: bool
    subscribers: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    retained_bytes: int = 0


class TopicsAnswer(msgspec.Struct, frozen=True):
    """Ordered by topic; `of` is how many there are."""

    topics: tuple[TopicLine, ...]
    of: int


PUBLISH = Operation(
    name="topics.publish",
    summary="Publish a message to all subscribers of a topic, at most once each, in order per publisher.",
    request=PublishRequest,
    answer=PublishAnswer,
    scope="publish",
    scope_field="topic",
    idempotent=False,
    inner_path="/pub",
    path="/topics/{topic}/messages",
    websocket="PUBLISH",
    frame=headers.Publish,
    sdk="publish",
    cli="pub",
)

SUBSCRIBE = Operation(
    name="topics.subscribe",
    summary="Receive what is published to a topic, or to all topics that match a pattern.",
    request=SubscribeRequest,
    answer=SubscribeAnswer,
    scope="subscribe",
    scope_field="topic",
    idempotent=True,
    inner_path="/sub",
    path="/topics/{topic}/messages",
    method="GET",
    streams=True,
    websocket="SUBSCRIBE",
    frame=headers.Subscribe,
    sdk="subscribe",
    cli="sub",
)

UNSUBSCRIBE = Operation(
    name="topics.unsubscribe",
    summary="End a subscription.",
    request=UnsubscribeRequest,
    answer=None,
    scope="subscribe",
    scope_field="topic",
    idempotent=True,
    websocket="UNSUBSCRIBE",
    frame=headers.Unsubscribe,
)

LIST = Operation(
    name="topics.list",
    summary="List what is subscribed to, and what has a retained value.",
    request=TopicsRequest,
    answer=TopicsAnswer,
    scope="observe",
    scope_field="=topics",
    idempotent=True,
    path="/topics",
    method="GET",
    frame=headers.Request,
    sdk="topics",
    cli="topics",
    role="topic_manager",
)

OPERATIONS = (PUBLISH, SUBSCRIBE, UNSUBSCRIBE, LIST)
