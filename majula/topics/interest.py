"""Who wants what: from the subscriptions of one gateway's sessions to the routes of every topic on the node.

Two tables, both by subject (`subjects.subject_key`):

    subscriptions   one slice a gateway: `Wanted`, does it have plain subscribers, how many members of which queue group
    interest        made of all slices by the topic manager: `Interest`, which gateways want it

`InterestMerge` makes the one of the other. `Interests` is a gateway's view: its own subscriptions, which hold at once and need no
topic manager, beside the others' from the table; `route` says for a topic who gets it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from majula.messages.base import Role
from majula.tables.gathering import Changes
from majula.topics.matcher import Matcher
from majula.topics.subjects import from_key, has_wildcard, subject_key

S = TypeVar("S", bound=Hashable)
"""What a gateway calls a session; hashable by identity is best."""

SUBSCRIPTIONS = "subscriptions"
INTEREST = "interest"

# As many routes as the matcher keeps results; see there.
ROUTES_LIMIT = 16_384


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """Value of the table `subscriptions`: what one gateway wants of a subject.

    Args:
        plain: it has subscribers outside queue groups.
        groups: queue group -> how many members it has here.
    """

    plain: bool
    groups: dict[str, int]


class Interest(msgspec.Struct, frozen=True, array_like=True):
    """Value of the table `interest`: what the node wants of a subject.

    Args:
        plain: gateways with plain subscribers, in the order of their names.
        groups: queue group -> gateway -> how many members.
    """

    plain: tuple[Role, ...]
    groups: dict[str, dict[Role, int]]


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_wanted = msgspec.msgpack.Decoder(Wanted).decode
_interest = msgspec.msgpack.Decoder(Interest).decode


class InterestMerge:
    """Slices `subscriptions` of all gateways -> table `interest` (a `tables.Merge`)."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[Role, Wanted]] = {}
        self.unreadable = 0
        """Entries that could not be decoded; they count as not there."""

    def apply(self, owner: Role, entries: Mapping[str, bytes], removed: Iterable[str]) -> Changes:
        changes: Changes = {}
        for key, value in entries.items():
            try:
                wanted = _wanted(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                # Another version of a gateway, or a bug there: it must not end the topic manager again and again.
                self.unreadable += 1
                removed = (*removed, key)
                continue
            self._subjects.setdefault(key, {})[owner] = wanted
            changes[key] = self._value(key)
        for key in removed:
            if self._drop(key, owner):
                changes[key] = self._value(key)
        return changes

    def owner_lost(self, owner: Role) -> Changes:
        keys = [key for key, owners in self._subjects.items() if owner in owners]
        return {key: self._value(key) for key in keys if self._drop(key, owner)}

    def subjects(self) -> Mapping[str, object]:
        """The keys of everything that is wanted."""
        return self._subjects

    def wanted(self, key: str) -> tuple[tuple[Role, ...], tuple[str, ...]]:
        """The gateways that want a subject, and its queue groups."""
        owners = self._subjects.get(key, {})
        return tuple(sorted(owners)), tuple(sorted({group for wanted in owners.values() for group in wanted.groups}))

    def _drop(self, key: str, owner: Role) -> bool:
        owners = self._subjects.get(key)
        if owners is None or owners.pop(owner, None) is None:
            return False
        if not owners:
            del self._subjects[key]
        return True

    def _value(self, key: str) -> bytes | None:
        owners = self._subjects.get(key)
        if not owners:
            return None
        groups: dict[str, dict[Role, int]] = {}
        for owner in sorted(owners):
            for group, members in owners[owner].groups.items():
                groups.setdefault(group, {})[owner] = members
        return _encode(Interest(plain=tuple(owner for owner in sorted(owners) if owners[owner].plain), groups=groups))


class Group(Generic[S]):
    """One queue group among those that want a topic: its members here, and how many are at which other gateway."""

    __slots__ = ("members", "name", "remote")

    def __init__(self, name: str, members: tuple[S, ...], remote: tuple[tuple[Role, int], ...]) -> None:
        self.name = name
        self.members = members
        self.remote = remote


class Route(Generic[S]):
    """Who gets a topic.

    Attributes:
        sessions: of this gateway, each once.
        gateways: other gateways with plain subscribers, each once.
        groups: queue groups; one member of each gets it (`queue_groups`). Groups of one name are one group, whatever the
            subjects of
            their members.
    """

    __slots__ = ("gateways", "groups", "sessions")

    def __init__(self, sessions: tuple[S, ...], gateways: tuple[Role, ...], groups: tuple[Group[S], ...]) -> None:
        self.sessions = sessions
        self.gateways = gateways
        self.groups = groups

    def group(self, name: str) -> Group[S] | None:
        """The queue group of this name, for what another gateway sent to a member here."""
        return next((group for group in self.groups if group.name == name), None)

    def is_empty(self) -> bool:
        return not (self.sessions or self.gateways or self.groups)


class _Want(Generic[S]):
    """One value in the matcher: a session or a gateway, plain (`group` empty) or as a member. One object a pair, so identity is
    enough."""

    __slots__ = ("gateway", "group", "members", "session")

    def __init__(self, *, session: S | None = None, gateway: Role = "", group: str = "", members: int = 0) -> None:
        self.session = session
        self.gateway = gateway
        self.group = group
        self.members = members


class _Own(Generic[S]):
    """The own subscriptions of one subject, and how many are plain or of which group: so a change costs the same for any
    number."""

    __slots__ = ("groups", "plain", "wants")

    def __init__(self) -> None:
        self.wants: dict[tuple[S, str], _Want[S]] = {}
        self.plain = 0
        self.groups: dict[str, int] = {}

    def count(self, group: str, more: int) -> bool:
        """One more or less. True: what the slice says of the subject has changed."""
        if not group:
            self.plain += more
            return self.plain == (1 if more > 0 else 0)
        members = self.groups.get(group, 0) + more
        if members:
            self.groups[group] = members
        else:
            del self.groups[group]
        return True

    def value(self) -> bytes:
        return _encode(Wanted(plain=self.plain > 0, groups=self.groups))


class Interests(Generic[S]):
    """A gateway's own subscriptions and the other gateways' interest.

    Args:
        role: of this gateway; what `interest` says of it is ignored, the own subscriptions are newer.
    """

    def __init__(self, role: Role) -> None:
        self._role = role
        self._matcher: Matcher[_Want[S]] = Matcher(cache_limit=1)  # its results become routes, which are kept here
        self._routes: dict[str, Route[S]] = {}
        self._own: dict[str, _Own[S]] = {}
        self._remote: dict[str, list[_Want[S]]] = {}
        self._subscriptions = 0  # counted along: `statistics` is asked for twice a second, and there may be a million
        self.version = 0
        """Grows with each change: what was derived from routes of an older version is void."""

    def route(self, topic: str) -> Route[S]:
        """Who gets `topic` now. One dict lookup once the topic is known."""
        found = self._routes.get(topic)
        return found if found is not None else self._make(topic)

    def subscribe(self, session: S, subject: str, *, pattern: bool, queue: str = "") -> tuple[str, bytes] | None:
        """A session wants a subject, as a member of `queue` where that is not empty.

        Returns:
            The entry of this gateway's slice that changed by it; None: nothing changed there. (It is in force here in any case.)
        """
        key = subject_key(subject, pattern=pattern)
        own = self._own.setdefault(key, _Own())
        if (session, queue) in own.wants:
            return None
        want = own.wants[(session, queue)] = _Want(session=session, group=queue)
        self._subscriptions += 1
        self._matcher.add(subject, pattern, want)
        self._changed(subject, pattern)
        return (key, own.value()) if own.count(queue, 1) else None

    def unsubscribe(self, session: S, subject: str, *, pattern: bool, queue: str = "") -> tuple[str, bytes | None] | None:
        """The same subscription ends. Returns the entry that changed; its value None: it is to be removed."""
        key = subject_key(subject, pattern=pattern)
        own = self._own.get(key)
        if own is None or (session, queue) not in own.wants:
            return None
        self._matcher.remove(subject, pattern, own.wants.pop((session, queue)))
        self._subscriptions -= 1
        self._changed(subject, pattern)
        is_changed = own.count(queue, -1)
        if not own.wants:
            del self._own[key]
            return key, None
        return (key, own.value()) if is_changed else None

    def apply(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> None:
        """The table `interest` has changed."""
        for key in removed:
            self._forget(key)
        for key, value in entries.items():
            self._forget(key)
            subject, pattern = from_key(key)
            interest = _interest(value)
            wants = [_Want[S](gateway=gateway) for gateway in interest.plain if gateway != self._role]
            for group, gateways in interest.groups.items():
                wants += [_Want[S](gateway=at, group=group, members=n) for at, n in gateways.items() if at != self._role]
            for want in wants:
                self._matcher.add(subject, pattern, want)
            if wants:
                self._remote[key] = wants
                self._changed(subject, pattern)

    def statistics(self) -> dict[str, int]:
        return {
            "subscriptions": self._subscriptions,
            "subjects": len(self._own),
            "remote_subjects": len(self._remote),
            "routes": len(self._routes),
        }

    def _forget(self, key: str) -> None:
        subject, pattern = from_key(key)
        for want in self._remote.pop(key, ()):
            self._matcher.remove(subject, pattern, want)
            self._changed(subject, pattern)

    def _changed(self, subject: str, pattern: bool) -> None:
        self.version += 1
        if pattern and has_wildcard(subject):
            self._routes.clear()
        else:
            self._routes.pop(subject, None)

    def _make(self, topic: str) -> Route[S]:
        sessions: dict[S, None] = {}
        gateways: dict[Role, None] = {}
        members: dict[str, dict[S, None]] = {}
        remote: dict[str, dict[Role, int]] = {}
        for want in self._matcher.match(topic):
            if want.group:
                counts = remote.setdefault(want.group, {})
                if want.session is None:
                    counts[want.gateway] = counts.get(want.gateway, 0) + want.members
                else:
                    members.setdefault(want.group, {})[want.session] = None
            elif want.session is None:
                gateways[want.gateway] = None
            else:
                sessions[want.session] = None
        groups = tuple(Group(name, tuple(members.get(name, ())), tuple(counts.items())) for name, counts in remote.items())
        route = Route(tuple(sessions), tuple(gateways), groups)
        if len(self._routes) >= ROUTES_LIMIT:
            del self._routes[next(iter(self._routes))]
        self._routes[topic] = route
        return route
