"""A61: what a hostile file can do to the node that reads it: nothing but be refused, by line and column."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from majula.config import load_node_config
from majula.errors import ConfigError

PYTHON_TAG = "!!python/object/apply:os.system ['touch {mark}']"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "node.yaml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load_node_config(path, environment={}, uid=1000, directory=folder)
    return [line.removeprefix(f"{path}:") for line in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("node_id: !!str n\n", "1:10: tags are not allowed: remove 'tag:yaml.org,2002:str'"),
        ("node_id: n\ndrain_s: 22:22\n", "2:10: '22:22' means different things to different readers of YAML"),
        ("node_id: n\ndrain_s: 0123\n", "2:10: '0123' means different things to different readers of YAML"),
        ("node_id: n\nnode_id: m\n", "2:1: 'node_id' stands here twice, first in line 1"),
        ("node_id: n\nlimit: {}\n", "2:1: unknown key 'limit' (did you mean 'limits'?)"),
        ("node_id: &n n\ntoken: *n\n", "2:8: aliases are not allowed: write the value out instead of '*n'"),
    ],
    ids=["tag", "sexagesimal", "octal", "duplicate key", "unknown key", "alias"],
)
def test_a61_what_readers_disagree_about_is_refused_at_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in problems(tmp_path, text))


def test_a61_tag_that_calls_something_calls_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "called"
    assert problems(tmp_path, f"node_id: {PYTHON_TAG.format(mark=mark)}\n")[0].startswith("1:10: tags are not allowed")
    assert not mark.exists()


def test_a61_billion_laughs_cost_neither_time_nor_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        began = time.process_time()
        found = problems(tmp_path, LAUGHS)
        spent_s, (_, peak_bytes) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert any(line.startswith("1:4: anchors are not allowed") for line in found)
    # Written out it would be nine to the power of nine values; these are guards against that, no promises.
    assert spent_s < 5.0 and peak_bytes < 32 << 20


def test_a61_secret_that_the_world_can_read_is_refused_at_the_place_that_names_it(tmp_path: Path) -> None:
    secret = tmp_path / "mesh.token"
    secret.write_text("canary-hG7wKq2ZpL9xVbN4mT1cRd")
    secret.chmod(0o644)
    (problem,) = problems(tmp_path, "node_id: n\ntoken: file:mesh.token\n")
    assert problem == f"2:8: {secret} holds a secret and others may use it (mode 0644): chmod 600 it"


def test_a18_terminal_escapes_in_a_file_reach_no_terminal(tmp_path: Path) -> None:
    for text in ('node_id: "\\e[31mred"\n', 'node_id: n\n"\\e[2J": 1\n', "node_id: \x1b[31m\n"):
        assert not any("\x1b" in line for line in problems(tmp_path, text))
