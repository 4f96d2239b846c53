"""Tokens and audit on disk: what was answered is there, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from majula.auth import digest_of, store
from majula.auth.ledger import Applied, Claim, Create, Noted, Revoke, Touch
from majula.auth.operations import AuditRequest, TokenCreateAnswer, TokenCreateRequest
from majula.auth.store import TOUCHED_S, AuditFiles, Vault
from majula.errors import ConfigError, DiskFull, InvalidRequest, MajulaError, Unauthorized, Unavailable

NOW = 1_700_000_000.0
ROOT = Path(__file__).parents[3]


def vault(path: Path, seed: int = 1) -> Vault:
    return Vault(path, Random(seed).randbytes)


def creation(note: str = "", *, single_use: bool = False) -> Create:
    return Create(TokenCreateRequest(scopes=("publish:a",), note=note, single_use=single_use), "uid:1")


def answer(result: Applied | MajulaError) -> TokenCreateAnswer:
    assert isinstance(result, Applied)
    assert isinstance(result.answer, TokenCreateAnswer)
    return result.answer


def numbers(path: Path, **request: int) -> list[int]:
    return [entry.number for entry in vault(path).audited(AuditRequest(**request)).entries]


def failing(number: int) -> object:
    def fail(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


# --- what is kept


def test_nothing_is_made_before_the_first_change(tmp_path: Path) -> None:
    found = vault(tmp_path)
    assert found.commit([Revoke("tok-x", "uid:1")], NOW)[0].__class__.__name__ == "NotFound"
    assert list(tmp_path.iterdir()) == []


def test_changes_are_there_after_a_restart(tmp_path: Path) -> None:
    made = [answer(result) for result in vault(tmp_path).commit([creation("one"), creation("two")], NOW)]
    vault(tmp_path).commit([Revoke(made[0].token.id, "uid:2")], NOW + 1)
    found = vault(tmp_path)
    assert [line.note for line in found.ledger] == ["one", "two"]
    assert set(found.ledger.entries(NOW)) == {digest_of(made[1].secret)}


def test_files_are_private(tmp_path: Path) -> None:
    vault(tmp_path).commit([creation()], NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "auth", *(tmp_path / "auth").iterdir())}
    assert modes == {"auth": 0o700, "tokens.json": 0o600, "audit.jsonl": 0o600}


def test_secret_is_in_no_file(tmp_path: Path) -> None:
    secret = answer(vault(tmp_path).commit([creation()], NOW)[0]).secret
    assert all(secret[4:].encode() not in path.read_bytes() for path in (tmp_path / "auth").iterdir())


def test_each_change_has_its_entry_in_the_audit(tmp_path: Path) -> None:
    found = vault(tmp_path)
    made = answer(found.commit([creation(single_use=True)], NOW)[0])
    found.commit([Claim(made.token.id, "s1", "ann"), Claim(made.token.id, "s2", "bob"), Revoke(made.token.id, "uid:2")], NOW)
    found.note([Noted("uid:3", "clients.disconnect", {"client": "ann"})], NOW)
    entries = vault(tmp_path).audited(AuditRequest()).entries
    assert [(entry.number, entry.who, entry.what) for entry in entries] == [
        (4, "uid:3", "clients.disconnect"),
        (3, "uid:2", "tokens.revoke"),
        (2, made.token.id, "tokens.spend"),
        (1, "uid:1", "tokens.create"),
    ]


def test_changes_that_come_together_are_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        path.write_bytes(data)

    monkeypatch.setattr(store, "_write", write)
    assert len(vault(tmp_path).commit([creation() for _ in range(50)], NOW)) == 50
    assert len(written) == 1


def test_last_use_is_not_worth_a_write_of_its_own_until_some_minutes_have_passed(tmp_path: Path) -> None:
    found = vault(tmp_path)
    token = answer(found.commit([creation()], NOW)[0]).token.id
    found.commit([Touch({token: NOW + 1})], NOW + 1)
    assert found.ledger.get(token).last_used_at == NOW + 1
    assert vault(tmp_path).ledger.get(token).last_used_at == 0
    found.commit([Touch({token: NOW + TOUCHED_S})], NOW + TOUCHED_S)
    assert vault(tmp_path).ledger.get(token).last_used_at == NOW + TOUCHED_S


def test_last_use_is_written_when_the_vault_is_closed(tmp_path: Path) -> None:
    found = vault(tmp_path)
    token = answer(found.commit([creation()], NOW)[0]).token.id
    found.commit([Touch({token: NOW + 1})], NOW + 1)
    found.close(NOW + 1)
    assert vault(tmp_path).ledger.get(token).last_used_at == NOW + 1


# --- what cannot be stored has not happened


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EFBIG, DiskFull), (errno.EIO, Unavailable)]
)
@pytest.mark.parametrize("step", ["_write", "_append"])
def test_change_that_cannot_be_stored_is_refused_and_has_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[MajulaError], step: str
) -> None:
    found = vault(tmp_path)
    token = answer(found.commit([creation()], NOW)[0]).token.id
    with monkeypatch.context() as broken:
        broken.setattr(store, step, failing(number))
        assert isinstance(found.commit([Revoke(token, "uid:1")], NOW)[0], error)
    assert found.ledger.get(token).revoked_at == 0
    assert numbers(tmp_path) == [1]
    assert isinstance(found.commit([Revoke(token, "uid:1")], NOW)[0], Applied)
    assert numbers(tmp_path) == [2, 1]


def test_claim_after_one_that_could_not_be_stored_may_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = vault(tmp_path)
    token = answer(found.commit([creation(single_use=True)], NOW)[0]).token.id
    claims = [Claim(token, "s1"), Claim(token, "s2"), Claim("tok-none", "s3")]
    with monkeypatch.context() as broken:
        broken.setattr(store, "_write", failing(errno.ENOSPC))
        assert [type(result) for result in found.commit(claims, NOW)] == [DiskFull, DiskFull, Unauthorized]
    assert [type(result) for result in found.commit(claims[1:], NOW)] == [Applied, Unauthorized]


def test_what_is_wrong_by_itself_is_told_also_where_nothing_can_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = vault(tmp_path)
    monkeypatch.setattr(store, "_write", failing(errno.ENOSPC))
    wrong = Create(TokenCreateRequest(scopes=()), "uid:1")
    assert [type(result) for result in found.commit([wrong, creation()], NOW)] == [InvalidRequest, DiskFull]


def test_directory_that_cannot_be_synced_leaves_the_vault_to_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = vault(tmp_path)
    found.commit([creation("one")], NOW)
    with monkeypatch.context() as broken:
        broken.setattr(store, "_sync_directory", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            found.commit([creation("two")], NOW)
    assert [record.note for record in vault(tmp_path).ledger] == ["one", "two"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of 64 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], check=False).returncode:
        pytest.skip("needs root, to mount a small tmpfs")
    yield path
    subprocess.run(["umount", path], check=True)


def test_full_disk_refuses_changes_and_reads_go_on(small_disk: Path) -> None:
    found = vault(small_disk)
    token = answer(found.commit([creation()], NOW)[0]).token.id
    ballast = small_disk / "ballast"
    _fill(ballast)
    results = [found.commit([creation("x" * 200) for _ in range(50)], NOW)[0], found.commit([Revoke(token, "u")], NOW)[0]]
    assert isinstance(results[0], DiskFull)
    assert results[0].status == 507
    assert next(iter(found.ledger)).id == token
    assert found.audited(AuditRequest()).entries[-1].number == 1
    assert not (small_disk / "auth" / "tokens.new").exists()
    with pytest.raises(DiskFull):
        found.note([Noted("u", "a.b", {"x": "y" * 3_000})] * 3, NOW)
    ballast.unlink()
    assert isinstance(found.commit([Revoke(token, "u")], NOW)[0], Applied)
    assert vault(small_disk).ledger.get(token).state(NOW) == "revoked"
    entries = vault(small_disk).audited(AuditRequest()).entries
    assert [entry.number for entry in entries] == list(range(len(entries), 0, -1))


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1_024))
        except OSError:
            return


# --- after a crash


_WRITER = """
import sys, secrets, time
from pathlib import Path
from majula.auth.ledger import Create, Revoke
from majula.auth.operations import TokenCreateRequest
from majula.auth.store import Vault
vault = Vault(Path(sys.argv[1]), secrets.token_bytes)
while True:
    (made,) = vault.commit([Create(TokenCreateRequest(scopes=("publish:a",)), "uid:1")], time.time())
    print("made", made.answer.token.id, flush=True)
    if len(vault.ledger) % 3 == 0:
        vault.commit([Revoke(made.answer.token.id, "uid:1")], time.time())
        print("revoked", made.answer.token.id, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_has_everything_that_it_had_answered(tmp_path: Path) -> None:
    random = Random(4)
    said: list[list[str]] = []
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", _WRITER, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            said.append(writer.stdout.readline().split())
            said += [writer.stdout.readline().split() for _ in range(random.randrange(40))]
            writer.send_signal(signal.SIGKILL)
            said += [line.split() for line in writer.stdout]
        found = vault(tmp_path)
        state = {record.id: record.state(time.time()) for record in found.ledger}
        revoked = {token for what, token in said if what == "revoked"}
        assert {token for what, token in said if what == "made"} <= set(state)
        assert all(state[token] == "revoked" for token in revoked)
        entries = found.audited(AuditRequest(limit=1_024)).entries
        assert [entry.number for entry in entries] == list(range(len(entries), 0, -1))
        assert set(state) <= {entry.detail["token"] for entry in entries}


@pytest.mark.parametrize("torn", [b'{"number":3,"at":"20', b"\xff", b'{"number":3}'])
def test_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    vault(tmp_path).commit([creation(), creation()], NOW)
    path = tmp_path / "auth" / "audit.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    found = vault(tmp_path)
    assert path.read_bytes() == whole
    found.note([Noted("u", "a.b", {})], NOW)
    assert numbers(tmp_path) == [3, 2, 1]


def test_rest_of_an_interrupted_write_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth" / "tokens.new").write_bytes(b"x" * 10_000)
    vault(tmp_path).commit([creation("one")], NOW)
    assert [record.note for record in vault(tmp_path).ledger] == ["one"]


@pytest.mark.parametrize("data", [b"{", b'{"version":1,"tokens":[]}'[:-1], b"\x00" * 100])
def test_damaged_tokens_stop_the_start_and_the_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth" / "tokens.json").write_bytes(data)
    with pytest.raises(ConfigError, match=r"tokens\.json is damaged"):
        vault(tmp_path)


def test_file_that_cannot_be_read_stops_the_start_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "auth" / "tokens.json").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"tokens\.json cannot be read"):
        vault(tmp_path)


