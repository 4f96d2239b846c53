"""The name of a node whose file gives none: made once, kept where its data is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from majula.config import load_node_config
from majula.errors import ConfigError
from tests.unit.config.files import Files

NAMELESS = "majula_servers: [{port: 1}]\n"


def test_name_is_that_of_the_host_with_six_characters(files: Files) -> None:
    name = files.load(NAMELESS).config.node_id
    assert re.fullmatch(r"[A-Za-z0-9._-]+-[0-9a-f]{6}", name)


def test_next_start_has_the_same_name(files: Files) -> None:
    assert files.load(NAMELESS).config.node_id == files.load(NAMELESS).config.node_id
    assert (files.directory / "majula-data" / "node_id").stat().st_mode & 0o777 == 0o600


def test_name_is_kept_in_the_data_directory_that_the_file_names(files: Files) -> None:
    name = files.load(NAMELESS + "data_dir: here\n").config.node_id
    assert (files.directory / "here" / "node_id").read_text() == f"{name}\n"


def test_name_that_the_file_gives_is_not_kept(files: Files) -> None:
    assert files.load("node_id: mine\n" + NAMELESS).config.node_id == "mine"
    assert not (files.directory / "majula-data").exists()


def test_two_starts_at_once_have_one_name(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def rival(path: Path) -> None:
        path.write_text("faster\n")

    original = Path.with_name

    def with_name(path: Path, name: str) -> Path:
        rival(path)
        return original(path, name)

    monkeypatch.setattr(Path, "with_name", with_name)
    assert files.load(NAMELESS).config.node_id == "faster"


def test_check_keeps_no_name(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(NAMELESS)
    load_node_config(path, directory=tmp_path, keeps_name=False)
    assert [found.name for found in tmp_path.iterdir()] == ["node.yaml"]


def test_kept_name_that_is_none_is_refused(files: Files) -> None:
    (files.directory / "majula-data").mkdir()
    (files.directory / "majula-data" / "node_id").write_text("no name!\n")
    with pytest.raises(ConfigError, match="remove it, or set node_id"):
        files.load(NAMELESS)


def test_file_with_problems_makes_no_name(files: Files) -> None:
    assert files.problems("majula_servers: [{port: 0}]")
    assert not (files.directory / "majula-data").exists()
