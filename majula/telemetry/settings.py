"""The typed settings of the telemetry actor."""

from __future__ import annotations

import msgspec

from majula.messages.base import Role
from majula.telemetry.events import Level


class TelemetrySettings(msgspec.Struct, frozen=True):
    """
    Args:
        version: of Majula.
        data_dir: of the node; the flight recorder writes below `flight` in it. Empty: it writes nothing.
        level: from which level every role logs.
        levels: of single roles (`gateway:18080`) or kinds of them (`gateway`).
    """

    version: str = ""
    data_dir: str = ""
    level: Level = "info"
    levels: dict[Role, Level] = msgspec.field(default_factory=dict)
