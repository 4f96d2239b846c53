"""A control actor and gateway probes under one supervisor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from majula.messages.base import Address, Message, Role, decode, encode
from majula.messages.supervision import ChildSpec, Roles
from tests.actors.supervision.rig import SupervisorRig

from .gateway_probe import Confirmation, Heard, Holds, Listen, Pass, Put

GATEWAY_PROBE = f"{__package__}.gateway_probe.GatewayProbe"
TELEMETRY_PROBE = f"{__package__}.gateway_probe.TelemetryProbe"
TELEMETRY = "telemetry"
M = TypeVar("M", bound=Message)


class ControlRig(SupervisorRig):
    """Use it as an async context manager.

    Args:
        role, actor, config: the control actor under test.
        gateways: how many probes.
        telemetry: and one for the events.
        probe: class path of the gateways.
    """

    def __init__(
        self,
        run_dir: Path,
        role: Role,
        actor: str,
        *,
        config: bytes = b"\x80",
        gateways: int = 2,
        telemetry: bool = False,
        probe: str = GATEWAY_PROBE,
    ) -> None:
        self.role = role
        self.gateways = tuple(f"gateway:{n}" for n in range(1, gateways + 1))
        probes = [ChildSpec(role=name, actor=probe) for name in self.gateways]
        if telemetry:
            probes.insert(0, ChildSpec(role=TELEMETRY, actor=TELEMETRY_PROBE))
        super().__init__(run_dir, ChildSpec(role=role, actor=actor, config=config), *probes)
        self.holds: dict[tuple[Role, str], Holds] = {}
        self._heard: list[tuple[Role, Message]] = []
        self._confirmed: dict[int, bool] = {}
        self._listened: set[Address] = set()
        self._tokens = 0

    def _take(self, message: Message, sender: Address) -> None:
        match message:
            case Holds():
                self.holds[(message.by, message.table)] = message
            case Heard():
                self._heard.append((message.by, decode(message.message)))
            case Confirmation():
                self._confirmed[message.token] = message.is_in_force
            case Roles():
                for role, entry in message.entries.items():
                    if role in (*self.gateways, TELEMETRY) and entry.address not in self._listened:
                        self._listened.add(entry.address)
                        self.outside.send(entry.address, Listen())
        super()._take(message, sender)

    async def ready(self, table: str) -> None:
        """Everybody runs, and every gateway has `table` from the actor that lives now."""
        await self.running(self.role, *self.gateways)
        await self.until(lambda: all(self.is_current(gateway, table) for gateway in self.gateways))

    def is_current(self, gateway: Role, table: str) -> bool:
        held = self.holds.get((gateway, table))
        return held is not None and held.is_current

    def held(self, gateway: Role, table: str) -> dict[str, bytes]:
        held = self.holds.get((gateway, table))
        return {} if held is None else held.entries

    async def until_held(self, gateway: Role, table: str, condition: Callable[[dict[str, bytes]], bool]) -> dict[str, bytes]:
        await self.until(lambda: condition(self.held(gateway, table)))
        return self.held(gateway, table)

    def put(self, gateway: Role, table: str, key: str, value: bytes | None) -> None:
        """The gateway's slice changes."""
        self.act(gateway, Put(table, key, value))

    async def confirmed(self, gateway: Role, table: str, key: str, value: bytes | None) -> bool:
        """The gateway's slice changes; whether it came into force everywhere."""
        self._tokens += 1
        token = self._tokens
        self.act(gateway, Put(table, key, value, token))
        await self.until(lambda: token in self._confirmed)
        return self._confirmed[token]

    def tell(self, gateway: Role, message: Message) -> None:
        """The gateway sends this to the actor under test."""
        self.act(gateway, Pass(self.role, encode(message)))

    async def hears(self, gateway: Role, kind: type[M]) -> M:
        """The next message of this kind that the gateway gets from the actor under test."""
        found: list[M] = []

        def has_come() -> bool:
            for at, (by, message) in enumerate(self._heard):
                if by == gateway and isinstance(message, kind):
                    del self._heard[at]
                    found.append(message)
                    return True
            return False

        await self.until(has_come)
        return found[0]
