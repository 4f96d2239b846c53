"""Where a node is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from majula.api.sdk.address import find_address, parse_address
from majula.errors import Conflict, InvalidRequest, NotFound


@contextmanager
def node(root: Path, name: str, *ports: int) -> Iterator[Path]:
    """A run directory with native sockets, as a node leaves it."""
    directory = root / name
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        for port in ports:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(directory / f"native-{port}.sock"))
            listener.listen()
        yield directory


def test_the_forms_are_read() -> None:
    assert parse_address("unix:/run/x.sock").path == "/run/x.sock"
    tcp = parse_address("majula://[::1]:99")
    assert (tcp.host, tcp.port) == ("::1", 99)
    assert parse_address("ws://h:1/x").url == "ws://h:1/x"
    assert parse_address("wss://h").kind == "websocket"
    assert parse_address("https://h:1").kind == "http"


@pytest.mark.parametrize("scheme", ["majula", "ws", "http"])
def test_a_scheme_with_an_s_is_the_same_with_tls(scheme: str) -> None:
    assert not parse_address(f"{scheme}://h:1").is_encrypted
    encrypted = parse_address(f"{scheme}s://h:1")
    assert (encrypted.is_encrypted, encrypted.kind) == (True, parse_address(f"{scheme}://h:1").kind)


@pytest.mark.parametrize("text", ["ws://user:geheim@h:1", "wss://h:1/?token=geheim", "majulas://geheim@h:1"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_address(text)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "unix:", "majula://h", "majula://:9", "ftp://h:1", "/run/x", "majula://h:nine", "ws://"])
def test_anything_else_is_refused_and_the_forms_are_named(text: str) -> None:
    with pytest.raises(InvalidRequest, match="unix:/path"):
        parse_address(text)


def test_the_environment_names_the_node(tmp_path: Path) -> None:
    assert find_address({"MAJULA_ADDRESS": "majula://h:1"}, uid=0, temporary=tmp_path).port == 1


def test_the_only_node_of_this_user_is_found_by_its_first_gateway(tmp_path: Path) -> None:
    with node(tmp_path / "majula", "n1-abc", 10200, 9002) as directory:
        os.utime(directory / "native-10200.sock", ns=(1, 1))
        found = find_address({"XDG_RUNTIME_DIR": str(tmp_path)}, uid=os.getuid(), temporary=tmp_path / "none")
    assert found.path == str(directory / "native-10200.sock")


def test_a_runtime_directory_that_is_not_absolute_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with node(tmp_path / "here" / "majula", "n1-abc", 1), pytest.raises(NotFound):
        find_address({"XDG_RUNTIME_DIR": "here"}, uid=os.getuid(), temporary=tmp_path / "none")


def test_without_a_runtime_directory_the_temporary_one_is_searched(tmp_path: Path) -> None:
    with node(tmp_path / "majula-7", "n1-abc", 1) as directory:
        os.chmod(directory, 0o700)
        if os.getuid() == 0:
            os.chown(directory, 7, -1)
            assert find_address({}, uid=7, temporary=tmp_path).path == str(directory / "native-1.sock")


def test_two_nodes_are_listed_for_the_user_to_choose(tmp_path: Path) -> None:
    with node(tmp_path / "majula", "a", 1), node(tmp_path / "majula", "b", 2), pytest.raises(Conflict) as caught:
        find_address({"XDG_RUNTIME_DIR": str(tmp_path)}, uid=os.getuid(), temporary=tmp_path / "none")
    assert "a/native-1.sock" in str(caught.value)
    assert "b/native-2.sock" in str(caught.value)


def test_a_node_that_was_killed_is_not_counted(tmp_path: Path) -> None:
    with node(tmp_path / "majula", "dead", 1):
        pass  # its socket stays, and nobody listens
    with node(tmp_path / "majula", "alive", 2) as directory:
        found = find_address({"XDG_RUNTIME_DIR": str(tmp_path)}, uid=os.getuid(), temporary=tmp_path / "none")
    assert found.path == str(directory / "native-2.sock")


def test_no_node_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=str(tmp_path)):
        find_address({"XDG_RUNTIME_DIR": str(tmp_path)}, uid=os.getuid(), temporary=tmp_path)


def test_directories_of_other_users_are_not_looked_at(tmp_path: Path) -> None:
    with node(tmp_path / "majula", "n1", 1), pytest.raises(NotFound):
        find_address({"XDG_RUNTIME_DIR": str(tmp_path)}, uid=os.getuid() + 1, temporary=tmp_path)
