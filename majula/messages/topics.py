"""What gateways and the topic manager say to each other beside the tables `subscriptions`, `interest` and `retained`."""

from __future__ import annotations

from majula.messages.base import Message


class Retain(Message, frozen=True, array_like=True, tag="topics.Retain"):
    """gateway -> topic manager: keep this as the topic's last value. Answered by one Retained; sent again, with the same
    number, to the next topic manager where that did not come.

    number: chosen by the gateway, ascending.
    frame: the whole PUBLISH frame with one message.
    is_removal: remove the value instead; `frame` is empty.
    """

    number: int
    topic: str
    frame: bytes
    is_removal: bool = False


class Retained(Message, frozen=True, array_like=True, tag="topics.Retained"):
    """topic manager -> gateway: settled. `code` is empty (every gateway has it) or says why not (`limit_reached`)."""

    number: int
    code: str = ""
