"""What the runner's module does beside running a node: checking a file, printing a template, writing a first file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from majula.auth.store import Vault
from majula.auth.tokens import digest_of
from majula.config import load_node_config
from majula.runner.__main__ import main
from majula.runner.exits import BAD_CONFIG, OK, USAGE


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_check_of_a_good_file_ends_with_zero_and_says_what_is_reachable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "n.yaml").write_text("node_id: n\nmajula_servers: [{port: 1, auth: token, native: {unix: off}}]")
    assert run("check", "n.yaml") == OK
    assert capsys.readouterr().out.splitlines() == [
        "reachable: gateway http://127.0.0.1:1: programs on this machine only, who has a token, in the clear",
        "n.yaml: can be used",
    ]


def test_check_of_a_wrong_file_ends_like_the_start_would(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "n.yaml").write_text("node_id: n\ndrain: 1")
    assert run("check", "n.yaml", "--json") == BAD_CONFIG
    found = json.loads(capsys.readouterr().out)
    assert found["starts"] is False and found["problems"][0].startswith("n.yaml:2:1: unknown key 'drain'")


def test_check_of_a_file_that_is_refused_at_the_start_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "n.yaml").write_text("node_id: n\nmajula_servers: [{port: 1, bind: '0.0.0.0'}]")
    assert run("check", "n.yaml") == BAD_CONFIG
    assert "warning: n.yaml:2:34: refused at start: '0.0.0.0' can be reached" in capsys.readouterr().out


def test_check_tells_of_a_certificate_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("c.pem", "k.pem"):
        (folder / name).write_text("nothing")
        (folder / name).chmod(0o600)
    (folder / "n.yaml").write_text(
        "node_id: n\nmajula_servers: [{port: 1, auth: token, tls: {cert_file: c.pem, key_file: k.pem}}]"
    )
    assert run("check", "n.yaml") == BAD_CONFIG
    assert "refused at start: " in capsys.readouterr().out


def test_check_leaves_nothing_behind(folder: Path) -> None:
    (folder / "n.yaml").write_text("majula_servers: [{port: 1}]")
    assert run("check", "n.yaml") == OK
    assert [path.name for path in folder.iterdir()] == ["n.yaml"]


def test_first_file_starts_a_node_of_the_same_name_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init", "sub/majula.yaml") == OK
    path = folder / "sub" / "majula.yaml"
    here = load_node_config(path).config
    monkeypatch.chdir("/")
    there = load_node_config(path).config
    assert (here.node_id, here.data_dir) == (there.node_id, there.data_dir)
    assert Path(here.data_dir).parent == folder / "sub" / "majula-data"
    assert path.stat().st_mode & 0o777 == 0o600


def test_first_token_is_shown_once_and_may_do_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("init", "majula.yaml") == OK
    secret = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("mjl_"))
    data_dir = Path(load_node_config(folder / "majula.yaml").config.data_dir)
    entries = Vault(data_dir, lambda size: b"\0" * size).ledger.entries(0.0)
    assert [entry.scopes for digest, entry in entries.items() if digest == digest_of(secret)] == [("*:*",)]
    assert not any(secret.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_first_file_replaces_none_unless_it_is_told_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "majula.yaml").write_text("mine")
    assert run("init", "majula.yaml") == USAGE
    assert (folder / "majula.yaml").read_text() == "mine"
    assert run("init", "majula.yaml", "--force") == OK
    assert (folder / "majula.yaml.old").read_text() == "mine"


def test_template_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("template", "signaling") == OK
    assert "#  udp_port: 8081" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("check",), ("check", "a", "b"), ("template", "other"), ("init",), ("run", "x")])
def test_words_that_make_no_sense_are_told_how_to_be_used(folder: Path, words: tuple[str, ...]) -> None:
    assert run(*words) == USAGE
