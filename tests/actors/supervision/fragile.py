"""A supervisor that fails when it is told to."""

from __future__ import annotations

from majula.actors.supervisor import SupervisorActor
from majula.messages.base import Address, Message
from tests.actors.hunger import starve


class Fail(Message, frozen=True, array_like=True, tag="tests.supervision.Fail"):
    """Raise. `where`: `handler`, `task` or `memory`, which takes all there is first."""

    where: str


class FragileSupervisor(SupervisorActor):
    """The real one, but for the message `Fail`."""

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
