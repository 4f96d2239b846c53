"""What the config actor says to the other roles, and the runner to it.

config -> any role     Settings: what it runs by from now on, answered by Obeyed
runner -> config       Attach (tell me too), Reload (SIGHUP came)
config -> runner       Settings, Condition
config -> supervisor   Settings of its children, so that a child that is started again has the newest
"""

from __future__ import annotations

import msgspec

from majula.messages.base import Message, Role


class Settings(Message, frozen=True, array_like=True, tag="config.Settings"):
    """The configuration has changed: `settings` is the msgpack of what `role` is started with (for the runner, which no
    supervisor starts, of `RunnerSettings`). Comes at each change that concerns the role, and to each role that appears while
    it is not the configuration of the start that is in force. An actor takes over what it can and keeps the rest.

    revision: of the configuration that they come from.
    """

    role: Role
    settings: bytes
    revision: int


class Obeyed(Message, frozen=True, array_like=True, tag="config.Obeyed"):
    """`role` has taken over the settings of this revision. Every actor sends it but supervisors; the runner does not."""

    role: Role
    revision: int


class RunnerSettings(msgspec.Struct, frozen=True):
    """What the runner takes over at run time."""

    drain_s: float


class Attach(Message, frozen=True, array_like=True, tag="config.Attach"):
    """The runner is there: tell it about the configuration, now and at each change. Answered by Settings and Condition."""


class Reload(Message, frozen=True, array_like=True, tag="config.Reload"):
    """Read the file again. source: `signal`."""

    source: str = "signal"


class Condition(Message, frozen=True, array_like=True, tag="config.Condition"):
    """How it stands with the configuration, for `status`.

    revision: the newest. restart: changed keys that wait for a restart. refused: what is wrong with the file as it stands, each
    as `file:line:column: message`; empty where the newest revision is what the file says. warnings: of the newest revision.
    """

    revision: int
    restart: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
