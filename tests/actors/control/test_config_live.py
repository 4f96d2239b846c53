"""The config actor as a process: how a change of the configuration reaches the roles, and what its death and theirs do to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from majula.auth import operations as auth
from majula.auth.book import TOKENS
from majula.config import operations
from majula.config.actor import ConfigActorSettings
from majula.errors import ConfigError, Conflict, MajulaError, from_code
from majula.messages.base import Address, Message, Role, decode
from majula.messages.config import Attach, Condition, Reload, RunnerSettings, Settings
from majula.messages.operations import Caller, Perform, Performed
from majula.messages.telemetry import Event
from majula.operations import Operation
from tests.actors.supervision.rig import PATIENCE_S, record_recovery

from .gateway_probe import Heard
from .rig import ControlRig
from .settings_probe import Obeys

pytestmark = pytest.mark.slow
ACTOR = "majula.actors.config.ConfigActor"
FRAGILE = f"{__package__}.fragile.FragileConfig"
PROBE = f"{__package__}.settings_probe.SettingsProbe"
ONE, TWO = "gateway:1", "gateway:2"
TEXT = """\
# two gateways
node_id: n1
majula_servers:
  - port: 1
  - port: 2   # the second
"""
HOSTS = {"majula_servers": {"1": {"hosts": ["a.example"]}}}


def deep(levels: int) -> dict[str, Any]:
    """Mappings in one another."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


class LiveRig(ControlRig):
    """The config actor with a file of its own, and the place of the runner."""

    def __init__(self, folder: Path, *, actor: str = ACTOR) -> None:
        self.file = folder / "node.yaml"
        self.file.write_text(TEXT)
        settings = ConfigActorSettings(
            data_dir=str(folder / "data"), text=TEXT.encode(), file=str(self.file), name="node.yaml", directory=str(folder)
        )
        super().__init__(folder / "r", "config", actor, config=msgspec.msgpack.encode(settings), probe=PROBE, telemetry=True)
        self.obeyed: list[Obeys] = []
        self.events: list[Event] = []
        self.condition: Condition | None = None
        self.runner: RunnerSettings | None = None

    async def __aenter__(self) -> LiveRig:
        await super().__aenter__()
        await self.ready(TOKENS)
        return self

    def _take(self, message: Message, sender: Address) -> None:
        match message:
            case Obeys():
                self.obeyed.append(message)
            case Heard() if isinstance(event := decode(message.message), Event):
                self.events.append(event)
            case Condition():
                self.condition = message
            case Settings():
                assert message.role == "runner"
                self.runner = msgspec.msgpack.decode(message.settings, type=RunnerSettings)
        super()._take(message, sender)

    async def perform(self, operation: Operation, request: msgspec.Struct, *, who: str = "tok-1") -> Any:
        question = Perform(7, operation.name, msgspec.msgpack.encode(request), Caller(who, "ann"))
        answer = await self.outside.ask(self.roles["config"].address, question, PATIENCE_S)
        assert isinstance(answer, Performed)
        if answer.code:
            raise from_code(answer.code, answer.message, answer.detail)
        return msgspec.msgpack.decode(answer.answer, type=operation.answer)

    async def change(self, change: dict[str, Any], **fields: Any) -> operations.ConfigChangeAnswer:
        found = await self.perform(operations.CHANGE, operations.ConfigChangeRequest(change=change, **fields))
        assert isinstance(found, operations.ConfigChangeAnswer)
        return found

    async def until_obeyed(self, role: Role, *hosts: str, after: int = 0) -> Obeys:
        """The first that the role says of these host names, not counting its first `after` words."""

        def found() -> list[Obeys]:
            return [said for said in [said for said in self.obeyed if said.by == role][after:] if said.hosts == hosts]

        await self.until(lambda: bool(found()))
        return found()[0]

    def said_by(self, role: Role) -> int:
        return len([said for said in self.obeyed if said.by == role])


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[LiveRig]:
    async with LiveRig(tmp_path) as rig:
        await rig.until(lambda: rig.said_by(ONE) > 0 and rig.said_by(TWO) > 0)
        yield rig


async def test_change_reaches_the_gateway_that_it_concerns_and_no_other(rig: LiveRig) -> None:
    answer = await rig.change(HOSTS)
    assert [(item.path, item.effect) for item in answer.items] == [("majula_servers[0].hosts", "applied")]
    assert (await rig.until_obeyed(ONE, "a.example")).is_new
    assert rig.said_by(TWO) == 1


async def test_gateway_that_dies_comes_back_with_the_newest_settings(rig: LiveRig) -> None:
    await rig.change(HOSTS)
    await rig.until_obeyed(ONE, "a.example")
    before = rig.said_by(ONE)
    await rig.recovered(ONE, rig.kill(ONE))
    assert not (await rig.until_obeyed(ONE, "a.example", after=before)).is_new


async def test_change_is_in_the_audit_without_values(rig: LiveRig) -> None:
    await rig.change({"token": "a-secret-that-nobody-may-see"})
    (entry,) = (await rig.perform(auth.AUDIT, auth.AuditRequest())).entries
    assert (entry.who, entry.what) == ("tok-1", "config.change")
    assert entry.detail == {"revision": 2, "keys": ["token"], "more": 0, "restart": ["token"]}


async def test_change_is_an_event(rig: LiveRig) -> None:
    await rig.change(HOSTS)
    await rig.until(lambda: any(event.name == "config.changed" for event in rig.events))
    event = next(event for event in rig.events if event.name == "config.changed")
    assert (event.fields["revision"], event.fields["who"], event.fields["keys"]) == (2, "tok-1", "majula_servers[0].hosts")


