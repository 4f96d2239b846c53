"""Messages and batches between actors of one process: the same bounds as an outbox, without bytes in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from majula.actorsystem.outbox import DATA_HIGH_BYTES
from majula.messages.base import Address, Message

_ITEMS_LIMIT: Final = 100_000
"""Messages are counted, not measured: they are objects here."""
_REFUSED_LIMIT: Final = 1024


class Mailbox(Protocol):
    """Where what came for one actor is put. None of these may raise."""

    def receive(self, message: Message, sender: Address) -> None: ...

    def receive_frames(self, frames: bytes, sender: Address) -> None: ...

    def returned(self, message: Message, target: Address) -> None:
        """A message of this actor was not delivered."""

    def writable(self, target: Address) -> None:
        """The outbox that refused this actor takes more again."""


class LocalPost:
    """Delivers within the process, always in a later turn of the loop: no actor runs within another's call.

    Args:
        name: of the process.
        mailboxes: of its actors, by local id; the owner's own dict.
        is_stopped: whether nothing may be delivered any more.
        items_limit: messages and batches that may wait.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        mailboxes: Mapping[int, Mailbox],
        is_stopped: Callable[[], bool],
        *,
        items_limit: int = _ITEMS_LIMIT,
    ) -> None:
        self.batches_lost = 0
        self._loop = loop
        self._name = name
        self._mailboxes = mailboxes
        self._is_stopped = is_stopped
        self._items_limit = items_limit
        self._items: deque[tuple[int, int, Message | bytes]] = deque()  # target, source
        self._batch_bytes = 0
        self._scheduled = False
        self._refused: set[tuple[int, int]] = set()  # source, target

    def address(self, local: int) -> Address:
        """Of an actor in this process."""
        return f"{self._name}#{local}" if local else self._name

    def send(self, target: int, source: int, item: Message | bytes) -> bool:
        """Queue it. False: there is no such target, or too much waits."""
        if target not in self._mailboxes:
            return False
        is_batch = isinstance(item, bytes)
        if len(self._items) >= self._items_limit or (is_batch and self._batch_bytes >= DATA_HIGH_BYTES):
            if len(self._refused) < _REFUSED_LIMIT:
                self._refused.add((source, target))
            return False
        if isinstance(item, bytes):
            self._batch_bytes += len(item)
        self._items.append((target, source, item))
        self._schedule()
        return True

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        # Only what was there at the beginning: two actors that answer each other must not hold the loop.
        for _ in range(len(self._items)):
            if self._is_stopped():
                return
            target, source, item = self._items.popleft()
            mailbox = self._mailboxes.get(target)
            if isinstance(item, bytes):
                self._batch_bytes -= len(item)
                if mailbox is None:
                    self.batches_lost += 1
                else:
                    mailbox.receive_frames(item, self.address(source))
            elif mailbox is not None:
                mailbox.receive(item, self.address(source))
            elif source in self._mailboxes:
                self._mailboxes[source].returned(item, self.address(target))
        if self._refused and self._batch_bytes <= DATA_HIGH_BYTES // 2 and len(self._items) <= self._items_limit // 2:
            refused, self._refused = self._refused, set()
            for source, target in refused:
                if source in self._mailboxes:
                    self._loop.call_soon(self._mailboxes[source].writable, self.address(target))
        if self._items:
            self._schedule()
