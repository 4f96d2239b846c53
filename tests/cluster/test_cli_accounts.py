"""`token`, `send`, `clients`, `config`, `log` and `debug` as an operator types them, against a node with accounts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import majula

from .node_rig import PATIENCE_S
from .terminal import Terminal, terminal

pytestmark = pytest.mark.slow


async def make_token(shell: Terminal, *scopes: str) -> str:
    words = [word for scope in scopes for word in ("--scope", scope)]
    code, out, _ = await shell.run("token", "create", *words)
    assert code == 0
    return out.strip()


def web(shell: Terminal) -> str:
    """The address at which a token is needed."""
    return f"ws://127.0.0.1:{shell.node.ports[0]}"


async def test_new_token_is_alone_on_standard_output(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, out, error = await shell.run("token", "create", "--scope", "publish:a.>", "--note", "n")
        assert code == 0
        assert re.fullmatch(r"mjl_[A-Za-z0-9_-]{43}\n", out)
        assert "publish:a.>" in error
        assert out.strip() not in error


async def test_new_token_is_written_to_a_private_file_and_nowhere_else(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        file = tmp_path / "secret"
        code, out, error = await shell.run("token", "create", "--scope", "publish:a", "--output", str(file))
        assert (code, out) == (0, "")
        secret = file.read_text().strip()
        assert re.fullmatch(r"mjl_[A-Za-z0-9_-]{43}", secret) and secret not in error
        assert file.stat().st_mode & 0o777 == 0o600


async def test_file_that_is_there_is_kept_and_no_token_is_made(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        file = tmp_path / "secret"
        file.write_text("mine")
        assert (await shell.run("token", "create", "--scope", "publish:a", "--output", str(file)))[0] == 6
        assert file.read_text() == "mine"
        assert json.loads((await shell.run("token", "list", "--json"))[1])["tokens"] == []


async def test_file_of_a_token_that_was_refused_is_gone(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        file = tmp_path / "secret"
        assert (await shell.run("token", "create", "--scope", "nosuch:a", "--output", str(file)))[0] == 2
        assert not file.exists()


async def test_token_gives_what_its_scopes_say_and_no_more(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        environment = {"MAJULA_TOKEN": await make_token(shell, "publish:a.>"), "MAJULA_ADDRESS": web(shell)}
        assert await shell.run("pub", "a.b", "x", environment=environment) == (0, "", "")
        code, _, error = await shell.run("pub", "b.c", "x", environment=environment)
        assert code == 4
        assert "publish:b.c" in error


async def test_command_without_a_token_says_where_to_get_one(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, _, error = await shell.run("pub", "a", "x", environment={"MAJULA_ADDRESS": web(shell)})
        assert code == 4
        assert "majula token create" in error


async def test_revoked_token_opens_nothing(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        token = await make_token(shell, "publish:>")
        _, out, _ = await shell.run("token", "list", "--json")
        (line,) = json.loads(out)["tokens"]
        assert (await shell.run("token", "revoke", line["id"]))[0] == 0
        environment = {"MAJULA_TOKEN": token, "MAJULA_ADDRESS": web(shell)}
        assert (await shell.run("pub", "a", "x", environment=environment))[0] == 4
        _, out, _ = await shell.run("token", "show", line["id"])
        assert re.search(r"^state +revoked$", out, re.MULTILINE)


async def test_audit_tells_who_made_which_token(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        token = await make_token(shell, "publish:>")
        _, out, _ = await shell.run("audit", "--json")
        entries = json.loads(out)["entries"]
        assert "tokens.create" in {entry["what"] for entry in entries}
        assert token not in out


async def test_message_is_delivered_to_the_client_that_is_named(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell, majula.connect(shell.address, client_id="bob") as bob:
        assert await shell.run("send", "bob", '{"hi": 1}', "--client-id", "alice") == (0, "delivered\n", "")
        message = await anext(bob.messages())
        assert (message.source, message.payload) == ("alice", {"hi": 1})


async def test_message_to_nobody_fails_with_its_code(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, out, error = await shell.run("send", "nobody", "x", "--ttl", "0.3s")
        assert (code, out) == (5, "")
        assert error.endswith("[no_route]\n")


async def test_broadcast_says_how_many_have_it(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell, majula.connect(shell.address):
        assert await shell.run("send", "--all", "x") == (0, "delivered 1 written 0 of 1\n", "")


async def test_received_message_is_printed_with_its_sender(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell, majula.connect(shell.address, client_id="alice") as alice:
        receiver = await shell.start("receive", "--client-id", "bob", "--count", "1")
        # Repeated until bob is there, delivered once.
        assert await alice.send("bob", "hello", ttl_s=PATIENCE_S) == "delivered"
        out, _ = await receiver.communicate()
        assert out == b"alice  hello\n"


async def test_clients_are_listed_and_can_be_disconnected(tmp_path: Path) -> None:
    states: list[str] = []
    async with terminal(tmp_path, auth="token") as shell:
        async with majula.connect(shell.address, client_id="bob", on_state=lambda state: states.append(state.name)):
            code, out, _ = await shell.run("clients", "--json")
            assert (code, [line["client"] for line in json.loads(out)["clients"]][:1]) == (0, ["bob"])
            assert (await shell.run("clients", "disconnect", "bob"))[0] == 0
        assert "disconnected" in states
        code, _, _ = await shell.run("clients", "disconnect", "nobody")
        assert code == 5


async def test_change_of_the_configuration_is_tried_then_made_then_taken_back(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        _, tried, _ = await shell.run("config", "apply", "--set", "drain_s=3", "--dry-run", "--json")
        assert [item["path"] for item in json.loads(tried)["items"]] == ["drain_s"]
        assert (await shell.run("config", "apply", "--set", "drain_s=3"))[0] == 0
        assert "drain_s: 3" in (await shell.run("config", "show", "--given"))[1]
        assert (await shell.run("config", "rollback"))[0] == 0
        assert "drain_s: 3" not in (await shell.run("config", "show", "--given"))[1]


async def test_change_for_another_revision_is_a_conflict(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, _, error = await shell.run("config", "apply", "--set", "drain_s=3", "--revision", "77")
        assert code == 6
        assert error.endswith("[conflict]\n")


async def test_level_of_a_role_is_set_at_run_time(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        assert await shell.run("log", "level", "router", "debug") == (0, "", "")
        assert (await shell.run("log", "level", "nosuch", "debug"))[0] == 5


@pytest.mark.parametrize("what", ["stacks", "tasks", "queues"])
async def test_role_can_be_looked_into(what: str, tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, out, _ = await shell.run("debug", what, "router", "--json")
        assert code == 0
        assert json.loads(out)["role"] == "router"


async def test_tap_shows_names_of_messages_between_roles(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, out, _ = await shell.run("debug", "tap", "telemetry", "--for", "1.5s", "--limit", "5", "--json")
        assert code == 0
        assert json.loads(out)["lines"]


async def test_events_tell_who_connected(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell, majula.connect(shell.address, client_id="bob"):
        code, out, _ = await shell.run("events", "client.*", "--json")
        assert code == 0
        assert {"bob"} <= {event["fields"].get("client_id") for event in json.loads(out)["events"]}


async def test_flight_recorder_is_written_to_a_private_file(tmp_path: Path) -> None:
    async with terminal(tmp_path, auth="token") as shell:
        code, out, _ = await shell.run("debug", "flight", "--json")
        assert code == 0
        file = Path(json.loads(out)["file"])
        assert file.stat().st_mode & 0o777 == 0o600


async def test_init_writes_a_file_that_starts_and_a_token_that_opens_it(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        folder = tmp_path / "first"
        folder.mkdir()
        code, out, _ = await shell.run("init", str(folder / "majula.yaml"))
        assert code == 0
        assert re.search(r"^mjl_[A-Za-z0-9_-]{43}$", out, re.MULTILINE)
        assert (await shell.run("config", "check", str(folder / "majula.yaml")))[0] == 0
        assert (await shell.run("init", str(folder / "majula.yaml")))[0] != 0
