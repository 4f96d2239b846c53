"""The config actor as a process: tokens and audit while it works, dies, comes back, and has no room on its disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from majula.auth import operations as auth
from majula.auth.book import TOKENS, decode_entry
from majula.auth.tokens import digest_of
from majula.config.actor import ConfigActorSettings
from majula.errors import DiskFull, MajulaError, NotFound, from_code
from majula.messages.auth import Audit, Spend, Spent, Used
from majula.messages.base import Message
from majula.messages.operations import Caller, Perform, Performed
from majula.messages.supervision import Stop
from majula.operations import Operation
from tests.actors.supervision.rig import PATIENCE_S, record_recovery

from .fragile import Fail
from .rig import ControlRig
from .test_exceptions import REASONS

pytestmark = pytest.mark.slow
ACTOR = "majula.actors.config.ConfigActor"
ONE, TWO = "gateway:1", "gateway:2"
S = TypeVar("S", bound=Message)


class Desk:
    """What a gateway asks the config actor, asked from outside."""

    def __init__(self, rig: ControlRig) -> None:
        self.rig = rig

    async def ask(self, message: Message, kind: type[S]) -> S:
        answer = await self.rig.outside.ask(self.rig.roles["config"].address, message, PATIENCE_S)
        assert isinstance(answer, kind)
        return answer

    async def perform(self, operation: Operation, request: msgspec.Struct, *, who: str = "uid:1000") -> Any:
        """The operation's answer. Raises what the client would be told."""
        question = Perform(7, operation.name, msgspec.msgpack.encode(request), Caller(who, "ann"))
        answer = await self.ask(question, Performed)
        assert answer.number == 7
        if answer.code:
            raise from_code(answer.code, answer.message, answer.detail)
        return msgspec.msgpack.decode(answer.answer, type=operation.answer)

    async def create(self, **fields: Any) -> auth.TokenCreateAnswer:
        found = await self.perform(auth.CREATE, auth.TokenCreateRequest(**{"scopes": ("publish:a",), **fields}))
        assert isinstance(found, auth.TokenCreateAnswer)
        return found

    async def audit(self) -> list[tuple[str, str]]:
        found = await self.perform(auth.AUDIT, auth.AuditRequest())
        return [(entry.who, entry.what) for entry in found.entries]

    async def spend(self, token: str, claimant: str) -> str:
        return (await self.ask(Spend(1, token, claimant), Spent)).code


def config(data_dir: Path) -> bytes:
    return msgspec.msgpack.encode(ConfigActorSettings(data_dir=str(data_dir)))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with ControlRig(tmp_path / "r", "config", ACTOR, config=config(tmp_path / "data")) as rig:
        await rig.ready(TOKENS)
        yield Desk(rig)


async def test_token_that_was_answered_is_known_at_every_gateway(desk: Desk) -> None:
    made = await desk.create(scopes=("publish:a", "-publish:b"))
    for gateway in (ONE, TWO):
        await desk.rig.until_held(gateway, TOKENS, lambda entries: digest_of(made.secret) in entries)
        entry = decode_entry(desk.rig.held(gateway, TOKENS)[digest_of(made.secret)])
        assert (entry.id, entry.scopes) == (made.token.id, ("publish:a", "-publish:b"))


async def test_revoked_token_leaves_every_gateway(desk: Desk) -> None:
    made = await desk.create()
    await desk.rig.until_held(TWO, TOKENS, bool)
    revoked = await desk.perform(auth.REVOKE, auth.TokenRequest(made.token.id))
    assert revoked.state == "revoked"
    for gateway in (ONE, TWO):
        await desk.rig.until_held(gateway, TOKENS, lambda entries: not entries)


async def test_who_revokes_his_own_token_is_answered(desk: Desk) -> None:
    made = await desk.create()
    revoked = await desk.perform(auth.REVOKE, auth.TokenRequest(made.token.id), who=made.token.id)
    assert revoked.state == "revoked"
    await desk.rig.until_held(ONE, TOKENS, lambda entries: not entries)


