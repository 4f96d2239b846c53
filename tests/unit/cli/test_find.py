"""Which node a command is meant for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from majula.api.cli.find import find_control_socket, run_roots
from majula.errors import Conflict, NotFound


class Nodes:
    """Run directories with a control socket, alive or left behind."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root, self._stack = root, stack

    def alive(self, name: str) -> Path:
        listening = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(self._path(name)))
        listening.listen()
        return self._path(name)

    def dead(self, name: str) -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self._path(name)))

    def _path(self, name: str) -> Path:
        (self.root / name).mkdir(exist_ok=True)
        return self.root / name / "control.sock"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(tmp_path, stack)


def test_only_node_is_found(nodes: Nodes) -> None:
    path = nodes.alive("n1")
    assert find_control_socket(None, roots=[nodes.root], environment={}) == path


def test_node_that_was_killed_is_not_counted(nodes: Nodes) -> None:
    nodes.dead("n0")
    path = nodes.alive("n1")
    assert find_control_socket(None, roots=[nodes.root], environment={}) == path


def test_several_nodes_are_refused_and_listed(nodes: Nodes) -> None:
    one, two = nodes.alive("n1"), nodes.alive("n2")
    with pytest.raises(Conflict) as caught:
        find_control_socket(None, roots=[nodes.root], environment={})
    assert str(one.parent) in caught.value.message
    assert str(two.parent) in caught.value.message


def test_no_node_is_an_error_that_says_where_it_looked(nodes: Nodes) -> None:
    with pytest.raises(NotFound, match=str(nodes.root)):
        find_control_socket(None, roots=[nodes.root], environment={})


def test_run_directory_that_is_named_is_taken_though_others_run(nodes: Nodes) -> None:
    nodes.alive("n1")
    path = nodes.alive("n2")
    assert find_control_socket(path.parent, roots=[nodes.root]) == path


def test_node_whose_native_socket_the_environment_names_is_taken_though_others_run(nodes: Nodes) -> None:
    nodes.alive("n1")
    path = nodes.alive("n2")
    environment = {"MAJULA_ADDRESS": f"unix:{path.parent}/native-18080.sock"}
    assert find_control_socket(None, roots=[nodes.root], environment=environment) == path


def test_only_node_is_not_taken_for_another_one_that_the_environment_names(nodes: Nodes) -> None:
    nodes.alive("n1")
    environment = {"MAJULA_ADDRESS": f"unix:{nodes.root}/n0/native-18080.sock"}
    with pytest.raises(NotFound, match="n0"):
        find_control_socket(None, roots=[nodes.root], environment=environment)


def test_address_that_is_no_socket_does_not_say_which_node_of_this_machine(nodes: Nodes) -> None:
    path = nodes.alive("n1")
    environment = {"MAJULA_ADDRESS": "ws://127.0.0.1:18080"}
    assert find_control_socket(None, roots=[nodes.root], environment=environment) == path


def test_run_directory_without_a_node_is_an_error(nodes: Nodes) -> None:
    nodes.dead("n1")
    with pytest.raises(NotFound):
        find_control_socket(nodes.root / "n1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directory_of_another_user_is_not_looked_into(nodes: Nodes) -> None:
    os.chown(nodes.alive("evil").parent, 12345, 12345)
    path = nodes.alive("n1")
    assert find_control_socket(None, roots=[nodes.root], environment={}) == path


def test_runtime_directory_of_the_session_is_looked_in_first() -> None:
    assert run_roots({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == [Path("/run/user/7/majula"), Path("/tmp/majula-7")]


def test_relative_runtime_directory_is_ignored() -> None:
    assert run_roots({"XDG_RUNTIME_DIR": "here"}, 7) == [Path("/tmp/majula-7")]
