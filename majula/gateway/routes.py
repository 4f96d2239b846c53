"""Where a publication goes: from the bytes of a PUBLISH header to sessions, gateways and queue groups.

A program publishes to few topics, so the header bytes of its frames repeat. What they lead to is worked out once and kept in
a dict by those bytes, all of it forgotten when a subscription of this gateway or the interest table changes. A hit costs one
dict lookup; neither the header is decoded nor the topic matched.
"""

from __future__ import annotations

import msgspec

from majula.errors import InvalidRequest, ProtocolError
from majula.gateway.peers import Peer
from majula.gateway.session import Session
from majula.messages.base import Role
from majula.topics import interest
from majula.topics.interest import Interests
from majula.topics.subjects import check_publish
from majula.wire.frames import decode_header, encode_header
from majula.wire.headers import RETAIN, Publish

# Strangers choose topics: this bounds what a flood of new ones costs. An entry is some 400 bytes.
CACHE_LIMIT = 4_096
# A topic has 256 bytes at most, so a longer header has fields that nobody knows: it is served, and forgotten.
_KEPT_HEADER_BYTES = 512


class GroupRoute:
    """One queue group that wants the topic.

    header: of the frames that its members get; it names the group.
    shares: into how many parts a run is cut at most, one for each member.
    """

    __slots__ = ("group", "header", "shares")

    def __init__(self, group: interest.Group[Session], header: bytes, *, shares: int) -> None:
        self.group = group
        self.header = header
        self.shares = shares


class Route:
    """Where all frames with one PUBLISH header go.

    is_plain: to `sessions` and `peers` as they came, nothing else to do.
    """

    __slots__ = ("groups", "header", "is_plain", "peers", "sessions")

    def __init__(
        self, header: Publish, sessions: tuple[Session, ...], peers: tuple[Peer, ...], groups: tuple[GroupRoute, ...]
    ) -> None:
        self.header = header
        self.sessions = sessions
        self.peers = peers
        self.groups = groups
        self.is_plain = not groups and not header.flags & RETAIN


class Routes:
    """Routes by header bytes, over the interests by topic.

    Args:
        role: of this gateway.
    """

    def __init__(self, role: Role) -> None:
        self.interests: Interests[Session] = Interests(role)
        self._peers: dict[Role, Peer] = {}
        self._by_header: dict[bytes, Route] = {}
        self._by_peer_header: dict[bytes, Route] = {}
        self._version = 0
        self._misses = 0

    def by_header(self) -> dict[bytes, Route]:
        """The routes known for headers of clients. Valid until anything changes, so take it anew for each chunk."""
        self._refresh()
        return self._by_header

    def by_peer_header(self) -> dict[bytes, Route]:
        """The same for headers that come from other gateways."""
        self._refresh()
        return self._by_peer_header

    def set_peer(self, role: Role, peer: Peer | None) -> None:
        """The gateway behind a role, None: it is away."""
        if peer is None:
            self._peers.pop(role, None)
        else:
            self._peers[role] = peer
        self._forget()

    def find(self, header_bytes: bytes) -> tuple[Route, Publish]:
        """The route of a client's PUBLISH header that is not known yet, and the header as the client wrote it.

        Raises:
            ProtocolError: it cannot be read.
            InvalidRequest, PermissionDenied: nobody may publish so.
        """
        self._misses += 1
        asked = header = _publish_header(header_bytes)
        check_publish(header.topic)
        if header.queue or header.flags & ~RETAIN:
            raise InvalidRequest("`queue` and RETAINED in PUBLISH are set by a gateway only")
        if header.request:
            # Subscribers get the header without the number: it is the publisher's business, and equal headers are cheap.
            header = msgspec.structs.replace(header, request=0)
        route = self._make(header)
        if asked is header and header.headers is None:
            self._refresh()
            _keep(self._by_header, header_bytes, route)
        return route, asked

    def find_own(self, header: Publish) -> Route:
        """The route of what the node itself publishes, on a topic that is closed to clients."""
        return self._make(header)

    def find_for_peer(self, header_bytes: bytes) -> Route:
        """The route of a PUBLISH that came from another gateway: to sessions of this one only.

        Raises:
            ProtocolError: it cannot be read.
        """
        header = _publish_header(header_bytes)
        wanted = self.interests.route(header.topic)
        if header.queue:
            group = wanted.group(header.queue)
            groups: tuple[GroupRoute, ...] = ()
            if group is not None:
                # One share: the origin has cut the run for our members already.
                groups = (GroupRoute(interest.Group(group.name, group.members, ()), header_bytes, shares=1),)
            route = Route(header, (), (), groups)
        else:
            # The origin has given RETAIN to the topic manager already.
            route = Route(msgspec.structs.replace(header, flags=header.flags & ~RETAIN), wanted.sessions, (), ())
        if header.headers is None:
            self._refresh()
            _keep(self._by_peer_header, header_bytes, route)
        return route

    def statistics(self) -> dict[str, int]:
        own = {"headers": len(self._by_header) + len(self._by_peer_header), "header_misses_total": self._misses}
        return self.interests.statistics() | own

    def _make(self, header: Publish) -> Route:
        wanted = self.interests.route(header.topic)
        peers = tuple(self._peers[role] for role in wanted.gateways if role in self._peers)
        groups = tuple(
            GroupRoute(
                group,
                encode_header(msgspec.structs.replace(header, queue=group.name)),
                shares=len(group.members) + sum(count for _, count in group.remote),
            )
            for group in wanted.groups
        )
        return Route(header, wanted.sessions, peers, groups)

    def _refresh(self) -> None:
        if self._version != self.interests.version:
            self._version = self.interests.version
            self._forget()

    def _forget(self) -> None:
        self._by_header.clear()
        self._by_peer_header.clear()


def _publish_header(header_bytes: bytes) -> Publish:
    header = decode_header(header_bytes)
    if not isinstance(header, Publish):
        raise ProtocolError("this frame is not a PUBLISH")
    return header


def _keep(cache: dict[bytes, Route], header_bytes: bytes, route: Route) -> None:
    if len(header_bytes) > _KEPT_HEADER_BYTES:
        return
    if len(cache) >= CACHE_LIMIT:
        cache.clear()
    cache[header_bytes] = route
