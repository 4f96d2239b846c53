"""Templates are the schema: every setting is in them, and what they say is what the schema says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, inspect

from majula.config.check import check_file
from majula.config.decode import Places, decode
from majula.config.document import Problems, read_document
from majula.config.plain import complete
from majula.config.reference import unwrapped
from majula.config.schema import NodeConfig
from majula.config.signaling_server import SignalingServerConfig
from majula.config.template import first_node_file, node_template, signaling_template
from tests.unit.config.files import Files

FOLDER = Path(__file__).parents[3] / "cluster_configs" / "templates"


def switched_on(text: str) -> str:
    """Every setting in force: the # of each is taken away."""
    return "".join(line[1:] if re.match(r"#(?!#)", line) else line for line in text.splitlines(keepends=True))


def keys(kind: inspect.Type) -> set[str]:
    """The keys of a struct and of all structs in it."""
    if isinstance(kind, inspect.Metadata):
        return keys(unwrapped(kind)[0])
    if isinstance(kind, inspect.VarTupleType):
        return keys(kind.item_type)
    if isinstance(kind, inspect.UnionType):
        return {key for member in kind.types for key in keys(member)}
    if not isinstance(kind, inspect.StructType):
        return set()
    return {field.encode_name for field in kind.fields} | {key for field in kind.fields for key in keys(field.type)}


@pytest.mark.parametrize(
    ("name", "text"), [("node.yaml", node_template()), ("signaling-server.yaml", signaling_template())], ids=["node", "signaling"]
)
def test_template_file_is_what_the_schema_says(name: str, text: str) -> None:
    assert (FOLDER / name).read_text() == text, "run: python -m majula.config.template node|signaling > the file"


@pytest.mark.parametrize(
    ("kind", "text"), [(NodeConfig, node_template()), (SignalingServerConfig, signaling_template())], ids=["node", "signaling"]
)
def test_every_setting_is_in_the_template(kind: type[Struct], text: str) -> None:
    missing = {key for key in keys(inspect.type_info(kind)) if not re.search(rf"^#? *(?:- )?{key}:", text, re.MULTILINE)}
    assert missing == set()


def test_template_of_a_node_with_every_setting_in_force_is_a_node(files: Files) -> None:
    files.secret("mesh.token", "hG7wKq2ZpL9xVbN4mT1cRd")
    config = files.load(switched_on(node_template())).config
    assert config.node_id == "node1" and config.raft[0].peers == ("node1", "node2", "node3")
    assert [channel.protocol for channel in config.channels] == ["tcp", "kcp"]


def test_defaults_of_the_template_are_those_of_the_schema(files: Files) -> None:
    files.secret("mesh.token", "hG7wKq2ZpL9xVbN4mT1cRd")
    config = files.load(switched_on(node_template())).config
    default = NodeConfig()
    for name in ("limits", "log", "drain_s", "signaling_server"):
        assert getattr(config, name) == getattr(default, name)


def test_template_of_a_signaling_server_with_every_setting_in_force_is_the_default() -> None:
    problems = Problems()
    tree = read_document(switched_on(signaling_template()).encode(), problems)
    assert tree is not None
    found = decode(SignalingServerConfig, tree, problems, Places(), {})
    assert not problems.found and found == SignalingServerConfig()


def test_template_as_it_stands_is_one_gateway_with_accounts(files: Files) -> None:
    loaded = files.load(node_template())
    assert [(entry.port, entry.auth) for entry in loaded.config.majula_servers] == [(18080, "token")]
    assert loaded.warnings == () and loaded.refusals == ()


def test_first_file_has_what_it_is_given_in_force_and_needs_tokens(files: Files) -> None:
    files.secret("mesh.token", "hG7wKq2ZpL9xVbN4mT1cRd")
    config = files.load(first_node_file(node_id="garage", port=9999, token_file="mesh.token")).config
    assert (config.node_id, config.majula_servers[0].port, config.majula_servers[0].auth) == ("garage", 9999, "token")
    assert config.token == "hG7wKq2ZpL9xVbN4mT1cRd"


def test_first_file_with_every_setting_in_force_is_a_node(files: Files) -> None:
    files.secret("mesh.token", "hG7wKq2ZpL9xVbN4mT1cRd")
    assert files.load(switched_on(first_node_file(node_id="garage"))).config.raft[0].peers[0] == "garage"


