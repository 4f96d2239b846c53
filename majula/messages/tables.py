"""How tables travel: between who publishes a table and who holds a copy. The rules are in `majula.tables`.

    holder -> publisher     Ask (at the first meeting and after a gap), Confirmed (after each Snapshot or Delta)
    publisher -> holder     Snapshot (in parts), Delta

A change of a table has a *version*, 1, 2, 3 ... within its publisher's *epoch*. `epoch` is `incarnation << 32 | random`, so the
epochs of one role are in order. `base` and `version` of a part say: it holds every change in (base, version].
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from majula.messages.base import Message


class Ask(Message, frozen=True, array_like=True, tag="tables.Ask"):
    """Send me this table from what I have: version `version` of epoch `epoch` (0, 0: nothing). Answered by deltas from there
    where the publisher still knows them, else by a snapshot."""

    table: str
    epoch: int
    version: int


class Snapshot(Message, frozen=True, array_like=True, tag="tables.Snapshot"):
    """One part of a whole table. The first has `base` 0; the holder puts parts aside and takes the table as a whole when
    `is_last`.

    began: the publisher's version when the first part was made. Parts of snapshots that began at different versions do not fit
        together: what was removed before is in none of them.
    entries: key -> value, opaque.
    removed: keys of earlier parts that were removed while the parts were sent.
    is_urgent: somebody waits until this is in force.
    """

    droppable: ClassVar[bool] = True

    table: str
    epoch: int
    base: int
    version: int
    is_last: bool
    began: int
    entries: dict[str, bytes]
    removed: list[str] = msgspec.field(default_factory=list)
    is_urgent: bool = False


class Delta(Message, frozen=True, array_like=True, tag="tables.Delta"):
    """Changes to a table. `is_last`: the holder is level with the publisher after it. Without changes and with base = version it
    is a question: are you there?"""

    droppable: ClassVar[bool] = True

    table: str
    epoch: int
    base: int
    version: int
    is_last: bool
    entries: dict[str, bytes]
    removed: list[str] = msgspec.field(default_factory=list)
    is_urgent: bool = False


class Confirmed(Message, frozen=True, array_like=True, tag="tables.Confirmed"):
    """What a holder has.

    version: up to here it has received.
    in_force: up to here it acts by it, and so does everybody who acts by what it makes of it.
    """

    table: str
    epoch: int
    version: int
    in_force: int
