"""Listening sockets are bound once, and all or none."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from majula.runner.exits import CANNOT_BIND, NodeExit
from majula.runner.listeners import Listener, Listeners


def unix(path: Path, name: str = "native") -> Listener:
    return Listener(name=name, role="gateway:1", path=str(path))


def test_tcp_socket_listens_on_the_address_given() -> None:
    bound = Listeners([Listener(name="http", role="gateway:1", host="127.0.0.1", port=0)])
    address = bound.by_name()["http"].getsockname()
    socket.create_connection(address).close()
    bound.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_unix_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    bound = Listeners([unix(tmp_path / "n.sock")])
    assert stat.S_IMODE((tmp_path / "n.sock").stat().st_mode) == 0o600
    bound.close()


def test_stale_unix_socket_file_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(tmp_path / "n.sock"))
        former.listen()
    Listeners([unix(tmp_path / "n.sock")]).close()


def test_unix_socket_that_somebody_serves_is_refused(tmp_path: Path) -> None:
    first = Listeners([unix(tmp_path / "n.sock")])
    with pytest.raises(NodeExit) as caught:
        Listeners([unix(tmp_path / "n.sock")])
    first.close()
    assert caught.value.code == CANNOT_BIND
    assert "gateway:1 cannot listen on unix:" in caught.value.reason


def test_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "n.sock").write_text("precious")
    with pytest.raises(NodeExit):
        Listeners([unix(tmp_path / "n.sock")])
    assert (tmp_path / "n.sock").read_text() == "precious"


def test_port_in_use_is_refused_with_role_address_and_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(NodeExit) as caught:
            Listeners([Listener(name="http", role="gateway:1", host="127.0.0.1", port=port)])
    assert caught.value.reason == f"gateway:1 cannot listen on 127.0.0.1:{port}: address in use by another program"


def test_sockets_bound_before_a_failure_are_closed_again(tmp_path: Path) -> None:
    with pytest.raises(NodeExit):
        Listeners([unix(tmp_path / "n.sock"), unix(tmp_path / "missing" / "m.sock", "other")])
    assert not (tmp_path / "n.sock").exists()


def test_file_that_another_put_in_our_place_stays_when_we_close(tmp_path: Path) -> None:
    bound = Listeners([unix(tmp_path / "n.sock")])
    (tmp_path / "n.sock").unlink()
    (tmp_path / "n.sock").write_text("theirs")
    bound.close()
    assert (tmp_path / "n.sock").exists()
