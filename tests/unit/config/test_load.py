"""From a node's file to its configuration: defaults, problems with their places, warnings, what is not active yet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majula.config import DEFAULT_NODE_FILE, Limits, NativePort, SlowConsumer, load_node_config
from majula.config.document import MAX_BYTES
from majula.errors import ConfigError
from tests.unit.config.files import Files

MIB = 1 << 20
LAYOUTS = Path(__file__).parents[3] / "cluster_configs"

# The keys of the node files of the system that this one succeeds, each with the value that its templates give it.
SEED_SERVER = """\
node_id: "node1"
token: "default_token"

majula_servers:
  - port: 18080

channels:
  - type: "server"
    listen_addr: "127.0.0.1:29090"
    tcp:
      frame_size: 4096
      inactive_seconds: 10
      send_queue_size: 1000
      max_connections_per_sec: 5"""
SEED_CLIENT = """\
node_id: "node2"
token: "default_token"
majula_servers:
  - port: 18081
channels:
  - type: "client"
    remote_addr: "127.0.0.1:29090"
    tcp:
      frame_size: 4096
      inactive_seconds: 10
      send_queue_size: 1000
"""
SEED_TEMPLATE = """\
# 节点配置
node_id: "node1"
token: "default_token"
signaling_server:
  enabled: {enabled}  # 是否启用
  url: "ws://localhost:8080/ws"
  udp_port: 8081
  reconnect_interval: "30s"
  heartbeat_interval: "30s"
majula_servers:
  - port: 18080
channels:
  - type: "server"
    protocol: "tcp"
    listen_addr: "127.0.0.1:29090"
    tcp:
      frame_size: 4096
      inactive_seconds: 10
      send_queue_size: 1000
      max_connections_per_sec: 5
      ip_whitelist: ["127.0.0.1", "192.168.1.0/24"]
      tls:
        cert_file: "tcp_server.crt"
        key_file: "tcp_server.key"
  - type: "server"
    protocol: "kcp"
    listen_addr: "127.0.0.1:30090"
    kcp:
      frame_size: 4096
      inactive_seconds: 10
      send_queue_size: 1000
      max_connections_per_sec: 5
  - type: "client"
    protocol: "tcp"
    remote_addr: "192.168.1.2:29090"
    peer_id: "serverNode"
    tcp:
      frame_size: 4096