def test_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / "auth" / "tokens.new").symlink_to(elsewhere)
    assert isinstance(vault(tmp_path).commit([creation()], NOW)[0], Unavailable)
    assert elsewhere.read_text() == "mine"


# --- the audit's files


def audit_files(path: Path) -> AuditFiles:
    return AuditFiles(path, file_bytes=1_000, files=3)


def test_audit_is_kept_in_files_of_bounded_size_and_number(tmp_path: Path) -> None:
    files = audit_files(tmp_path)
    for _ in range(100):
        files.append([Noted("uid:1", "a.b", {})], NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]
    assert all(path.stat().st_size < 1_200 for path in tmp_path.iterdir())


def test_audit_is_read_across_its_files(tmp_path: Path) -> None:
    files = audit_files(tmp_path)
    for _ in range(25):
        files.append([Noted("uid:1", "a.b", {})], NOW)
    assert [entry.number for entry in files.read(limit=20)] == list(range(25, 5, -1))
    assert [entry.number for entry in files.read(before=20, limit=3)] == [19, 18, 17]


def test_numbers_go_on_after_a_restart_also_where_the_newest_file_is_empty(tmp_path: Path) -> None:
    files = audit_files(tmp_path)
    for _ in range(12):
        files.append([Noted("uid:1", "a.b", {})], NOW)
    (tmp_path / "audit.1.jsonl").unlink(missing_ok=True)
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.1.jsonl")
    assert audit_files(tmp_path).number == 12


def test_entry_that_is_taken_back_is_gone_and_its_number_free(tmp_path: Path) -> None:
    files = audit_files(tmp_path)
    files.append([Noted("uid:1", "a.b", {})], NOW)
    files.take_back(files.append([Noted("uid:1", "c.d", {})] * 3, NOW))
    files.append([Noted("uid:1", "e.f", {})], NOW)
    assert [(entry.number, entry.what) for entry in files.read()] == [(2, "e.f"), (1, "a.b")]


def test_negative_page_of_the_audit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        vault(tmp_path).audited(AuditRequest(before=-1))


def test_audit_is_a_json_object_a_line(tmp_path: Path) -> None:
    vault(tmp_path).commit([creation("ä")], NOW)
    (line,) = (tmp_path / "auth" / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["what"] == "tokens.create"
