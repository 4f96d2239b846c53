"""The way out of the switch: frames into outboxes, and the lists of who has something waiting."""

from __future__ import annotations

from majula.errors import MajulaError
from majula.gateway.peers import Peer
from majula.gateway.session import Session
from majula.wire.frames import encode_frame
from majula.wire.headers import Error, Fault, Result

# What an answer repeats of a request in its sentence and in each of its fields. Errors quote what a client sent, and quoting can
# make it four times as long: without these bounds an answer might be larger than a frame's header can be.
_SENTENCE_CHARACTERS = 1_024
_QUOTED_CHARACTERS = 256

End = Session | Peer
"""Either end of a call: a client here, or the gateway of one elsewhere."""


class Outlets:
    """Shared by all parts of the switch.

    Args:
        cuts_slow: the policy `disconnect`: a client is cut off at the first message that does not fit.
    """

    def __init__(self, *, cuts_slow: bool) -> None:
        self.dirty: list[Session] = []
        self.dirty_peers: list[Peer] = []
        self.overrun: list[Session] = []
        """Clients that are to be cut off at the end of the turn."""
        self.slow: list[End] = []
        """Who has lost its first message since it came."""
        self.dropped_messages = 0
        self._cuts_slow = cuts_slow

    def renew(self, *, cuts_slow: bool) -> None:
        """The other policy."""
        self._cuts_slow = cuts_slow

    def publish(self, end: End, frame: bytes, messages: int, now: float) -> bool:
        """A publication; False: dropped and counted."""
        if end.outbox.offer(frame, messages, now):
            if not end.is_dirty:
                self.mark(end)
            return True
        self.dropped(end, messages)
        return False

    def dropped(self, end: End, messages: int) -> None:
        """This end reads too slowly: so many messages did not fit."""
        self.dropped_messages += messages
        if not end.was_slow:
            end.was_slow = True
            self.slow.append(end)
        if self._cuts_slow and isinstance(end, Session):
            self.overrun.append(end)

    def call(self, end: End, frame: bytes, now: float) -> bool:
        """A call to a provider; False: its queue is full, and nothing was put in."""
        return end.outbox.fits(len(frame)) and self.answer(end, frame, now)

    def answer(self, end: End, frame: bytes, now: float) -> bool:
        """A control frame. False: even the reserve is used up, and a client is cut off for it."""
        if not end.outbox.push(frame, now):
            if isinstance(end, Session):
                self.overrun.append(end)
            return False
        if not end.is_dirty:
            self.mark(end)
        return True

    def refuse(self, end: End, request: int, method: str, error: MajulaError, now: float) -> None:
        """ERROR in answer to a request, or (request 0) to a frame of type `method`."""
        self.answer(end, error_frame(error, request=request, method="" if request else method), now)

    def fail(self, end: End, call: int, error: MajulaError, now: float) -> None:
        """RESULT with the error as its fault."""
        after_s = getattr(error, "retry_after_s", 0.0)
        fault = Fault(error.code, error.message[:_SENTENCE_CHARACTERS], "", after_s)
        self.answer(end, encode_frame(Result(call, 0, fault)), now)

    def mark(self, end: End) -> None:
        """It has something waiting."""
        end.is_dirty = True
        if isinstance(end, Session):
            self.dirty.append(end)
        else:
            self.dirty_peers.append(end)


def error_frame(error: MajulaError, *, request: int = 0, method: str = "") -> bytes:
    """ERROR, with no more of what the client sent than a reader needs."""
    detail = {name: value[:_QUOTED_CHARACTERS] if isinstance(value, str) else value for name, value in error.detail.items()}
    return encode_frame(Error(request, error.code, error.message[:_SENTENCE_CHARACTERS], detail, method))
