"""What the config actor is started with."""

from __future__ import annotations

from msgspec import Struct


class ConfigActorSettings(Struct, frozen=True):
    """data_dir: of the node; tokens and the audit are in its folder `auth`."""

    data_dir: str
