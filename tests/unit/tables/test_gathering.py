"""Many slices into one merged table, and the confirmation's way back. Every test plays all actors by one small post office."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from majula.messages.base import Message
from majula.messages.tables import Ask
from majula.tables.effects import Changed, Effect, InForce, Send, Unconfirmed
from majula.tables.exchange import TableExchange
from majula.tables.gathering import GATHER_S, Changes
from majula.tables.publisher import TablePublisher


class Names:
    """Who has a key, as text."""

    def __init__(self) -> None:
        self.owners: dict[str, list[str]] = {}

    def apply(self, owner: str, entries: Mapping[str, bytes], removed: Iterable[str]) -> Changes:
        for key in entries:
            if owner not in self.owners.setdefault(key, []):
                self.owners[key].append(owner)
        return {key: self._value(key) for key in entries} | {key: self._without(key, owner) for key in removed}

    def owner_lost(self, owner: str) -> Changes:
        return {key: self._without(key, owner) for key, owners in self.owners.items() if owner in owners}

    def _without(self, key: str, owner: str) -> bytes | None:
        self.owners[key] = [name for name in self.owners.get(key, []) if name != owner]
        return self._value(key)

    def _value(self, key: str) -> bytes | None:
        return ",".join(sorted(self.owners[key])).encode() or None


class Office:
    """Actors by role, and the post between them: delivered at once, in order, unless it is held."""

    def __init__(self) -> None:
        self.now = 0.0
        self.actors: dict[str, TableExchange] = {}
        self.slices: dict[str, TablePublisher] = {}
        self.kept: TablePublisher
        self.registry: dict[str, str] = {}
        self.post: list[tuple[str, str, Message]] = []
        self.held: set[str] = set()
        self.news: list[tuple[str, Changed | InForce | Unconfirmed]] = []

    def join(self, role: str, incarnation: int = 1) -> TableExchange:
        exchange = TableExchange(role=role, incarnation=incarnation, random32=7, now=self.now)
        if role == "owner":
            exchange.gather("slices", of="gateway:", into="merged", merge=Names())
            self.kept = exchange.regain("kept", of="gateway:")
        else:
            self.slices[role] = exchange.publish("slices", to="owner", needs_holder=True)
            exchange.hold("merged", of="owner")
            exchange.hold("kept", of="owner", gives_back=True)
        self.actors[role] = exchange
        self.registry[role] = f"{role}@{incarnation}"
        return exchange

    def leave(self, role: str) -> None:
        del self.actors[role], self.registry[role]
        for other in self.actors:
            self.run(other, self.actors[other].role_changed(role, None, 1, self.now))

    def introduce(self, *order: str) -> None:
        """Everybody hears of everybody, those named first before the others."""
        for role in (*order, *(role for role in self.actors if role not in order)):
            for other, address in self.registry.items():
                if other != role:
                    self.run(role, self.actors[role].role_changed(other, address, 1, self.now))
            self.run(role, self.actors[role].timer(self.now))
        self.deliver()

    def run(self, role: str, effects: list[Effect] | None) -> None:
        for effect in effects or []:
            if isinstance(effect, Send):
                self.post.append((role, effect.to, effect.message))
            else:
                self.news.append((role, effect))

    def deliver(self) -> None:
        """Everything but the post of those that are held."""
        while ready := [letter for letter in self.post if letter[1].partition("@")[0] not in self.held]:
            letter = ready[0]
            self.post.remove(letter)
            sender, to, message = letter
            role = to.partition("@")[0]
            if self.registry.get(role) == to and sender in self.registry:
                self.run(role, self.actors[role].receive(message, self.registry[sender], self.now))

    def tick(self, seconds: float) -> None:
        """Time passes; timers fire at their deadlines."""
        end = self.now + seconds
        while True:
            role, exchange = min(self.actors.items(), key=lambda entry: entry[1].next_deadline())
            if exchange.next_deadline() > end:
                break
            self.now = max(self.now, exchange.next_deadline())
            self.run(role, exchange.timer(self.now))
            self.deliver()
        self.now = end

    def put(self, role: str, key: str) -> None:
        self.slices[role].put(key, b"1", self.now)
        self.run(role, self.actors[role].confirm("slices", 1, self.now))
        self.deliver()

    def merged(self, role: str) -> dict[str, bytes]:
        return dict(self.actors[role].held("merged"))

    def tokens(self) -> list[tuple[str, bool]]:
        return [(role, isinstance(news, InForce)) for role, news in self.news if not isinstance(news, Changed)]


def office(gateways: int = 2) -> Office:
    office = Office()
    for n in range(1, gateways + 1):
        office.join(f"gateway:{n}")
    office.join("owner")
    office.introduce()
    return office


def test_every_gateway_gets_what_all_slices_say() -> None:
    node = office()
    node.put("gateway:1", "a")
    node.put("gateway:2", "a")
    assert node.merged("gateway:1") == node.merged("gateway:2") == {"a": b"gateway:1,gateway:2"}


def test_token_is_in_force_when_the_other_gateway_has_it() -> None:
    node = office()
    node.held = {"gateway:2"}
    node.put("gateway:1", "a")
    assert node.tokens() == []
    node.held = set()
    node.deliver()
    assert node.tokens() == [("gateway:1", True)]
    assert node.merged("gateway:2") == {"a": b"gateway:1"}


def test_token_is_not_in_force_while_nobody_owns_the_merged_table() -> None:
    node = office()
    node.leave("owner")
    node.put("gateway:1", "a")
    node.tick(10.0)
    assert node.tokens() == [("gateway:1", False)]


def test_token_given_while_the_owner_is_away_is_in_force_when_it_is_back() -> None:
    node = office()
    node.leave("owner")
    node.put("gateway:1", "a")
    node.join("owner", incarnation=2)
    node.introduce()
    assert node.tokens() == [("gateway:1", True)]
    assert node.merged("gateway:2") == {"a": b"gateway:1"}


def test_entries_of_a_lost_gateway_are_gone_at_once() -> None:
    node = office()
    node.put("gateway:1", "a")
    node.leave("gateway:1")
    node.tick(0.01)
    assert node.merged("gateway:2") == {}


def test_owner_that_comes_back_sends_nothing_before_it_has_heard_every_gateway() -> None:
    node = office()
    node.put("gateway:1", "a")
    node.put("gateway:2", "b")
    node.leave("owner")
    node.held = {"gateway:2"}
    node.join("owner", incarnation=2)
    node.introduce()
    node.tick(GATHER_S / 2)
    assert node.merged("gateway:1") == {"a": b"gateway:1", "b": b"gateway:2"}, "the last table is in force"
    assert not node.actors["gateway:1"].is_current("merged")
    node.held = set()
    node.deliver()
    assert node.actors["gateway:1"].is_current("merged")
    assert node.merged("gateway:1") == {"a": b"gateway:1", "b": b"gateway:2"}


def test_gateway_that_stays_silent_is_waited_for_no_longer_than_the_limit() -> None:
    node = office()
    node.put("gateway:1", "a")
    node.leave("owner")
    node.held = {"gateway:2"}
    node.join("owner", incarnation=2)
    node.introduce()
    node.tick(GATHER_S + 0.1)
    assert node.actors["gateway:1"].is_current("merged")


def test_silent_gateway_that_goes_away_is_waited_for_no_longer() -> None:
    node = office()
    node.put("gateway:1", "a")
    node.leave("owner")
    node.held = {"gateway:2"}
    node.join("owner", incarnation=2)
    node.introduce()
    node.leave("gateway:2")
    node.deliver()
    assert node.actors["gateway:1"].is_current("merged")


def test_question_of_a_gateway_that_the_owner_has_not_heard_of_is_answered_when_it_has() -> None:
    node = Office()
    node.join("gateway:1")
    node.join("owner")
    node.introduce("gateway:1")
    assert node.actors["gateway:1"].is_current("merged")
    assert node.now == 0.0, "without a retry"


def test_stranger_that_is_never_named_is_never_answered() -> None:
    node = office()
    for n in range(1_000):
        assert node.actors["owner"].receive(Ask("merged", 0, 0), f"stranger{n}", 0.0) == []


def test_kept_table_goes_on_from_the_newest_copy_after_a_restart_of_its_owner() -> None:
    node = office()
    node.kept.put("x", b"1", node.now)
    node.kept.put("y", b"1", node.now)
    node.tick(1.0)
    node.held = {"gateway:2"}
    node.kept.remove("x", node.now)
    node.tick(0.1)
    node.leave("owner")
    node.post.clear()
    node.held = set()
    node.join("owner", incarnation=2)
    node.introduce()
    node.tick(1.0)
    assert dict(node.kept.items()) == {"y": b"1"}, "what the newest copy had lost is not brought back by an older one"
    for gateway in ("gateway:1", "gateway:2"):
        assert dict(node.actors[gateway].held("kept")) == {"y": b"1"}


def test_kept_table_that_nobody_has_begins_empty() -> None:
    node = office()
    assert node.kept.is_open
    assert len(node.kept) == 0


def test_nothing_is_armed_when_nothing_is_to_be_done() -> None:
    node = office()
    node.put("gateway:1", "a")
    node.tick(20.0)
    assert {exchange.next_deadline() for exchange in node.actors.values()} == {inf}
