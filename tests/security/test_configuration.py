"""A02, A03, A61: what a node's file may not say, and what a node does not start with. As processes: tests/cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from majula.config.load import LoadedConfig, Surroundings, load_node_config, read_node_config
from majula.errors import ConfigError

WIDE = ("0.0.0.0", "'::'", "192.0.2.7", "'2001:db8::7'", "'::ffff:0.0.0.0'", "'::ffff:192.0.2.7'", "169.254.1.1", "'fe80::1'")
NEAR = ("127.0.0.1", "127.8.9.10", "'::1'", "'::ffff:127.0.0.1'")
STRONG = "kV3xq9Zt7LmPw2Rb8YcNf4"


def listeners(host: str) -> list[str]:
    """A gateway that can be reached at this host: by HTTP, by the native port, by both."""
    bare = host.strip("'")
    tcp = f"'[{bare}]:18081'" if ":" in bare else f"'{bare}:18081'"
    return [f"bind: {host}", f"native: {{tcp: {tcp}}}", f"bind: {host}, native: {{tcp: {tcp}}}"]


def read(entry: str, token: str = "") -> LoadedConfig:
    text = f"node_id: n1\nmajula_servers:\n  - {{port: 18080, {entry}}}\n" + (f"token: {token}\n" if token else "")
    return read_node_config(text.encode(), "node.yaml", Surroundings({}, 1000, Path("/tmp")))


@pytest.mark.parametrize("host", WIDE)
def test_a02_no_listener_beyond_loopback_starts_without_proof_and_tls(host: str) -> None:
    for entry in listeners(host):
        for more in ("auth: none", "auth: none, insecure: true", "auth: token"):
            refusals = read(f"{entry}, {more}").refusals
            assert refusals and all(line.startswith("node.yaml:3:") and "\n" not in line for line in refusals), (entry, more)
        assert not read(f"{entry}, auth: token, insecure: true").refusals


@pytest.mark.parametrize("host", WIDE)
def test_a02_tls_does_not_stand_for_proof(host: str) -> None:
    for entry in listeners(host):
        found = read(f"{entry}, auth: none, tls: {{cert_file: /none.crt, key_file: /none.key}}")
        assert any("must prove who they are" in line for line in found.refusals)


@pytest.mark.parametrize("host", NEAR)
def test_a02_loopback_starts_without_either_and_says_so(host: str) -> None:
    for entry in listeners(host):
        found = read(f"{entry}, auth: none")
        assert not found.refusals and any("auth: none" in line for line in found.warnings)


def test_a02_name_of_a_host_is_not_taken_for_loopback() -> None:
    assert read("auth: none, native: {tcp: 'localhost:18081'}").refusals


WEAK = (
    "default_token",
    "a",
    "password",
    "0123456789abcdef0123456789abcde",
    "aaaaaaaaaaaaaaaaaaaaaaaa",
)


@pytest.mark.parametrize("token", WEAK)
@pytest.mark.parametrize("host", WIDE[:4])
def test_a03_weak_token_is_refused_with_its_line_where_others_can_reach_the_node(host: str, token: str) -> None:
    for entry in listeners(host):
        refusals = read(f"{entry}, auth: token, insecure: true", f"'{token}'").refusals
        assert [line for line in refusals if line.startswith("node.yaml:4:")], (entry, token)
        assert len(token) < 5 or not any(token in line for line in refusals if "template" not in line)


@pytest.mark.parametrize("token", WEAK)
def test_a03_weak_token_is_a_warning_with_its_line_on_loopback(token: str) -> None:
    found = read("bind: 127.0.0.1, auth: token", f"'{token}'")
    assert not found.refusals and [line for line in found.warnings if line.startswith("node.yaml:4:")]


def test_a03_strong_token_is_neither() -> None:
    found = read("bind: 0.0.0.0, auth: token, insecure: true", STRONG)
    assert not found.refusals and not [line for line in found.warnings if ":4:" in line]
    assert STRONG not in repr(found)


HEAD = "node_id: n1\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("x: !!python/object/apply:os.system [id]\n", "2:4"),
        ("drain_s: !!int 5\n", "2:10"),
        ("drain_s: !local 5\n", "2:10"),
        ("a: &a [1]\nb: [*a]\n", "2:4"),
        ("a: &a\n  <<: *a\n", "2:4"),
        ("drain_s: 1\ndrain_s: 2\n", "3:1"),
        ("node_id: n2\n", "2:1"),
        ("drain_s: 22:22\n", "2:10"),
        ("drain_s: 0123\n", "2:10"),
        ("drain_s: 0x10\n", "2:10"),
        ("drain_s: 1_000\n", "2:10"),
        ("drain_s: .inf\n", "2:10"),
        ("drain_s: -1\n", "2:10"),
        ("majula_servers:\n  - port: yes\n", "3:11"),
        ("majula_servers:\n  - prot: 1\n", "3:5"),
        ("nodeid: n1\n", "2:1"),
        ("log: {level: debug, level: info}\n", "2:21"),
        ("? [a, b]\n: 1\n", "2:3"),
        ("token: ''\n", "2:8"),
        ("token: 5\n", "2:8"),
        ("a: \x07\n", ""),
        ("---\na: 1\n---\nb: 2\n", ""),
        ("%TAG ! tag:x,2000:\n---\na: !x 1\n", ""),
    ],
)  # fmt: skip
def test_a61_what_yaml_would_guess_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_node_config((HEAD + text).encode(), "node.yaml", Surroundings({}, 1000, Path("/tmp")))
    assert any(problem.startswith(f"node.yaml:{place}") for problem in caught.value.problems), caught.value.problems


def test_a61_billion_laughs_are_refused_at_the_first() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    with pytest.raises(ConfigError) as caught:
        read_node_config("\n".join(lines).encode(), "node.yaml", Surroundings({}, 1000, Path("/tmp")))
    assert len(caught.value.problems) <= 101  # the last says that there are more


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a61_secret_in_a_file_that_others_may_read_is_refused_with_its_place(tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "mesh.token"
    secret.write_text(STRONG)
    secret.chmod(mode)
    (tmp_path / "node.yaml").write_text(HEAD + "token: file:mesh.token\n")
    with pytest.raises(ConfigError) as caught:
        load_node_config(tmp_path / "node.yaml", environment={}, directory=tmp_path)
    (problem,) = caught.value.problems
    assert ":2:8: " in problem and "600" in problem and STRONG not in problem
    secret.chmod(0o600)
    assert load_node_config(tmp_path / "node.yaml", environment={}, directory=tmp_path).config.token == STRONG


@pytest.mark.parametrize(
    "make", [lambda path: os.mkfifo(path, 0o600), lambda path: path.mkdir(0o700), lambda path: path.symlink_to("/dev/zero")]
)
def test_a61_secret_that_is_no_file_hangs_nobody(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "mesh.token")
    (tmp_path / "node.yaml").write_text(HEAD + "token: file:mesh.token\n")
    with pytest.raises(ConfigError):
        load_node_config(tmp_path / "node.yaml", environment={}, directory=tmp_path)
