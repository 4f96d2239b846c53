"""Private messages for clients that do not run flows: this gateway puts them in order, drops duplicates, and acknowledges.

Such a client is a session of the seed protocol, of JSON packages or of HTTP, or an event stream that reads the messages of a
client id. Its receipts say `written`, and are given when the message has been taken out of the outbox to be written to the
socket, not when it was put in: what a client that stops reading leaves behind is sent again, or expires.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from majula.flow import FlowLimits, Receiver
from majula.gateway.outlets import Outlets
from majula.gateway.session import Session
from majula.wire.frames import PREFIX_BYTES, encode_frame, encode_run, split_run
from majula.wire.headers import Receipt, Send

_FLOWS = 1_024
_HELD_MESSAGES = 256
_HELD_BYTES = 256 << 10
"""Of one flow, behind a gap. Two of them fit into the reserve of an outbox, into which they go when the gap is closed."""


_Owed = dict[tuple[str, str, str, int], Receipt]
"""Receipts by the flow that they are for: a later one says all that an earlier one did."""


class _Inbox:
    """What one session receives. `unwritten`: receipts, each due when the outbox has given out so many frames."""

    __slots__ = ("is_listed", "receiver", "session", "unwritten")

    def __init__(self, session: Session, receiver: Receiver) -> None:
        self.session = session
        self.receiver = receiver
        self.unwritten: deque[tuple[int, _Owed]] = deque()
        self.is_listed = False  # among those that `receipts` looks at next


class Inboxes:
    """All clients of this gateway that it receives for.

    Args:
        node_id: of this gateway.
        out: where messages go.
        message_bytes: the largest message.
        wake: something has been written: call `receipts` soon.
    """

    def __init__(self, *, node_id: str, out: Outlets, message_bytes: int, wake: Callable[[], None]) -> None:
        self._node_id = node_id
        self._out = out
        self._wake = wake
        held = min(_HELD_BYTES, message_bytes)
        self._limits = FlowLimits(flows=_FLOWS, messages=_HELD_MESSAGES, bytes=held, total_bytes=2 * held)
        self._inboxes: dict[Session, _Inbox] = {}
        self._readers: dict[str, dict[Session, None]] = {}
        self._listed: list[_Inbox] = []
        self._given = 0
        self._owed = 0  # receipts in all `unwritten` together

    # --- streams that read beside a client

    def read(self, client_id: str, session: Session) -> bool:
        """The stream `session` reads what is sent to this client id. True: it is the first one here."""
        readers = self._readers.setdefault(client_id, {})
        readers[session] = None
        return len(readers) == 1

    def readers(self, client_id: str) -> Iterable[Session]:
        """The streams here that read for this id, the oldest first."""
        return self._readers.get(client_id, ())

    def has_readers(self, client_id: str) -> bool:
        """Whether there is one."""
        return client_id in self._readers

    def read_ids(self) -> Iterable[str]:
        """The ids that are read here."""
        return self._readers

    # --- messages

    def receive(self, session: Session, header: Send, frame: bytes, now: float, *, is_copy: bool = False) -> bool:
        """A run for this session. False: there is no room, nothing was taken. `is_copy`: nobody waits for its receipts, so what
        does not fit is lost and told by SLOW."""
        outbox = session.outbox
        if not is_copy and not outbox.fits(len(frame)):
            return False
        inbox = self._inboxes.get(session)
        if inbox is None:
            inbox = self._inboxes[session] = _Inbox(session, Receiver(limits=self._limits, state="written"))
            outbox.on_taken = partial(self._taken, inbox)
        messages = split_run(frame[PREFIX_BYTES + int.from_bytes(frame[4:6], "little") :])
        for arrived in inbox.receiver.receive(header, messages, now):
            if is_copy and not outbox.fits(len(frame)):
                outbox.lose(len(arrived.messages))
                self._out.dropped(session, len(arrived.messages))
                continue
            self._given += len(arrived.messages)
            is_whole = arrived.header is header and len(arrived.messages) == len(messages)
            self._out.answer(session, frame if is_whole else _again(arrived.header, arrived.sequence, arrived.messages), now)
        receipts = inbox.receiver.receipts()
        if not is_copy:
            self._owe(inbox, outbox.taken + outbox.waiting, receipts)
            if outbox.taken >= inbox.unwritten[0][0]:
                self._taken(inbox)
        return True

    def end(self, session: Session) -> str | None:
        """The session is over. What was not written has no receipt, so its senders repeat it to whoever has the id next. The id
        that nobody reads here any more, if it was the last stream of one."""
        inbox = self._inboxes.pop(session, None)
        if inbox is not None:
            self._owed -= sum(len(owed) for _, owed in inbox.unwritten)
            inbox.unwritten.clear()
            session.outbox.on_taken = None
        readers = self._readers.get(session.client_id)
        if readers is None or session not in readers:
            return None
        del readers[session]
        if readers:
            return None
        del self._readers[session.client_id]
        return session.client_id

    def has_receipts(self) -> bool:
        """Whether `receipts` would give something."""
        return bool(self._listed)

    def receipts(self) -> list[Receipt]:
        """For what has been written since the last time, one a flow."""
        listed, self._listed = self._listed, []
        due: dict[tuple[str, str, str, int, str], Receipt] = {}
        for inbox in listed:
            inbox.is_listed = False
            taken = inbox.session.outbox.taken
            while inbox.unwritten and inbox.unwritten[0][0] <= taken:
                owed = inbox.unwritten.popleft()[1]
                self._owed -= len(owed)
                for key, receipt in owed.items():
                    due[(*key, inbox.session.client_id)] = receipt
        return [self._signed(receipt, key[4]) for key, receipt in due.items()]

    def sweep(self, now: float) -> bool:
        """Call it every few seconds: what waits behind a gap for longer than its sender wants it is thrown away. False: there is
        nobody to look after."""
        for inbox in self._inboxes.values():
            inbox.receiver.timer(now)
        return bool(self._inboxes)

    def statistics(self) -> dict[str, int]:
        return {"inboxes": len(self._inboxes), "private_given_total": self._given, "private_receipts_owed": self._owed}

    # --- inside

    def _owe(self, inbox: _Inbox, due: int, receipts: list[Receipt]) -> None:
        """`receipts` are due when the outbox has given out `due` frames. What puts nothing into the outbox (a duplicate, what is
        behind a gap) is owed with what came before it: who repeats himself to a client that does not read makes nothing grow."""
        if not inbox.unwritten or inbox.unwritten[-1][0] != due:
            inbox.unwritten.append((due, {}))
        owed = inbox.unwritten[-1][1]
        before = len(owed)
        for receipt in receipts:
            key = (receipt.target, receipt.node, receipt.via, receipt.flow)
            owed.pop(key, None)
            owed[key] = receipt
            if len(owed) > _FLOWS:
                del owed[next(iter(owed))]  # its sender asks again
        self._owed += len(owed) - before

    def _taken(self, inbox: _Inbox) -> None:
        if inbox.unwritten and not inbox.is_listed:
            inbox.is_listed = True
            self._listed.append(inbox)
            self._wake()

    def _signed(self, receipt: Receipt, client_id: str) -> Receipt:
        return Receipt(
            receipt.target,
            receipt.node,
            receipt.flow,
            receipt.up_to,
            receipt.received,
            receipt.state,
            receipt.code,
            client_id,
            self._node_id,
            receipt.via,
        )


def _again(header: Send, sequence: int, messages: list[bytes]) -> bytes:
    """The frame of a run of which a part had come before."""
    again = Send(
        header.target,
        header.node,
        header.flow,
        sequence,
        header.oldest,
        header.ttl_ms,
        header.encoding,
        header.source,
        header.source_node,
        header.via,
        header.headers,
    )
    return encode_frame(again, encode_run(messages))