async def test_token_is_listed_and_shown_without_its_secret(desk: Desk) -> None:
    made = await desk.create(note="for the sensor")
    listed = await desk.perform(auth.LIST, auth.TokensRequest())
    assert listed.tokens == (made.token,)
    assert await desk.perform(auth.SHOW, auth.TokenRequest(made.token.id)) == made.token


async def test_unknown_token_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.perform(auth.SHOW, auth.TokenRequest("tok-none"))
    with pytest.raises(NotFound):
        await desk.perform(auth.REVOKE, auth.TokenRequest("tok-none"))


async def test_parameters_that_are_none_are_refused_and_the_actor_lives(desk: Desk) -> None:
    former = desk.rig.roles["config"]
    for operation in (auth.CREATE, auth.REVOKE, auth.AUDIT, auth.LIST):
        answer = await desk.ask(Perform(1, operation.name, b"\x07", Caller("", "")), Performed)
        assert answer.code == "invalid_request", operation.name
    assert desk.rig.roles["config"] == former


async def test_operation_of_somebody_else_is_not_found(desk: Desk) -> None:
    answer = await desk.ask(Perform(1, "topics.list", b"\x80", Caller("", "")), Performed)
    assert answer.code == "not_found"


async def test_of_fifty_claims_at_once_exactly_one_wins(desk: Desk) -> None:
    made = await desk.create(single_use=True)
    codes = await asyncio.gather(*(desk.spend(made.token.id, f"session-{n}") for n in range(50)))
    assert sorted(codes) == [""] + ["unauthorized"] * 49


async def test_winner_of_a_single_use_token_may_ask_again(desk: Desk) -> None:
    made = await desk.create(single_use=True)
    assert [await desk.spend(made.token.id, name) for name in ("s1", "s2", "s1")] == ["", "unauthorized", ""]
    await desk.rig.until_held(TWO, TOKENS, lambda entries: all(decode_entry(entry).used_by == "s1" for entry in entries.values()))


async def test_last_use_is_what_gateways_tell(desk: Desk) -> None:
    made = await desk.create()
    desk.rig.act("config", Used({made.token.id: 1_700_000_000.0}))
    await desk.create()  # answered after what was told before
    line = await desk.perform(auth.SHOW, auth.TokenRequest(made.token.id))
    assert line.last_used == "2023-11-14T22:13:20Z"


async def test_audit_has_what_was_changed_here_and_what_others_tell(desk: Desk) -> None:
    made = await desk.create()
    desk.rig.act("config", Audit("tok-admin", "clients.disconnect", {"client": "ann"}))
    await desk.perform(auth.REVOKE, auth.TokenRequest(made.token.id), who="tok-admin")
    assert sorted(await desk.audit()) == [
        ("tok-admin", "clients.disconnect"),
        ("tok-admin", "tokens.revoke"),
        ("uid:1000", "tokens.create"),
    ]


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_it_comes_back_with_what_it_had_answered(desk: Desk, fault: signal.Signals, request: pytest.FixtureRequest) -> None:
    made, revoked = await desk.create(), await desk.create()
    await desk.perform(auth.REVOKE, auth.TokenRequest(revoked.token.id))
    began = time.monotonic()
    await desk.rig.recovered("config", desk.rig.kill("config", fault))
    later = await desk.create()
    record_recovery("config", fault.name, time.monotonic() - began, request.node.nodeid)
    expected = {digest_of(made.secret), digest_of(later.secret)}
    for gateway in (ONE, TWO):
        await desk.rig.until_held(gateway, TOKENS, lambda entries: set(entries) == expected)
    assert len(await desk.audit()) == 4


async def test_gateways_keep_their_copy_while_it_is_away(desk: Desk) -> None:
    made = await desk.create()
    await desk.rig.until_held(ONE, TOKENS, bool)
    former = desk.rig.kill("config", signal.SIGSTOP)
    await desk.rig.until(lambda: "config" not in desk.rig.roles)
    assert set(desk.rig.held(ONE, TOKENS)) == {digest_of(made.secret)}
    await desk.rig.recovered("config", former)


