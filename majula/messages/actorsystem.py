"""Between an actor that creates hosted children and the host process in which they live."""

from __future__ import annotations

from majula.messages.base import Message


class HostActor(Message, frozen=True, array_like=True, tag="actorsystem.HostActor"):
    """To a host: make room for an actor. Its Start follows, addressed to it.

    Args:
        local_id: its part of the address after `#`; chosen by the creator, never used twice in one host.
        actor: dotted path of its class.
    """

    local_id: int
    actor: str


class EndHosted(Message, frozen=True, array_like=True, tag="actorsystem.EndHosted"):
    """To a host: drop this actor now, without `on_stop`. What SIGKILL is to a process."""

    local_id: int


class HostedEnded(Message, frozen=True, array_like=True, tag="actorsystem.HostedEnded"):
    """From a host to the creator: this actor has ended; `reason` as for a process, in words."""

    local_id: int
    reason: str
