"""A change in the operator's file: what is asked for is in it, everything else stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.config.document import Problems, read_document
from majula.config.editing import edited, merged
from majula.config.plain import plain_of
from majula.errors import ConfigError, InvalidRequest

FILE = """\
# my node
node_id: "n1"   # keep
token: 'abc'   # secret
# about servers
majula_servers:
  - port: 18080
    hosts: [a.example]  # hosts
    # below hosts
  - port: 18081

# limits below
limits:
  connections: 100   # few
drain_s: 20
"""


def changed(change: dict[str, Any], text: str = FILE) -> str:
    return edited(text.encode(), change).decode()


def read(text: str) -> Any:
    problems = Problems()
    tree = read_document(text.encode(), problems)
    assert tree is not None and not problems.found, problems.found
    return plain_of(tree)


def test_changed_value_stands_in_its_place_and_the_rest_stays() -> None:
    assert changed({"drain_s": 30}) == FILE.replace("drain_s: 20", "drain_s: 30")


def test_entry_of_a_list_is_named_by_its_port() -> None:
    found = changed({"majula_servers": {"18081": {"hosts": ["b.example"]}}})
    assert found == FILE.replace("  - port: 18081\n", '  - port: 18081\n    hosts: ["b.example"]\n')


def test_entry_of_a_list_is_taken_out() -> None:
    assert "18081" not in changed({"majula_servers": {"18081": None}})


def test_entry_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="majula_servers has no entry '7': name it by its port"):
        changed({"majula_servers": {"7": {"hosts": []}}})


def test_entry_without_a_name_is_named_by_its_position() -> None:
    text = "channels:\n  - type: server\n    listen_addr: '127.0.0.1:1'\n"
    assert read(changed({"channels": {"0": {"listen_addr": "127.0.0.1:2"}}}, text))["channels"][0]["listen_addr"] == "127.0.0.1:2"


def test_new_section_is_added() -> None:
    assert changed({"log": {"level": "debug"}}) == FILE + 'log:\n  level: "debug"\n'


@pytest.mark.parametrize("key", ["node_id", "token", "drain_s"])
def test_key_that_is_taken_out_leaves_every_comment_line(key: str) -> None:
    found = changed({key: None})
    assert key not in read(found)
    assert [line for line in FILE.splitlines() if line.strip().startswith("#")] == [
        line for line in found.splitlines() if line.strip().startswith("#")
    ]


def test_text_that_looks_like_a_number_elsewhere_is_quoted() -> None:
    assert 'hosts: ["22:22", "0123"]' in changed({"majula_servers": {"18080": {"hosts": ["22:22", "0123"]}}})


def test_lists_keep_their_indentation() -> None:
    text = "majula_servers:\n- port: 1\n- port: 2\n"
    assert changed({"drain_s": 5}, text) == text + "drain_s: 5\n"


def test_empty_file_can_be_changed() -> None:
    assert read(changed({"drain_s": 5}, "# nothing yet\n")) == {"drain_s": 5}


def test_file_that_cannot_be_read_is_not_edited() -> None:
    with pytest.raises(ConfigError):
        changed({"drain_s": 5}, "node_id: [")


NAMES = st.sampled_from(["node_id", "token", "drain_s", "limits", "log", "connections", "level"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(max_codepoint=0x17F, exclude_categories=["Cc"]), max_size=12)
)
CHANGES = st.dictionaries(NAMES, SCALARS | st.dictionaries(NAMES, SCALARS, max_size=3), max_size=4)


@given(CHANGES)
def test_edited_file_says_what_the_merge_says(change: dict[str, Any]) -> None:
    assert read(changed(change)) == merged(read(FILE), change)
