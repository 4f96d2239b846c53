"""Secrets by `file:` and `env:`: where they come from, when they are refused, and that no message shows them."""

from __future__ import annotations

import dataclasses
import os

import pytest
from msgspec import inspect

from majula.config.document import SECRET_KEYS
from majula.config.plain import complete, hidden
from majula.config.schema import NodeConfig
from majula.errors import ConfigError
from tests.unit.config.files import NAME, Files
from tests.unit.config.test_reference import metadata

SECRET = "hG7wKq2ZpL9xVbN4mT1cRd"


def test_secret_is_the_first_line_of_its_file(files: Files) -> None:
    files.secret("mesh.token", f"{SECRET}\nnot this\n")
    assert files.load("node_id: n\ntoken: file:mesh.token").config.token == SECRET


def test_secret_comes_from_the_environment_and_the_variable_is_named(files: Files) -> None:
    files.environment["MESH"] = SECRET
    loaded = files.load("node_id: n\ntoken: env:MESH")
    assert (loaded.config.token, loaded.secret_variables) == (SECRET, ("MESH",))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a61_secret_that_others_may_read_is_refused_at_its_line(files: Files, mode: int) -> None:
    files.secret("mesh.token", SECRET, mode=mode)
    (problem,) = files.problems("node_id: n\ntoken: file:mesh.token")
    assert problem.startswith("2:8: ") and f"(mode {mode:04o}): chmod 600 it" in problem and SECRET not in problem


def test_secret_that_only_its_owner_may_read_is_taken(files: Files) -> None:
    files.secret("mesh.token", SECRET, mode=0o400)
    assert files.load("node_id: n\ntoken: file:mesh.token").config.token == SECRET


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_secret_of_another_user_is_refused(files: Files) -> None:
    os.chown(files.secret("mesh.token", SECRET), 4242, 4242)
    (problem,) = files.problems("node_id: n\ntoken: file:mesh.token")
    assert "belongs to another user (uid 4242)" in problem


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("file:nowhere", "cannot be read: No such file or directory"),
        ("file:.", "cannot be read: Is a directory"),
        ("file:empty", "has no secret in its first line"),
        ("env:NOT_THERE", "the environment variable 'NOT_THERE' is not set, or empty"),
        ("'file:'", "expected file:PATH or env:NAME"),
    ],
)
def test_secret_that_is_not_there_is_refused_at_its_line(files: Files, reference: str, words: str) -> None:
    files.secret("empty", "")
    (problem,) = files.problems(f"node_id: n\ntoken: {reference}")
    assert problem.startswith("2:8: ") and words in problem


def test_pipe_in_place_of_a_secret_does_not_stop_the_start(files: Files) -> None:
    os.mkfifo(files.directory / "pipe", 0o600)
    assert "is not a file" in files.problems("node_id: n\ntoken: file:pipe")[0]


def test_file_with_a_secret_in_it_is_warned_of_where_others_may_read_it(files: Files) -> None:
    text = f"node_id: n\nmajula_servers: [{{port: 1, auth: token}}]\ntoken: {SECRET}\n"
    assert files.warnings(text) == []
    (warning,) = files.warnings(text, mode=0o644)
    assert "others may read it" in warning and SECRET not in warning


def test_private_key_that_others_may_read_refuses_the_start(files: Files) -> None:
    files.secret("c.pem", "certificate", mode=0o644)
    files.secret("k.pem", "key", mode=0o644)
    text = "node_id: n\nmajula_servers: [{port: 1, tls: {cert_file: c.pem, key_file: k.pem}}]"
    (refusal,) = files.refusals(text)
    assert refusal.startswith("2:62: ") and "(mode 0644)" in refusal


def test_no_form_of_a_loaded_configuration_prints_its_secret(files: Files) -> None:
    loaded = files.load(f"node_id: n\ntoken: {SECRET}")
    shown = [repr(loaded), str(loaded.config), repr(hidden(complete(loaded.config))), repr(hidden(loaded.given))]
    assert not any(SECRET in text for text in shown)
    assert SECRET in repr(dataclasses.asdict(loaded))


def test_secret_that_is_only_named_is_shown_by_its_name_as_the_file_says_it(files: Files) -> None:
    files.secret("mesh.token", "file:looks-like-a-name-but-is-the-secret")
    loaded = files.load("node_id: n\ntoken: file:mesh.token")
    assert hidden(loaded.given, shows_names=True)["token"] == "file:mesh.token"
    assert hidden(complete(loaded.config))["token"] == "***"


def test_every_secret_of_the_schema_is_a_key_that_messages_hide() -> None:
    secrets = [
        name.rpartition(".")[2]
        for name, found in metadata(inspect.type_info(NodeConfig))
        if (found.extra or {})["kind"] == "secret"
    ]
    assert secrets and set(secrets) <= set(SECRET_KEYS)


def test_problem_elsewhere_in_the_file_does_not_show_the_secret(files: Files) -> None:
    with pytest.raises(ConfigError) as caught:
        files.load(f"node_id: n\ntoken: {SECRET}\ndrain_s: [{SECRET}]\n{NAME}: 1\n")
    assert len(caught.value.problems) == 2
