"""A gateway probe that tells which settings it runs by."""

from __future__ import annotations

import msgspec

from majula.messages.base import Address, Message, Role

from .gateway_probe import GatewayProbe, Listen


class ProbeSettings(msgspec.Struct, frozen=True):
    """Of a gateway's settings what the tests change."""

    hosts: tuple[str, ...] = ()


class Obeys(Message, frozen=True, array_like=True, tag="settings_probe.Obeys"):
    """What it runs by: said to who listens, then and at each change. `is_new`: it was told so while it ran."""

    by: Role
    hosts: tuple[str, ...]
    is_new: bool


class SettingsProbe(GatewayProbe):
    """See `Obeys`."""

    config_type = ProbeSettings

    async def on_start(self, config: ProbeSettings) -> None:  # type: ignore[override] # its own settings
        self._hosts = config.hosts
        await super().on_start(config)  # type: ignore[arg-type] # it looks at none

    def on_settings(self, config: ProbeSettings) -> None:
        self._hosts = config.hosts
        self._report(Obeys(self.role, self._hosts, is_new=True))

    def on_message(self, message: Message, sender: Address) -> None:
        super().on_message(message, sender)
        if isinstance(message, Listen):
            self._report(Obeys(self.role, self._hosts, is_new=False))
