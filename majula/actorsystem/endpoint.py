"""The sockets of one process: it listens under its name, dials peers when something is sent, and hands frames to mailboxes.

One endpoint a process, shared by all actors in it. Hot path: `send_message` and `send_frames` queue, a flush at the end of the
loop turn writes; `_readable` reads once, cuts, decodes and calls the mailbox, with no task, no queue and no lock between.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from majula.actorsystem import frames as wire
from majula.actorsystem.address import checked_name, split
from majula.actorsystem.connection import Connection, peer_user
from majula.actorsystem.frames import FRAMES, HEADER, HELLO, MESSAGE, PLAIN, RETURNED, FrameError, FrameReader
from majula.actorsystem.local import LocalPost, Mailbox
from majula.actorsystem.outbox import CHUNK_BYTES
from majula.actorsystem.rundir import socket_path
from majula.actorsystem.taps import Tap, size_of
from majula.messages.base import Address, Message, decode, encode

_log = logging.getLogger(__name__)

_AFTER_LENGTH: Final = HEADER.size - 4
_ROUTES_LIMIT: Final = 4096
"""Targets whose connection is remembered by address; beyond, the cache starts anew. (Each question from outside comes from an
address of its own, so addresses are not few.)"""
_CONNECTIONS_LIMIT: Final = 4096
_REFUSED_LIMIT: Final = 1024
_ACCEPTS_A_TURN: Final = 64
_REDIAL_S: Final = 0.02
_ACCEPT_AGAIN_S: Final = 0.2
_ERRORS_LOGGED: Final = 20
"""Log lines about bad connections in a process's life; what follows is only counted."""


class TrackedFrame(bytes):
    """A frame whose sender wants to know what became of it: True, the kernel has it; False, the peer is gone."""

    settle: Callable[[bool], None]