raft:
  - group: "raft-group-1"
    peers:
      - "node1"
      - "node2"
      - "node3"
    dbpath: "./raftdb_group1_node1"
  - group: "raft-group-2"
    peers: ["node1", "node4", "node5"]
    dbpath: "./raftdb_group2_node1" """
SEEDS = {
    "server": SEED_SERVER,
    "client": SEED_CLIENT,
    "template": SEED_TEMPLATE.format(enabled="false"),
    "signaling": SEED_TEMPLATE.format(enabled="true"),
}


@pytest.mark.parametrize("name", SEEDS)
def test_file_of_the_seed_system_loads_with_warnings_only(files: Files, name: str) -> None:
    loaded = files.load(SEEDS[name])
    assert any("default_token" in line for line in loaded.warnings)


def test_seed_keys_keep_their_meaning(files: Files) -> None:
    config = files.load(SEEDS["signaling"]).config
    tcp, kcp, client = config.channels
    assert (tcp.type, tcp.protocol, tcp.listen_addr, tcp.tcp.inactive_seconds) == ("server", "tcp", "127.0.0.1:29090", 10.0)
    assert tcp.tcp.ip_whitelist == ("127.0.0.1", "192.168.1.0/24")
    assert not isinstance(tcp.tcp.tls, str | None) and tcp.tcp.tls.key_file == "tcp_server.key"
    assert (kcp.protocol, kcp.kcp.send_queue_size) == ("kcp", 1000)
    assert (client.remote_addr, client.peer_id) == ("192.168.1.2:29090", "serverNode")
    assert config.raft[0].peers == ("node1", "node2", "node3")
    assert (config.signaling_server.enabled, config.signaling_server.reconnect_interval_s) == (True, 30.0)


def test_parts_that_are_not_active_yet_are_named(files: Files) -> None:
    assert files.load(SEEDS["signaling"]).inactive == ("channels (3)", "raft (2)", "signaling_server")


def test_signaling_server_that_is_not_enabled_is_not_named_inactive(files: Files) -> None:
    assert files.load(SEEDS["template"]).inactive == ("channels (3)", "raft (2)")


def test_channel_without_protocol_is_tcp(files: Files) -> None:
    assert files.load(SEED_SERVER).config.channels[0].protocol == "tcp"


# --- defaults


def test_only_the_node_id_must_be_there(files: Files) -> None:
    config = files.load("node_id: n").config
    assert [entry.port for entry in config.majula_servers] == [18080]
    assert config.drain_s == 10.0 and (config.log.format, config.log.level) == ("auto", "info")


def test_default_limits_are_the_documented_ones(files: Files) -> None:
    assert files.load("node_id: n").config.majula_servers[0].limits == Limits(
        message_bytes=MIB,
        subscriptions_per_client=10_000,
        registrations_per_client=1_000,
        pending_calls_per_client=4_096,
        connections=10_000,
        header_bytes=32_768,
        header_s=5.0,
        body_stall_s=10.0,
        nesting_depth=64,
        replay_messages=1_024,
        replay_bytes=4 * MIB,
        retained_bytes=64 * MIB,
        messages_per_s=0.0,
        bytes_per_s=0,
        controls_per_s=10_000.0,
        node_messages_per_s=0.0,
        node_bytes_per_s=0,
        loop_lag_ms=1_000.0,
        memory_bytes=2_048 * MIB,
        slow_consumer=SlowConsumer(limit_bytes=4 * MIB, limit_messages=65_536, age_s=10.0, policy="drop_newest", stalled_s=60.0),
    )


def test_without_a_file_the_built_in_configuration_runs(tmp_path: Path) -> None:
    loaded = load_node_config(environment={}, uid=1000, directory=tmp_path)
    assert (loaded.config.node_id, loaded.config.majula_servers[0].port, loaded.source) == ("node1", 18080, "<default>")


def test_built_in_configuration_is_the_file_that_the_documents_name() -> None:
    assert (LAYOUTS / "single.yaml").read_text() == DEFAULT_NODE_FILE


@pytest.mark.parametrize("path", sorted(LAYOUTS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_layout_loads_and_has_its_line_in_the_readme(path: Path, tmp_path: Path) -> None:
    load_node_config(path, environment={}, uid=1000, directory=tmp_path)
    assert f"| `{path.name}` |" in (LAYOUTS / "README.md").read_text()


def test_data_directory_is_named_by_the_node_in_the_working_directory(files: Files) -> None:
    assert files.load("node_id: n").config.data_dir == str(files.directory / "majula-data" / "n")


def test_relative_paths_start_at_the_working_directory(files: Files) -> None:
    config = files.load("node_id: n\ndata_dir: d\nrun_dir: r\nmajula_servers: [{port: 1, native: {unix: s.sock}}]").config
    assert config.data_dir == str(files.directory / "d") and config.run_dir == str(files.directory / "r")
    assert config.majula_servers[0].native.unix_path == str(files.directory / "s.sock")


def test_data_directory_by_another_name_has_the_same_run_directory(files: Files) -> None:
    (files.directory / "real").mkdir()
    (files.directory / "link").symlink_to("real")
    by_name, by_link = (files.load(f"node_id: n\ndata_dir: {name}").config for name in ("real", "link"))
    assert by_name.run_dir == by_link.run_dir and by_name.data_dir != by_link.data_dir


def test_run_directory_follows_the_session(files: Files) -> None:
    files.environment = {"XDG_RUNTIME_DIR": "/run/user/5"}
    assert files.load("node_id: n").config.run_dir.startswith("/run/user/5/majula/n-")


def test_native_port_is_a_socket_in_the_run_directory_and_not_on_tcp(files: Files) -> None:
    native = files.load("node_id: n\nrun_dir: /r\nmajula_servers: [{port: 7}]").config.majula_servers[0].native
    assert (native.unix_path, native.tcp_address) == ("/r/native-7.sock", None)


@pytest.mark.parametrize("off", ["off", "false", '"off"'])
def test_native_port_can_be_off(files: Files, off: str) -> None:
    config = files.load(f"node_id: n\nmajula_servers: [{{port: 7, native: {{unix: {off}, tcp: {off}}}}}]").config
    native = config.majula_servers[0].native
    assert native == NativePort(unix="off", tcp="off") and native.unix_path is None


def test_native_port_by_tcp_gives_host_and_port(files: Files) -> None:
    config = files.load("node_id: n\nmajula_servers: [{port: 7, native: {tcp: '[::1]:8'}}]").config
    assert config.majula_servers[0].native.tcp_address == ("::1", 8)


def test_gateway_takes_the_limits_of_the_node_and_overrides_single_ones(files: Files) -> None:
    one, two = files.load(
        "node_id: n\nlimits: {message_bytes: 2 MiB, slow_consumer: {age_s: 3s, policy: disconnect}}\n"
        "majula_servers:\n  - port: 1\n  - port: 2\n    limits: {connections: 5, slow_consumer: {age_s: 1s}}"
    ).config.majula_servers
    assert (one.limits.message_bytes, one.limits.connections, one.limits.slow_consumer.age_s) == (2 * MIB, 10_000, 3.0)
    assert (two.limits.message_bytes, two.limits.connections) == (2 * MIB, 5)
    assert (two.limits.slow_consumer.age_s, two.limits.slow_consumer.policy) == (1.0, "disconnect")


def test_default_gateway_has_the_limits_of_the_node(files: Files) -> None:
    assert files.load("node_id: n\nlimits: {connections: 3}").config.majula_servers[0].limits.connections == 3


# --- problems


def test_all_problems_are_named_at_once_with_their_places(files: Files) -> None:
    assert files.problems(
        "node_id: n 1\nmajula_server:\n  - port: 1\nmajula_servers:\n  - port: 99999\n    naitive: {}\n"
        "  - bind: localhost\n    port: 3\ndrain_s: soon\n"
    ) == [
        "1:10: a name has 1 to 128 of A-Z a-z 0-9 . _ -, got 'n 1'",
        "2:1: unknown key 'majula_server' (did you mean 'majula_servers'?)",
        "5:11: 99999 is out of range: 1 to 65535",
        "6:5: unknown key 'naitive' (did you mean 'native'?)",
        "7:11: expected an IP address such as 127.0.0.1, got 'localhost'",
        "9:10: expected a duration such as 30s, 500ms or 1m30s, got 'soon'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("majula_servers: []", "2:17: a node without a gateway serves nobody: add '- port: 18080'"),
        ("majula_servers: [{}]", "2:18: 'port' is missing here"),
        ("majula_servers: {port: 1}", "2:17: expected a list, got a mapping: begin each entry with '- '"),
        ("majula_servers: [1]", "2:18: expected a mapping with keys such as port, bind, auth, tls, got 1"),
        ("majula_servers:", "2:16: 'majula_servers' has no value: write one or remove the line"),
        ("majula_servers: [{port: 1}, {port: 1}]", "2:36: port 1 is that of majula_servers[0] too"),
        ("majula_servers: [{port: '1'}]", "2:25: expected a whole number, got '1'"),
        ("majula_servers: [{port: true}]", "2:25: expected a whole number, got True"),
        ("majula_servers: [{port: 1, auth: tokens}]", "2:34: expected none or token, got 'tokens' (did you mean 'token'?)"),
        ("majula_servers: [{port: 1, bind: localhost}]", "2:34: expected an IP address such as 127.0.0.1, got 'localhost'"),
        ("majula_servers: [{port: 1, native: {tcp: '127.0.0.1:1'}}]", "2:42: 127.0.0.1:1 is taken by gateway 1"),
        (
            "majula_servers: [{port: 1, native: {unix: /s}}, {port: 2, native: {unix: /s}}]",
            "2:74: the socket '/s' is that of majula_servers[0] too",
        ),
        ("log: {format: jsn}", "2:15: expected auto, console or json, got 'jsn' (did you mean 'json'?)"),
        ("signaling_server: {enabled: yes}", "2:29: expected true or false, got 'yes'"),
        (
            "limits: {slow_consumer: {policy: drop_oldest}}",
            "2:34: expected disconnect or drop_newest, got 'drop_oldest' (did you mean 'drop_newest'?)",
        ),
        ("limits: {mesage_bytes: 1}", "2:10: unknown key 'mesage_bytes' (did you mean 'message_bytes'?)"),
        ("limits: {message_bytes: 1}", "2:25: 1 is out of range: 1024 to 67108864"),
        ("token: 12345", "2:8: expected a text that is not empty: put it in quotes"),
        ("token: ''", "2:8: expected a text that is not empty: put it in quotes"),
        ("token: 0123456789", "2:8: this value must be text in quotes"),
        ("data_dir: [a]", "2:11: expected one value, got a list"),
        ("channels: [{type: server}]", "2:12: a channel of type server needs 'listen_addr'"),

        ("channels: [{type: client, remote_addr: h:1, listen_addr: h:2}]", "2:58: a channel of type client has no 'listen_addr'"),

        ("channels: [{type: server, listen_addr: 'h:1', kcp: {}}]", "2:52: 'kcp' does not apply to a channel of protocol tcp"),
        (
            "channels: [{type: server, listen_addr: 'h:1', peer_id: p}]",
            "2:56: a channel of type server takes any peer: 'peer_id' belongs to a client channel",
        ),
        ("channels: [{type: server, listen_addr: 'h:1', tcp: {tls: on}}]", "2:58: expected off, got 'on'"),
        ("channels: [{type: server, listen_addr: 'h:1', tcp: {tls: {cert_file: c}}}]", "2:58: 'key_file' is missing here"),
        ("raft: [{group: g, peers: [a, b], dbpath: d}]", "2:26: this node, 'n', is not among the peers"),
        ("raft: [{group: g, peers: [n, n], dbpath: d}]", "2:26: a member stands here twice"),

        ("raft: [{group: g, peers: [n], dbpath: d}, {group: g, peers: [n], dbpath: e}]", "2:51: the group 'g' stands here twice"),
    ],
)  # fmt: skip
def test_wrong_value_is_refused_at_its_place(files: Files, text: str, problem: str) -> None:
    assert files.problems(f"node_id: n\n{text}\n") == [problem]


@pytest.mark.parametrize("bind", ["0.0.0.0", "'::'", "192.168.1.1", "8.8.8.8"])
def test_a02_gateway_beyond_loopback_does_not_start_without_accounts(files: Files, bind: str) -> None:
    (refusal,) = files.refusals(f"node_id: n\nmajula_servers: [{{port: 1, bind: {bind}}}]")
    assert refusal.startswith("2:34: ") and "can be reached from other machines" in refusal and "auth: token" in refusal


def test_a02_gateway_beyond_loopback_does_not_start_without_tls(files: Files) -> None:
    (refusal,) = files.refusals("node_id: n\nmajula_servers: [{port: 1, bind: 0.0.0.0, auth: token}]")
    assert "tokens would travel in the clear" in refusal


def test_a02_insecure_does_not_waive_accounts(files: Files) -> None:
    (refusal,) = files.refusals("node_id: n\nmajula_servers: [{port: 1, bind: 0.0.0.0, insecure: true}]")
    assert "auth: token" in refusal


def test_a02_native_port_by_tcp_follows_the_same_rules(files: Files) -> None:
    open_port = "native: {tcp: '0.0.0.0:2'}"
    assert "auth: token" in files.refusals(f"node_id: n\nmajula_servers: [{{port: 1, {open_port}}}]")[0]
    assert "in the clear" in files.refusals(f"node_id: n\nmajula_servers: [{{port: 1, auth: token, {open_port}}}]")[0]
    assert files.refusals(f"node_id: n\nmajula_servers: [{{port: 1, auth: token, insecure: true, {open_port}}}]") == []


def test_gateway_beyond_loopback_starts_with_accounts_and_tls(files: Files) -> None:
    files.secret("c.pem", "certificate")
    files.secret("k.pem", "key")
    tls = "tls: {cert_file: c.pem, key_file: k.pem}"
    text = f"node_id: n\nmajula_servers: [{{port: 1, bind: 0.0.0.0, auth: token, hosts: [n.example], {tls}}}]"
    assert files.refusals(text) == [] and files.warnings(text) == []
    found = files.load(text).config.majula_servers[0].tls
    assert found is not None and found.cert_file == str(files.directory / "c.pem")


def test_gateway_that_is_insecure_is_warned_of(files: Files) -> None:
    text = "node_id: n\nmajula_servers: [{port: 1, bind: 0.0.0.0, auth: token, hosts: [n.example], insecure: true}]"
    assert files.refusals(text) == []
    assert files.warnings(text) == ["2:86: the gateway on 0.0.0.0:1 is insecure: tokens and messages travel in the clear"]


@pytest.mark.parametrize("token", ["default_token", "s3cr3tAB"])
def test_a03_weak_token_is_warned_of_on_loopback_and_refuses_a_node_beyond_it(files: Files, token: str) -> None:
    weak = f"node_id: n\ntoken: {token}\nmajula_servers: [{{port: 1, auth: token, insecure: true, bind: %s}}]"
    assert files.refusals(weak % "127.0.0.1") == [] and files.warnings(weak % "127.0.0.1")[0].startswith("2:8: the token")
    assert files.refusals(weak % "0.0.0.0")[0].startswith("2:8: the token")


def test_missing_key_that_must_be_there_is_one_problem(files: Files) -> None:
    assert files.problems("majula_servers: [{bind: 127.0.0.1}]") == ["1:18: 'port' is missing here"]


def test_unknown_key_far_from_all_names_the_keys(files: Files) -> None:
    (problem,) = files.problems("node_id: n\nlog: {zzz: 1}")
    assert problem == "2:7: unknown key 'zzz': the keys here are format, level, levels"


@pytest.mark.parametrize("content", ["", "# nothing\n", "null"])
def test_empty_file_is_refused(files: Files, content: str) -> None:
    assert files.problems(content) == ["1:1: the file has no value: write one"]


@pytest.mark.parametrize("content", ["- node_id: n", "[]", "text", "12"])
def test_file_that_is_no_mapping_is_refused(files: Files, content: str) -> None:
    (problem,) = files.problems(content)
    assert problem.startswith("1:1: expected a mapping with keys such as node_id, token, data_dir, run_dir")


def test_value_with_a_refused_form_is_reported_once(files: Files) -> None:
    (problem,) = files.problems("node_id: n\nmajula_servers: [{port: 0123}]")
    assert problem.startswith("2:25: '0123' means different things")


def test_terminal_escapes_of_a_file_never_reach_the_reader(files: Files) -> None:
    assert all(line.isprintable() for line in files.problems('node_id: "\\e[31m"\n"a\\nb": 1\n'))


def test_run_directory_too_long_for_a_socket_is_refused(files: Files) -> None:
    (problem,) = files.problems(f"node_id: n\nrun_dir: /{'r' * 100}\n")
    assert problem.startswith("2:10: the run directory '/rrr") and problem.endswith(
        "has 101 bytes, more than the 82 that leave room for its sockets: shorten it"
    )


def test_node_id_too_long_for_the_default_run_directory_asks_for_another(files: Files) -> None:
    (problem,) = files.problems(f"node_id: {'n' * 70}\n")
    assert problem.startswith("1:10: the run directory '/tmp/majula-1000/nnn") and problem.endswith("set a shorter 'run_dir'")


def test_socket_path_counts_bytes(files: Files) -> None:
    assert "has 102 bytes" in files.problems(f"node_id: n\nmajula_servers: [{{port: 1, native: {{unix: /é{'x' * 99}}}}}]")[0]


def test_socket_path_of_100_bytes_is_taken(files: Files) -> None:
    assert files.problems(f"node_id: n\nmajula_servers: [{{port: 1, native: {{unix: /{'x' * 99}}}}}]") == []


@pytest.mark.parametrize("path", ["missing.yaml", ".", "a\0b"])
def test_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_node_config(tmp_path / path)
    assert ":1:1: cannot be read: " in refusal.value.problems[0] and refusal.value.problems[0].isprintable()


def test_endless_file_is_read_to_the_limit_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"more than the {MAX_BYTES}"):
        load_node_config(Path(os.devnull).with_name("zero"))


# --- warnings


@pytest.mark.parametrize("bind", ["0.0.0.0", "'::'"])
def test_gateway_at_every_address_that_serves_no_name_of_this_machine_is_warned_of(files: Files, bind: str) -> None:
    text = f"node_id: n\nmajula_servers: [{{port: 1, bind: {bind}, auth: token, insecure: true}}]"
    assert any("name under `hosts` how other machines call it" in warning for warning in files.warnings(text))


def test_gateway_that_others_reach_without_a_token_is_not_said_to_serve_this_machine_alone(files: Files) -> None:
    found = files.warnings("node_id: n\nmajula_servers: [{port: 1, bind: 192.0.2.1}]")
    assert any(line.endswith("has auth: none: anybody who reaches it may use it") for line in found)


def test_open_gateway_is_warned_of_at_its_entry(files: Files) -> None:
    (warning,) = files.warnings("node_id: n\nmajula_servers:\n  - port: 5\n")
    assert warning == "3:5: the gateway on 127.0.0.1:5 has auth: none: every program of this machine may use it"


def test_token_of_a_template_is_warned_of_at_its_line(files: Files) -> None:
    assert files.warnings("node_id: n\ntoken: default_token")[1].startswith("2:8: the token 'default_token' is a template's")


def test_short_token_is_warned_of_without_showing_it(files: Files) -> None:
    (_, warning) = files.warnings("node_id: n\ntoken: s3cr3tAB")
    assert warning.startswith("2:8: the token holds at most 47 bits") and "s3cr3tAB" not in warning


@pytest.mark.parametrize("token", ["0123456789abcdef0123456789abcdef", "hG7wKq2ZpL9xVbN4mT1cRd"])
def test_random_token_of_128_bits_is_not_warned_of(files: Files, token: str) -> None:
    assert len(files.warnings(f"node_id: n\ntoken: '{token}'")) == 1


@pytest.mark.parametrize("token", ["31337313373133731337", "0x31337", "31337", "[31337]", "{a: 31337}", "[[31337.]]"])
def test_token_is_never_shown(files: Files, token: str) -> None:
    assert files.problems(f"node_id: n\ntoken: {token}") and "31337" not in str(files.problems(f"node_id: n\ntoken: {token}"))


def test_configuration_can_be_printed_without_the_token(files: Files) -> None:
    assert "s3cr3t" not in repr(files.load("node_id: n\ntoken: s3cr3t"))


# --- hostile trees

KEYS = st.sampled_from(
    [
        "node_id",
        "token",
        "majula_servers",
        "port",
        "bind",
        "native",
        "limits",
        "slow_consumer",
        "channels",
        "tcp",
        "tls",
        "raft",
        "x",
    ]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["off", "30s", "127.0.0.1", "n", "h:1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, TREES, max_size=8))
def test_any_tree_loads_or_names_its_problems(files: Files, tree: dict[str, object]) -> None:
    import json  # noqa: PLC0415 - JSON is YAML; only this test writes it

    for problem in files.problems(json.dumps({"node_id": "n", **tree})):
        line, column, message = problem.split(":", 2)
        assert int(line) >= 1 and int(column) >= 1 and message.isprintable()


def test_limit_of_retained_values_is_the_nodes_and_refused_at_one_gateway(files: Files) -> None:
    text = "node_id: n\nmajula_servers:\n  - port: 1\n    limits:\n      retained_bytes: 1 MiB\n"
    assert files.problems(text) == [
        "5:23: 'retained_bytes' is of the whole node, whatever the gateway: set it in the node's 'limits'"
    ]


def test_limit_of_retained_values_may_be_set_for_the_node(files: Files) -> None:
    loaded = files.load("node_id: n\nmajula_servers: [{port: 1}]\nlimits: {retained_bytes: 1 MiB}\n")
    assert loaded.config.limits.retained_bytes == MIB


def test_levels_of_single_roles_are_a_mapping(files: Files) -> None:
    assert files.load("log: {levels: {router: debug, 'gateway:18080': error}}").config.log.levels == {
        "router": "debug",
        "gateway:18080": "error",
    }


@pytest.mark.parametrize(
    ("levels", "problem"),
    [
        ("[debug]", "1:15: expected a mapping, got a list"),
        ("{Router: debug}", "1:16: expected a role such as router or gateway:18080, got 'Router'"),
        ("{router: loud}", "1:24: expected debug, error, info or warning, got 'loud'"),
    ],
)
def test_level_of_a_role_that_cannot_be_one_is_refused_at_its_place(files: Files, levels: str, problem: str) -> None:
    assert files.problems(f"log: {{levels: {levels}}}") == [problem]
