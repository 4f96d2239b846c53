"""Where a node's sockets live."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from majula.config import default_run_dir, run_root
from majula.config.rundir import native_socket


def test_run_directory_is_under_the_runtime_directory_of_the_session() -> None:
    assert run_root({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000) == "/run/user/1000/majula"


def test_run_directory_is_under_tmp_by_user_without_one() -> None:
    assert run_root({}, 1000) == "/tmp/majula-1000"


def test_relative_runtime_directory_is_ignored() -> None:
    assert run_root({"XDG_RUNTIME_DIR": "run"}, 7) == "/tmp/majula-7"


def test_run_directory_names_the_node_and_eight_digits_of_its_data_directory() -> None:
    assert default_run_dir("node1", "/var/lib/majula", {}, 0) == "/tmp/majula-0/node1-54036189"


@given(st.text(min_size=1), st.text(min_size=1))
def test_nodes_of_one_name_with_different_data_never_share_a_directory(one: str, other: str) -> None:
    assert (one == other) == (default_run_dir("n", one, {}, 0) == default_run_dir("n", other, {}, 0))


def test_native_socket_is_named_by_the_port() -> None:
    assert native_socket("/run/x", 18080) == "/run/x/native-18080.sock"
