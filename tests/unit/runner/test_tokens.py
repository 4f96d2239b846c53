"""Tokens that are made while no node runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from majula.auth import digest_of
from majula.auth.operations import AuditRequest, TokenCreateRequest
from majula.auth.store import Vault
from majula.errors import InvalidRequest
from majula.runner.exits import ALREADY_RUNNING, NodeExit
from majula.runner.lock import DirectoryLock
from majula.runner.tokens import create_token

ROOT = Path(__file__).parents[3]


def test_token_is_there_when_the_node_starts_and_the_audit_says_who_made_it(tmp_path: Path) -> None:
    made = create_token(tmp_path / "data", TokenCreateRequest(scopes=("*:*",)))
    vault = Vault(tmp_path / "data", os.urandom)
    assert set(vault.ledger.entries(0)) == {digest_of(made.secret)}
    (entry,) = vault.audited(AuditRequest()).entries
    assert (entry.who, entry.what) == (f"uid:{os.geteuid()}", "tokens.create")


def test_directory_of_a_node_that_runs_is_left_alone(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    try:
        with pytest.raises(NodeExit) as caught:
            create_token(tmp_path, TokenCreateRequest(scopes=("*:*",)))
    finally:
        lock.release()
    assert caught.value.code == ALREADY_RUNNING
    assert not (tmp_path / "auth").exists()


def test_directory_is_free_again_after_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        create_token(tmp_path, TokenCreateRequest(scopes=()))
    DirectoryLock(tmp_path).release()


@pytest.mark.slow
def test_command_takes_the_request_and_gives_the_answer_as_json(tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("node_id: n1\ndata_dir: data\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "majula.runner.tokens", str(config)]
    request = json.dumps({"scopes": ["publish:a"], "note": "n"}).encode()
    done = subprocess.run(command, input=request, capture_output=True, cwd=tmp_path, env=environment, check=True, timeout=60)
    answer = json.loads(done.stdout)
    assert answer["token"]["scopes"] == ["publish:a"]
    assert set(Vault(tmp_path / "data", os.urandom).ledger.entries(0)) == {digest_of(answer["secret"])}


@pytest.mark.slow
@pytest.mark.parametrize(("request_text", "words"), [("{", "truncated"), ('{"scopes":["fly:a"]}', "not a verb")])
def test_command_that_cannot_be_understood_ends_with_64_and_says_why(tmp_path: Path, request_text: str, words: str) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("node_id: n1\ndata_dir: data\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "majula.runner.tokens", str(config)]
    done = subprocess.run(command, input=request_text.encode(), capture_output=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 64
    assert words in done.stderr.decode()
