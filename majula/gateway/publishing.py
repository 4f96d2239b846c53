"""What is done with a publication whose route is known: one frame for every target, a share for every queue group member."""

from __future__ import annotations

from collections.abc import Mapping

from majula.gateway.outlets import Outlets
from majula.gateway.peers import Peer
from majula.gateway.routes import GroupRoute, Route
from majula.gateway.session import Session
from majula.messages.base import Role
from majula.topics.queue_groups import QueueGroups
from majula.wire.frames import Span, count_run, cut_run, pack_frame

# Parts into which one run is cut for a queue group at most: more members than this get theirs with the next run.
_SHARES = 64


class Publishing:
    """The way of a publication out of this gateway.

    Args:
        role: of this gateway.
        out: where frames go.
        peers: the other gateways by role, as they are now.
    """

    def __init__(self, *, role: Role, out: Outlets, peers: Mapping[Role, Peer]) -> None:
        self.messages = 0
        """Messages of clients that were published here, ever."""
        self._role = role
        self._out = out
        self._peers = peers
        self._queue_groups: QueueGroups[Session] = QueueGroups(role)

    def deliver(self, route: Route, chunk: bytes, span: Span, now: float) -> int:
        """Give a frame to all targets of its route. Returns the number of messages in it.

        Raises:
            ProtocolError: its run is malformed; nobody got anything.
        """
        start, body, end = span
        count = count_run(chunk, body, end)
        frame = chunk[start:end]
        publish = self._out.publish
        for session in route.sessions:
            publish(session, frame, count, now)
        for peer in route.peers:
            publish(peer, frame, count, now)
        for group in route.groups:
            self._share(group, chunk[body:end], count, now)
        return count

    def _share(self, route: GroupRoute, run: bytes, count: int, now: float) -> None:
        """Share the messages out among the members: each message to one, a run in as many parts as there are members."""
        group = route.group
        parts = (run,) if count == 1 or route.shares == 1 else cut_run(run, min(route.shares, _SHARES))
        for part in parts:
            gateway = self._queue_groups.pick_gateway(group, self._is_usable)
            if gateway is None:
                return
            end: Session | Peer | None
            if gateway == self._role:
                end = self._queue_groups.pick_member(group.name, group.members, _load)
            else:
                end = self._peers.get(gateway)
            if end is None:
                return
            messages = count if len(parts) == 1 else count_run(part)
            self._out.publish(end, pack_frame(route.header, part), messages, now)

    def _is_usable(self, role: Role) -> bool:
        peer = self._peers.get(role)
        return peer is not None and not peer.outbox.is_full


def _load(session: Session) -> int:
    return session.outbox.bytes
