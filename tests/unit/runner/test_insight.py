"""What the runner tells telemetry, and keeps for it while it is away."""

from __future__ import annotations

from majula.config import Gateway, NodeConfig
from majula.messages.base import Address, Message
from majula.messages.supervision import RoleEntry
from majula.messages.telemetry import Event, NodeFacts
from majula.runner.insight import Insight, insecure_listeners

CONFIG = NodeConfig(node_id="n1", majula_servers=(Gateway(port=18080),))
THERE = {"telemetry": RoleEntry(address="a2", incarnation=1, pid=7)}
AGAIN = {"telemetry": RoleEntry(address="a9", incarnation=2, pid=8)}


class Actors:
    """Takes what is sent, while it is told to."""

    def __init__(self) -> None:
        self.takes = True
        self.sent: list[tuple[Address, Message]] = []

    def send(self, target: Address, message: Message) -> bool:
        if self.takes:
            self.sent.append((target, message))
        return self.takes

    def events(self) -> list[int]:
        return [int(message.fields["n"]) for _, message in self.sent if isinstance(message, Event)]

    def states(self) -> list[str]:
        return [message.state for _, message in self.sent if isinstance(message, NodeFacts)]


def insight(actors: Actors) -> Insight:
    return Insight(CONFIG, began_at=1.0, send=actors.send)


def tell(insight: Insight, *numbers: int) -> None:
    for number in numbers:
        insight.event("child.started", role="router", pid=7, fields={"n": number})


def test_events_wait_for_telemetry_and_come_in_order() -> None:
    actors = Actors()
    told = insight(actors)
    tell(told, 1, 2)
    told.roles_came(THERE, state="starting", trees=1)
    tell(told, 3)
    assert actors.events() == [1, 2, 3]


def test_newest_events_are_kept_while_nobody_takes_them() -> None:
    actors = Actors()
    told = insight(actors)
    tell(told, *range(1_000))
    told.roles_came(THERE, state="starting", trees=1)
    assert actors.events() == list(range(744, 1_000))


def test_state_is_told_once_and_anew_to_another_telemetry() -> None:
    actors = Actors()
    told = insight(actors)
    told.roles_came(THERE, state="serving", trees=1)
    told.state_is("serving", 1)
    told.state_is("degraded", 1)
    told.roles_came(AGAIN, state="degraded", trees=1)
    assert actors.states() == ["serving", "degraded", "degraded"]
    assert [address for address, message in actors.sent if isinstance(message, NodeFacts)] == ["a2", "a2", "a9"]


def test_death_of_telemetry_itself_waits_for_the_next_one() -> None:
    """Also where the registry still has the dead one: the supervisor's report comes by another way."""
    actors = Actors()
    told = insight(actors)
    told.roles_came(THERE, state="serving", trees=1)
    told.event("child.died", role="telemetry", pid=7, fields={"n": 1, "offender": "telemetry"})
    told.roles_came(THERE, state="recovering", trees=1)
    assert actors.events() == []
    told.roles_came(AGAIN, state="serving", trees=1)
    assert actors.events() == [1]


def test_nothing_is_sent_to_a_tree_that_has_ended() -> None:
    actors = Actors()
    told = insight(actors)
    told.roles_came(THERE, state="serving", trees=1)
    told.tree_ended()
    tell(told, 1)
    assert actors.events() == []
    told.roles_came(AGAIN, state="recovering", trees=2)
    assert actors.events() == [1]


def test_listener_without_accounts_and_one_in_the_clear_are_named() -> None:
    entries = (Gateway(port=1), Gateway(port=2, bind="10.0.0.1", auth="token", insecure=True), Gateway(port=3, auth="token"))
    found = insecure_listeners(NodeConfig(node_id="n1", majula_servers=entries))
    assert [line.partition(" ")[0] for line in found] == ["gateway:1", "gateway:2"]