class Endpoint:
    """The process's face to the others in its run directory.

    Args:
        loop: runs everything here.
        run_dir, name: where it listens.
        listener: already bound (by the parent, before it forked, so that no message comes too early).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, run_dir: str, name: str, listener: socket.socket) -> None:
        self.loop = loop
        self.run_dir = run_dir
        self.name = name
        self.mailboxes: dict[int, Mailbox] = {}
        self.on_plain: Callable[[memoryview, str], None] | None = None
        self.stopped = False
        """Set when the actor of this process has crashed: nothing more is read."""
        self.batches_lost = 0
        self.rejected = 0
        self.taps: dict[int, tuple[Tap, ...]] = {}
        """Who listens to what an actor sends, by its local id; empty but while somebody looks."""
        self._listener = listener
        self._scratch = memoryview(bytearray(wire.SCRATCH_BYTES))
        self._connections: set[Connection] = set()
        self._peers: dict[str, Connection] = {}  # the one that we send on
        self._routes: dict[Address, tuple[Connection | None, int]] = {}
        self._dirty: list[Connection] = []
        self._flush_scheduled = False
        self._reading = False
        self.local = LocalPost(loop, name, self.mailboxes, lambda: self.stopped)
        self._redials: dict[Connection, asyncio.TimerHandle] = {}
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._accept_again: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self.loop.add_reader(self._listener.fileno(), self._accept)

    # --- sending

    def send_message(self, target: Address, source: int, message: Message) -> bool:
        """Queue a message. False: not queued; `returned` follows, unless it is droppable and the outbox was at its mark."""
        if self.taps:
            for tap in self.taps.get(source, ()):
                tap.note("out", target, type(message).__name__, size_of(message))
        route = self._routes.get(target) or self._find_route(target)
        if route is None:
            self.loop.call_soon(self._give_back, source, message, target)
            return False
        connection, local = route
        if connection is None:
            if self.local.send(local, source, message):
                return True
        else:
            payload = encode(message)
            outbox = connection.outbox
            if outbox.offer_control(HEADER.pack(len(payload) + _AFTER_LENGTH, MESSAGE, local, source) + payload):
                if not connection.dirty:
                    self._touch(connection)
                elif outbox.pending_bytes > CHUNK_BYTES and not connection.blocked:
                    connection.flush()  # a flood within one turn: let the peer begin
                return True
            self._refuse(connection, source, target)
        if not message.droppable:
            self.loop.call_soon(self._give_back, source, message, target)
        return False

    def send_frames(self, target: Address, source: int, payload: bytes | list[bytes]) -> bool:
        """Queue an opaque batch. False: not queued, the target is gone or its outbox is at the mark."""
        if self.taps:
            for tap in self.taps.get(source, ()):
                size = len(payload) if isinstance(payload, bytes) else sum(map(len, payload))
                tap.note("out", target, "batch of frames", size)
        route = self._routes.get(target) or self._find_route(target)
        if route is None:
            return False
        connection, local = route
        if connection is None:
            return self.local.send(local, source, payload if isinstance(payload, bytes) else b"".join(payload))
        if isinstance(payload, bytes):
            frame = HEADER.pack(len(payload) + _AFTER_LENGTH, FRAMES, local, source) + payload
        else:
            size = sum(map(len, payload))
            frame = b"".join((HEADER.pack(size + _AFTER_LENGTH, FRAMES, local, source), *payload))
        outbox = connection.outbox
        if outbox.offer_data(frame):
            if not connection.dirty:
                self._touch(connection)
            elif outbox.pending_bytes > CHUNK_BYTES and not connection.blocked:
                connection.flush()
            return True
        self._refuse(connection, source, target)
        return False

    def send_plain(self, target: Address, payload: bytes, settle: Callable[[bool], None]) -> None:
        """Queue a pickled message; `settle` hears what became of it, never from within this call."""
        route = self._find_route(target)
        if route is None:
            self.loop.call_soon(settle, False)
            return
        connection, local = route
        assert connection is not None, "a plain message to the own process never comes here"
        frame = TrackedFrame(wire.encode(PLAIN, local, 0, payload))
        frame.settle = settle
        connection.outbox.watch = True
        if not connection.outbox.offer_control(frame):
            self.loop.call_soon(settle, False)
        elif not connection.dirty:
            self._touch(connection)

    def pending_bytes(self, target: Address) -> int:
        """What waits for the process of `target`."""
        connection = self._peers.get(split(target)[0])
        return connection.outbox.pending_bytes if connection is not None else 0

    def queues(self) -> dict[str, int]:
        """Bytes that wait, by peer, where there are any."""
        return {c.peer: c.outbox.pending_bytes for c in self._connections if c.outbox.pending_bytes}

    def lanes(self) -> list[tuple[str, str, int, int, int]]:
        """Every outbox: peer, lane, bytes, frames, mark."""
        return [(c.peer, *lane) for c in self._connections if c.peer for lane in c.outbox.lanes()]

    def _find_route(self, target: Address) -> tuple[Connection | None, int] | None:
        name, local = split(target)
        if name == self.name:
            return (None, local)
        connection = self._peers.get(name)
        if connection is None:
            connection = self._dial(name)
            if connection is None:
                return None
        if len(self._routes) >= _ROUTES_LIMIT:
            self._routes.clear()
        self._routes[target] = (connection, local)
        return connection, local

    def _dial(self, name: str) -> Connection | None:
        connection = Connection(self.loop, name, FrameReader(self._scratch), self._lost, self._written)
        try:
            connected = connection.dial(self.run_dir)
        except OSError:
            return None
        connection.outbox.offer_control(wire.encode(HELLO, 0, 0, self.name.encode()))
        self._peers[name] = connection
        self._connections.add(connection)
        if connected:
            self._watch(connection)
        else:
            self._redials[connection] = self.loop.call_later(_REDIAL_S, self._redial, connection)
        return connection

    def _redial(self, connection: Connection) -> None:
        del self._redials[connection]
        try:
            connected = connection.dial(self.run_dir)
        except OSError:
            self._lost(connection)
            return
        if connected:
            self._watch(connection)
            connection.flush()
        else:
            self._redials[connection] = self.loop.call_later(_REDIAL_S, self._redial, connection)

    def _watch(self, connection: Connection) -> None:
        assert connection.sock is not None
        self.loop.add_reader(connection.sock.fileno(), self._readable, connection)

    def _refuse(self, connection: Connection, source: int, target: Address) -> None:
        if len(connection.refused) < _REFUSED_LIMIT:
            connection.refused.add((source, target))

    def _give_back(self, source: int, message: Message, target: Address) -> None:
        mailbox = self.mailboxes.get(source)
        if mailbox is not None:
            mailbox.returned(message, target)

    # --- writing

    def _touch(self, connection: Connection) -> None:
        connection.dirty = True
        self._dirty.append(connection)
        if not self._flush_scheduled and not self._reading:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                connection.flush()
        if self._idle_waiters and not self.busy():
            for waiter in self._idle_waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._idle_waiters.clear()

    def _written(self, connection: Connection, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if type(frame) is TrackedFrame:
                frame.settle(True)
        if connection.refused and connection.outbox.writable_again():
            refused, connection.refused = connection.refused, set()
            self._tell_writable(refused)
        if self._idle_waiters and not connection.outbox.pending_bytes:
            self.loop.call_soon(self._flush)

    def _tell_writable(self, refused: set[tuple[int, Address]]) -> None:
        for source, target in refused:
            mailbox = self.mailboxes.get(source)
            if mailbox is not None:
                self.loop.call_soon(mailbox.writable, target)

    def busy(self) -> bool:
        """Whether anything waits to be written."""
        return any(connection.outbox.pending_bytes for connection in self._connections)

    async def flushed(self, timeout_s: float) -> bool:
        """Wait until nothing waits to be written. False: the time was over before."""
        if self._dirty and not self._flush_scheduled:
            self._flush()
        if not self.busy():
            return True
        waiter = self.loop.create_future()
        self._idle_waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        return True

    # --- reading

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # no descriptors left: the listener stays readable, so look again later
                self._complain("cannot accept: %s", error)
                self.loop.remove_reader(self._listener.fileno())
                self._accept_again = self.loop.call_later(_ACCEPT_AGAIN_S, self._listen)
                return
            sock.setblocking(False)
            user = peer_user(sock)
            if user != os.geteuid() or len(self._connections) >= _CONNECTIONS_LIMIT:
                self._complain("connection of user %s refused, %d are open", user, len(self._connections))
                sock.close()
                continue
            reader = FrameReader(self._scratch, wire.HELLO_BYTES_LIMIT)
            connection = Connection(self.loop, "", reader, self._lost, self._written)
            connection.attach(sock)
            self._connections.add(connection)
            self._watch(connection)

    def _readable(self, connection: Connection) -> bool:
        """Read once and deliver. False: there was nothing to read."""
        if self.stopped or connection.sock is None:
            return False
        reader = connection.reader
        try:
            count = connection.sock.recv_into(reader.buffer())
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            count = 0
        if not count:
            self._lost(connection)
            return False
        self._reading = True
        try:
            peer = connection.peer
            mailboxes = self.mailboxes
            for kind, target, source, payload in reader.frames(count):
                if kind == MESSAGE and peer:
                    message = decode(payload)
                    mailbox = mailboxes.get(target)
                    if mailbox is not None:
                        mailbox.receive(message, f"{peer}#{source}" if source else peer)
                    else:
                        self._return(connection, target, source, payload)
                elif kind == FRAMES and peer:
                    mailbox = mailboxes.get(target)
                    if mailbox is not None:
                        mailbox.receive_frames(bytes(payload), f"{peer}#{source}" if source else peer)
                    else:
                        self.batches_lost += 1
                elif kind == HELLO and not peer:
                    peer = connection.peer = checked_name(payload)
                    reader.limit_bytes = wire.FRAME_BYTES_LIMIT
                    self._peers.setdefault(peer, connection)
                elif kind == PLAIN and peer and self.on_plain is not None:
                    self.on_plain(payload, f"{peer}#{source}" if source else peer)
                elif kind == RETURNED and peer:
                    self._give_back(target, decode(payload), f"{peer}#{source}" if source else peer)
                else:
                    raise FrameError(f"a frame of kind {kind} where none may be")
                if self.stopped:
                    break
        except (FrameError, msgspec.MsgspecError, RecursionError) as error:
            self._complain("connection of %s closed: %s", connection.peer or "an unnamed peer", error)
            self._lost(connection)
        finally:
            self._reading = False
            if self._dirty:
                self._flush()
        return True

    def drain_incoming(self, peer: str) -> None:
        """Read all that a process which has ended left in its connections, so that its last words come before its end is told."""
        self._accept()  # it may have dialled us with its last breath
        for connection in [c for c in self._connections if not c.peer]:
            self._readable(connection)
        for connection in [c for c in self._connections if c.peer == peer]:
            while self._readable(connection):
                continue

    def _return(self, connection: Connection, target: int, source: int, payload: memoryview) -> None:
        # What cannot be returned at the mark is lost: the alternative would be an unbounded queue to a peer that does not read.
        if connection.outbox.offer_control(wire.encode(RETURNED, source, target, bytes(payload))) and not connection.dirty:
            self._touch(connection)

    def _lost(self, connection: Connection) -> None:
        """The other side is gone, or talks garbage. What was not written goes back to who sent it."""
        if connection.closed:
            return
        connection.close()
        self._connections.discard(connection)
        redial = self._redials.pop(connection, None)
        if redial is not None:
            redial.cancel()
        peer = connection.peer
        if self._peers.get(peer) is connection:
            del self._peers[peer]
            other = next((c for c in self._connections if c.peer == peer), None)
            if other is not None:
                self._peers[peer] = other
        for target in [target for target, route in self._routes.items() if route[0] is connection]:
            del self._routes[target]
        for frame in connection.outbox.unsent():
            kind, target_id, source, payload = wire.parse(frame)
            if kind == MESSAGE:
                address = f"{peer}#{target_id}" if target_id else peer
                self.loop.call_soon(self._give_back, source, decode(payload), address)
            elif kind == FRAMES:
                self.batches_lost += 1
            elif kind == PLAIN and isinstance(frame, TrackedFrame):
                self.loop.call_soon(frame.settle, False)
        self._tell_writable(connection.refused)
        if self._idle_waiters:
            self.loop.call_soon(self._flush)

    def _complain(self, text: str, *values: object) -> None:
        self.rejected += 1
        if self.rejected <= _ERRORS_LOGGED:
            _log.warning("%s: " + text, self.name, *values)

    def close(self) -> None:
        """Close every socket and remove the name. Nothing is flushed: await `flushed` before."""
        self.stopped = True
        if self._accept_again is not None:
            self._accept_again.cancel()
        for redial in self._redials.values():
            redial.cancel()
        self._redials.clear()
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()
        self._peers.clear()
        self._routes.clear()
        self.loop.remove_reader(self._listener.fileno())
        self._listener.close()
        try:
            os.unlink(socket_path(self.run_dir, self.name))
        except FileNotFoundError:
            return  # the directory was cleared at the end of the node