@pytest.mark.parametrize("where", ["handler", "task", "memory"])
async def test_exception_ends_it_and_it_comes_back_with_what_it_knew(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    actor = f"{__package__}.fragile.FragileConfig"
    async with ControlRig(tmp_path / "r", "config", actor, config=config(tmp_path / "data")) as rig:
        await rig.ready(TOKENS)
        made = await Desk(rig).create()
        began = time.monotonic()
        former = rig.act("config", Fail(where))
        await rig.recovered("config", former)
        assert (await Desk(rig).perform(auth.SHOW, auth.TokenRequest(made.token.id))).id == made.token.id
        fault = "out of memory" if where == "memory" else f"exception in {where}"
        record_recovery("config", fault, time.monotonic() - began, request.node.nodeid)
        (died,) = [report for report in rig.reports if report.offender == "config" and report.context == "child.died"]
        assert died.reason == REASONS[where]


async def test_stopped_in_order_it_writes_when_tokens_were_last_used(tmp_path: Path) -> None:
    async with ControlRig(tmp_path / "r", "config", ACTOR, config=config(tmp_path / "data")) as rig:
        await rig.ready(TOKENS)
        desk = Desk(rig)
        token = (await desk.create()).token.id
        rig.act("config", Used({token: 1_700_000_000.0}))
        await desk.audit()
        former = rig.act("config", Stop())
        await rig.recovered("config", former)
        assert (await desk.perform(auth.SHOW, auth.TokenRequest(token))).last_used == "2023-11-14T22:13:20Z"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of 64 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], check=False).returncode:
        pytest.skip("needs root, to mount a small tmpfs")
    yield path
    subprocess.run(["umount", path], check=True)


async def test_full_disk_refuses_changes_with_507_and_reads_go_on_and_it_clears_by_itself(
    tmp_path: Path, small_disk: Path, request: pytest.FixtureRequest
) -> None:
    async with ControlRig(tmp_path / "r", "config", ACTOR, config=config(small_disk)) as rig:
        await rig.ready(TOKENS)
        desk = Desk(rig)
        made = await desk.create()
        former = rig.roles["config"]
        ballast = small_disk / "ballast"
        fill(ballast)
        codes = [await refusal(desk, auth.CREATE, auth.TokenCreateRequest(scopes=("publish:" + "x" * 240,) * 100))]
        codes.append(await refusal(desk, auth.REVOKE, auth.TokenRequest(made.token.id)))
        assert set(codes) <= {"disk_full", ""}
        assert codes[0] == "disk_full"
        for _ in range(100):
            rig.act("config", Audit("uid:1", "log.level", {"filler": "x" * 4_000}))
        listed = await desk.perform(auth.LIST, auth.TokensRequest())
        assert [line.id for line in listed.tokens] == [made.token.id]
        assert ("uid:1000", "tokens.create") in await desk.audit()
        began = time.monotonic()
        ballast.unlink()
        await desk.perform(auth.REVOKE, auth.TokenRequest(made.token.id))
        record_recovery("config", "disk full", time.monotonic() - began, request.node.nodeid)
        rig.act("config", Audit("uid:1", "log.level", {}))
        assert ("", "audit.lost") in await desk.audit()
        assert rig.roles["config"] == former


async def refusal(desk: Desk, operation: Operation, request: msgspec.Struct) -> str:
    try:
        await desk.perform(operation, request)
    except MajulaError as error:
        assert not isinstance(error, DiskFull) or error.status == 507
        return error.code
    return ""


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1_024))
        except OSError:
            return


async def test_damaged_file_stops_its_start_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "auth"
    folder.mkdir(parents=True)
    (folder / "tokens.json").write_text("{")
    async with ControlRig(tmp_path / "r", "config", ACTOR, config=config(tmp_path / "data")) as rig:
        await rig.until(lambda: any(report.context == "child.start_failed" for report in rig.reports))
        (failed, *_) = [report for report in rig.reports if report.context == "child.start_failed"]
        assert "tokens.json is damaged" in failed.reason
