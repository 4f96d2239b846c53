"""Majula: programs and devices on many machines talk through one mesh of nodes.

Read `ARCHITECTURE.md` first: it names the rooms, the actors and the path of one message. A program begins with `majula.connect`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from majula.api import sync
    from majula.api.sdk import Call, Client, Message, PrivateMessage, Retry, State, Statistics, Subscription, Trust, connect, run
    from majula.errors import MajulaError

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Client",
    "MajulaError",
    "Message",
    "PrivateMessage",
    "Retry",
    "State",
    "Statistics",
    "Subscription",
    "Trust",
    "__version__",
    "connect",
    "run",
    "sync",
]

_HOMES = {name: "majula.api.sdk" for name in __all__ if name not in ("__version__", "sync")} | {"MajulaError": "majula.errors"}


def __getattr__(name: str) -> Any:
    """Loaded at first use: every process of a node imports this package, few of them are clients."""
    if name == "sync":
        return import_module("majula.api.sync")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'majula' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