async def test_file_that_is_edited_is_taken(rig: LiveRig) -> None:
    rig.file.write_text(TEXT.replace("port: 2 ", "port: 2\n    hosts: [b.example] "))
    assert (await rig.until_obeyed(TWO, "b.example")).is_new
    found = await rig.perform(operations.REVISIONS, operations.RevisionsRequest())
    assert [(entry.revision, entry.source) for entry in found.revisions] == [(2, "file"), (1, "file")]


async def test_wrong_file_at_sighup_leaves_the_old_one_and_is_told(rig: LiveRig) -> None:
    rig.act("config", Attach())
    rig.file.write_text(TEXT + "drain: 3\n")
    rig.act("config", Reload())
    await rig.until(lambda: rig.condition is not None and bool(rig.condition.refused))
    assert rig.condition is not None and rig.condition.revision == 1
    assert rig.condition.refused == ("node.yaml:6:1: unknown key 'drain' (did you mean 'drain_s'?)",)
    await rig.until(lambda: any(event.name == "config.refused" for event in rig.events))
    assert next(event for event in rig.events if event.name == "config.refused").fields["source"] == "signal"


async def test_runner_hears_what_it_is_to_obey(rig: LiveRig) -> None:
    rig.act("config", Attach())
    await rig.until(lambda: rig.condition is not None)
    assert rig.runner is None
    await rig.change({"drain_s": 3})
    await rig.until(lambda: rig.runner is not None)
    assert rig.runner == RunnerSettings(drain_s=3.0)


async def test_runner_that_comes_late_hears_what_has_changed(rig: LiveRig) -> None:
    await rig.change({"drain_s": 3})
    rig.act("config", Attach())
    await rig.until(lambda: rig.runner is not None)
    assert rig.runner == RunnerSettings(drain_s=3.0)


async def test_changes_at_once_follow_one_another_and_one_of_two_for_a_revision_wins(rig: LiveRig) -> None:
    results = await asyncio.gather(
        *(rig.change({"drain_s": seconds}, revision=1) for seconds in range(1, 9)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["ConfigChangeAnswer"] + ["Conflict"] * 7


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (operations.ConfigChangeRequest(change={"drain": 1}), ConfigError),
        (operations.ConfigChangeRequest(text="node_id: ["), ConfigError),
        (operations.ConfigChangeRequest(change={"drain_s": 1}, revision=7), Conflict),
        (operations.ConfigChangeRequest(change={"majula_servers": {"9": None}}), MajulaError),
        (operations.ConfigChangeRequest(change={"drain_s": b"bytes"}), MajulaError),
        (operations.ConfigChangeRequest(change={"drain_s": float("nan")}), MajulaError),
        (operations.ConfigChangeRequest(change={"limits": {1: 2}}), MajulaError),
        (operations.ConfigChangeRequest(change={"node_id": "x" * 200_000}), MajulaError),
        (operations.ConfigChangeRequest(change={"limits": deep(400)}), MajulaError),
        (operations.ConfigChangeRequest(text="[" * 100_000), ConfigError),
    ],
)
async def test_change_that_is_wrong_is_refused_and_the_actor_lives(
    rig: LiveRig, request_: operations.ConfigChangeRequest, error: type[MajulaError]
) -> None:
    former = rig.roles["config"]
    with pytest.raises(error):
        await rig.perform(operations.CHANGE, request_)
    assert (await rig.change(HOSTS, dry_run=True)).revision == 1
    assert rig.roles["config"] == former and rig.file.read_text() == TEXT


async def test_parameters_that_are_none_are_refused_and_the_actor_lives(rig: LiveRig) -> None:
    for operation in operations.OPERATIONS:
        answer = await rig.outside.ask(
            rig.roles["config"].address, Perform(1, operation.name, b"\x07", Caller("", "")), PATIENCE_S
        )
        assert isinstance(answer, Performed) and answer.code == "invalid_request", operation.name


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["SIGKILL", "SIGSTOP"])
async def test_config_that_dies_goes_on_with_the_newest_revision(
    rig: LiveRig, number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    await rig.change(HOSTS)
    seconds = await rig.recovered("config", rig.kill("config", number))
    shown = await rig.perform(operations.SHOW, operations.ConfigShowRequest(defaults=False))
    assert (shown.revision, shown.document["majula_servers"][0]["hosts"]) == (2, ["a.example"])
    assert (await rig.change({"drain_s": 1})).revision == 3
    record_recovery("config", f"{number.name} live", seconds, request.node.nodeid)


async def test_supervisor_that_dies_has_its_roles_told_again(rig: LiveRig) -> None:
    """Of a gateway that is started again with what the node was started with, config is the one that knows better."""
    await rig.change(HOSTS)
    await rig.until_obeyed(ONE, "a.example")
    former = rig.roles["config"]
    rig.act("supervisor:root", Settings(ONE, msgspec.msgpack.encode({}), revision=1))  # as if it had never been told
    await rig.status()
    before = rig.said_by(ONE)
    await rig.recovered(ONE, rig.kill(ONE))
    await rig.until_obeyed(ONE, "a.example", after=before)  # it may have been told before it knew of who listens to it
    assert rig.roles["config"] == former


async def test_file_that_was_edited_while_config_was_away_is_taken(rig: LiveRig) -> None:
    former = rig.kill("config", signal.SIGSTOP)
    rig.file.write_text(TEXT.replace("port: 2 ", "port: 2\n    hosts: [b.example] "))
    await rig.recovered("config", former)
    assert (await rig.until_obeyed(TWO, "b.example")).is_new