# --- config check

SERVER = """\
server:
  name: "Relay"
  version: "1.0.0"
  description: "信令服务器"
network: {http_port: 8080, udp_port: 8081, host: "0.0.0.0"}
websocket: {read_timeout: "60s", write_timeout: "10s", ping_interval: "30s", pong_wait: "60s", max_message_size: 4096}
node_management: {cleanup_interval: "300s", offline_timeout: "600s", max_nodes: 1000}
logging: {level: "info", format: "json", output: "stdout", file_path: ""}
security:
  enable_cors: true
  allowed_origins:
    - "*"
  enable_rate_limit: true
  max_requests_per_minute: 100
monitoring: {enable_metrics: true, metrics_port: 9090, health_check_interval: "30s"}
advanced: {enable_debug: false, enable_profiling: false, profile_port: 6060}"""


def checked(files: Files, text: str) -> Any:
    path = files.directory / "any.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return check_file(path, environment={}, uid=1000, directory=files.directory)


def test_file_of_a_signaling_server_of_the_seed_system_passes_with_warnings(files: Files) -> None:
    found = checked(files, SERVER)
    assert (found.kind, found.problems, found.starts) == ("signaling server", (), True)
    prefix = f"{files.directory}/any.yaml"
    assert found.warnings == (
        f"{prefix}:5:50: the server on 0.0.0.0 can be reached from other machines, without TLS",
        f"{prefix}:12:5: every web site may use this server from its visitors' browsers: name the origins that are yours",
    )
    assert found.reachable[0].startswith("http://0.0.0.0:8080 and udp 0.0.0.0:8081: other machines")


def test_problem_of_a_signaling_server_has_its_place(files: Files) -> None:
    found = checked(files, SERVER.replace("max_nodes: 1000", "max_node: 1000"))
    assert found.problems == (f"{files.directory}/any.yaml:7:70: unknown key 'max_node' (did you mean 'max_nodes'?)",)


def test_listener_that_may_not_start_is_a_warning_of_the_check(files: Files) -> None:
    found = checked(files, "node_id: n\nmajula_servers: [{port: 1, bind: 0.0.0.0}]")
    assert found.problems == () and not found.starts
    assert found.warnings[0].startswith(f"{files.directory}/any.yaml:2:34: refused at start: '0.0.0.0' can be reached")


def test_check_says_what_becomes_reachable_from_where(files: Files) -> None:
    text = """\
node_id: n
run_dir: /run/n
majula_servers:
  - {port: 1, auth: token, bind: "0.0.0.0", insecure: true, ip_allow: [10.0.0.0/8], native: {unix: off, tcp: "127.0.0.1:2"}}
  - {port: 3, bind: "::1", origins: ["https://a.example"]}
channels:
  - {type: server, listen_addr: "0.0.0.0:9"}
  - {type: client, remote_addr: "peer.example:9", protocol: kcp}
"""
    assert checked(files, text).reachable == (
        "gateway http://0.0.0.0:1: every machine that reaches this one, from 10.0.0.0/8 only, who has a token, in the clear",
        "native port 127.0.0.1:2: programs on this machine only, who has a token, in the clear",
        "gateway http://[::1]:3: programs on this machine only, anybody, in the clear; pages of https://a.example may use it",
        "native port /run/n/native-3.sock: the node's own user only, who may do everything",
        "channel tcp 0.0.0.0:9: every machine that reaches this one, nodes with the shared token (not active yet)",
        "channel to peer.example:9 (kcp): dials out, opens no port",
    )


def test_socket_that_others_find_is_said_to_be_closed_to_them_until_its_mode_is_changed(files: Files) -> None:
    text = "node_id: n\nrun_dir: /run/n\nmajula_servers: [{port: 1, auth: token, native: {unix: /srv/m.sock}}]"
    own = "native port /srv/m.sock: the node's own user, who may do everything, and where chmod lets them others with a token"
    assert checked(files, text).reachable[1] == own


def test_file_that_cannot_be_read_is_a_problem(files: Files) -> None:
    found = check_file(files.directory / "nowhere.yaml")
    assert found.problems == (f"{files.directory}/nowhere.yaml:1:1: cannot be read: No such file or directory",)


def test_complete_configuration_of_a_server_has_the_names_of_its_file() -> None:
    assert complete(SignalingServerConfig())["websocket"]["max_message_size"] == 4096
