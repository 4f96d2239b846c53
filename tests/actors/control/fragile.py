"""Control actors that fail when they are told to."""

from __future__ import annotations

from majula.actors.config import ConfigActor
from majula.actors.router import RouterActor
from majula.actors.rpc_broker import RpcBrokerActor
from majula.actors.telemetry import TelemetryActor
from majula.actors.topic_manager import TopicManagerActor
from majula.actorsystem.actor import MajulaActor
from majula.messages.base import Address, Message
from tests.actors.hunger import starve


class Fail(Message, frozen=True, array_like=True, tag="tests.control.Fail"):
    """Raise. `where`: `handler`, `task` or `memory`, which takes all there is first."""

    where: str


class _Fragile(MajulaActor):
    """Before the real actor, for the message `Fail` alone."""

    def on_message(self, message: Message, sender: Address) -> None:
        if not isinstance(message, Fail):
            super().on_message(message, sender)
        elif message.where == "handler":
            raise RuntimeError("told to fail in a handler")
        elif message.where == "memory":
            self.eaten: list[bytes] = []
            starve(self.eaten)
        else:
            self.spawn(self._fail(), name="fail")

    async def _fail(self) -> None:
        raise RuntimeError("told to fail in a task")


class FragileRouter(_Fragile, RouterActor):
    """Role `router`."""


class FragileTopicManager(_Fragile, TopicManagerActor):
    """Role `topic_manager`."""


class FragileRpcBroker(_Fragile, RpcBrokerActor):
    """Role `rpc_broker`."""


class FragileConfig(_Fragile, ConfigActor):
    """Role `config`."""


class FragileTelemetry(_Fragile, TelemetryActor):
    """Role `telemetry`."""
