"""Where a command takes its token from, and what an error becomes."""

from __future__ import annotations

import io

import click
import pytest
from click.testing import CliRunner

from majula.api.cli.asking import Place, at_node, fail, failures, token_source
from majula.api.cli.exits import MEANINGS, exit_code
from majula.api.sdk.trust import Distrusted, UnknownCertificate
from majula.errors import (
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    DiskFull,
    InternalError,
    InvalidRequest,
    MajulaError,
    NoProvider,
    NoSuchNode,
    NotFound,
    Overloaded,
    PermissionDenied,
    RemoteError,
    Unauthorized,
)

TOKEN = "mjl_" + "a" * 43


@pytest.mark.parametrize("source", [None, "env:OTHER", "file:/there"])
def test_place_of_a_token_is_handed_on_as_it_is(source: str | None) -> None:
    assert token_source(source) == source


def test_token_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN + "\n"))
    assert token_source("-") == TOKEN


def test_standard_input_without_a_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(InvalidRequest, match="empty"):
        token_source("-")


def test_token_itself_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        token_source(TOKEN)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("x"), 2),
        (NoSuchNode("x"), 3),
        (ConnectionLost("x"), 3),
        (Overloaded("x", retry_after_s=1.0), 3),
        (Unauthorized("x"), 4),
        (PermissionDenied("x"), 4),
        (NotFound("x"), 5),
        (NoProvider("x"), 5),
        (Conflict("x"), 6),
        (DeadlineExceeded("x"), 7),
        (RemoteError("x"), 8),
        (InternalError("x"), 1),
        (DiskFull("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MajulaError) else str(value),
)
def test_every_kind_of_error_has_its_exit_code(error: MajulaError, code: int) -> None:
    assert exit_code(error) == code
    assert code in MEANINGS


def test_error_is_told_in_one_line_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail(NotFound("no\x1b[31m such\nthing"))
    assert ended.value.code == 5
    assert capsys.readouterr().err == "Error: no\\x1b[31m such\\nthing [not_found]\n"


def test_missing_scope_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(PermissionDenied("no", scope="publish:a.b"))
    assert "--scope 'publish:a.b'" in capsys.readouterr().err


def test_scope_that_no_token_has_is_not_recommended(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(PermissionDenied("topics under $SYS. are published by the node only", scope="publish:$SYS.>"))
    assert "--scope" not in capsys.readouterr().err


def test_certificate_that_is_not_known_is_not_answered_by_asking_for_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail(UnknownCertificate("the certificate of wss://n is not trusted"))
    told = capsys.readouterr().err
    assert "--ca FILE" in told and "token" not in told and ended.value.code == 4


def test_socket_of_another_user_is_not_answered_by_asking_for_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(Distrusted("another user answers"))
    assert "token" not in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "environment"), [(["--ca", "a.pem"], {}), ([], {"MAJULA_CA": "a.pem"})])
def test_authorities_come_from_an_option_or_the_environment(arguments: list[str], environment: dict[str, str]) -> None:
    found: list[Place] = []
    ended = CliRunner().invoke(click.command()(at_node(found.append)), arguments, env=environment)
    assert ended.exit_code == 0 and [place.ca_file for place in found] == ["a.pem"]


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    with pytest.raises(SystemExit) as ended, failures():
        raise KeyboardInterrupt
    assert ended.value.code == 130
