"""A gateway that fails when it is told to."""

from __future__ import annotations

from majula.actors.gateway import GatewayActor
from majula.messages.base import Address, Message
from tests.actors.hunger import starve


class Fail(Message, frozen=True, array_like=True, tag="tests.gateway.Fail"):
    """Raise. `where`: `handler`, `task` or `memory`, which takes all there is first."""

    where: str


class FragileGateway(GatewayActor):
    """The real one, but for the message `Fail`."""

    def on_message(self, message: Message, sender: Address) -> None:
        if isinstance(message, Fail):
            if message.where == "handler":
                raise RuntimeError("told to fail in a handler")
            if message.where == "memory":
                self.eaten: list[bytes] = []
                starve(self.eaten)
            self.spawn(self._fail(), name="fail")
            return
        super().on_message(message, sender)

    async def _fail(self) -> None:
        raise RuntimeError("told to fail in a task")
