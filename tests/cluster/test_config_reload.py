"""A node whose configuration changes while it runs: real processes, a real file, the public API alone."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from tests.cluster.node_rig import PATIENCE_S, REPOSITORY, NodeRig, descendants
from tests.edges import RawWebSocket

pytestmark = pytest.mark.slow
CANARY = "canary-hG7wKq2ZpL9xVbN4mT1cRd-canary"
COMMENT = "drain_s: 8  # seconds, as the guide says"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", gateways=2, extra=COMMENT) as rig:
        yield rig


class Api:
    """The API of one gateway, asked under a host name."""

    def __init__(self, node: NodeRig, gateway: int = 0) -> None:
        self.port = node.ports[gateway]

    async def ask(self, method: str, path: str, body: Any = None, *, host: str = "") -> tuple[int, Any]:
        headers = {"Host": host} if host else {}
        url = f"http://127.0.0.1:{self.port}/majula{path}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as web,
            web.request(method, url, json=body, headers=headers) as response,
        ):
            return response.status, await response.json()

    async def config(self) -> dict[str, Any]:
        status, body = await self.ask("GET", "/v1/config")
        assert status == 200
        assert isinstance(body, dict)
        return body

    async def serves(self, host: str) -> bool:
        return (await self.ask("GET", "/health", host=host))[0] == 200


async def event(node: NodeRig, name: str, number: int = 1) -> dict[str, Any]:
    """The event of this name, when it has been logged so often."""
    await node.until(lambda: len([found for found in node.events if found["event"] == name]) >= number)
    return [found for found in node.events if found["event"] == name][number - 1]


async def until_status(node: NodeRig, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Until `status` says so of the configuration; it has no event of its own to wait for."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition((await node.status())["configuration"]):
            await asyncio.sleep(0.01)


def rewrite(node: NodeRig, edit: Callable[[str], str]) -> None:
    node.config.write_text(edit(node.config.read_text()))


async def test_host_that_is_added_by_api_is_served_at_once_and_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    async with NodeRig(folder, module="majula.runner", extra=COMMENT) as node:
        api = Api(node)
        assert not await api.serves("garage.local")
        change = {"majula_servers": {str(node.ports[0]): {"hosts": ["garage.local"]}}}
        status, tried = await api.ask("PATCH", "/v1/config", {"change": change, "dry_run": True})
        assert (status, tried["revision"]) == (200, 1) and not await api.serves("garage.local")
        status, made = await api.ask("PATCH", "/v1/config", {"change": change, "revision": 1})
        assert (status, made["revision"], made["items"]) == (200, 2, tried["items"])
        assert [(item["path"], item["effect"]) for item in made["items"]] == [("majula_servers[0].hosts", "applied")]
        assert await api.serves("garage.local")
        assert COMMENT in node.config.read_text()
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended() == 0
        await node.start()
        await event(node, "node.ready", 2)
        assert await api.serves("garage.local") and (await api.config())["revision"] == 2


async def test_change_for_an_old_revision_is_a_conflict(node: NodeRig) -> None:
    api = Api(node)
    assert (await api.ask("PATCH", "/v1/config", {"change": {"drain_s": 1}}))[0] == 200
    status, body = await api.ask("PATCH", "/v1/config", {"change": {"drain_s": 2}, "revision": 1})
    assert (status, body["code"], body["detail"]) == (409, "conflict", {"revision": 2})


async def test_sighup_applies_the_file_and_leaves_clients_connected(node: NodeRig) -> None:
    client = await RawWebSocket.open(node.ports[0], "/majula/ws/ann")
    client.send_json({"method": "REGISTER_CLIENT", "args": {"client_id": "ann"}})
    rewrite(node, lambda text: text.replace(f"port: {node.ports[0]}", f"port: {node.ports[0]}, hosts: [garage.local]"))
    node.process.send_signal(signal.SIGHUP)
    assert (await event(node, "config.changed"))["keys"] == "majula_servers[0].hosts"
    assert await Api(node).serves("garage.local") and not await Api(node, 1).serves("garage.local")
    client.send_json({"method": "SUBSCRIBE", "topic": "a", "id": "once"})
    answer = await client.receive_json()
    while answer.get("id") != "once":
        answer = await client.receive_json()
    assert answer["method"] == "ACK"


async def test_wrong_file_at_sighup_leaves_the_old_one_and_status_shows_why(node: NodeRig) -> None:
    rewrite(node, lambda text: text + "drain: 3\n")
    node.process.send_signal(signal.SIGHUP)
    assert "unknown key 'drain'" in (await event(node, "config.refused"))["reason"]
    await until_status(node, lambda found: found["revision"] == 1 and "unknown key 'drain'" in "".join(found["refused"]))
    rewrite(node, lambda text: text.replace("drain: 3\n", ""))
    node.process.send_signal(signal.SIGHUP)
    await until_status(node, lambda found: not found["refused"])


async def test_file_that_was_edited_is_taken_without_a_word(node: NodeRig) -> None:
    rewrite(node, lambda text: text.replace("drain_s: 8", "drain_s: 4"))
    found = await event(node, "config.changed")
    assert (found["who"], found["keys"]) == ("file", "drain_s")
    await until_status(node, lambda found: found["revision"] == 2)
    node.process.send_signal(signal.SIGTERM)
    assert (await event(node, "node.draining"))["deadline_s"] == 4.0


async def test_what_needs_a_restart_is_said_and_shown(node: NodeRig) -> None:
    api = Api(node)
    status, made = await api.ask("PATCH", "/v1/config", {"change": {"log": {"format": "console"}}})
    assert (status, made["items"][0]["effect"]) == (200, "restart")
    assert (await api.config())["restart"] == ["log.format"]
    await until_status(node, lambda found: found["restart"] == ["log.format"])


async def test_limit_that_is_lowered_holds_at_once(node: NodeRig) -> None:
    api = Api(node)
    assert (await api.ask("PATCH", "/v1/config", {"change": {"limits": {"message_bytes": "1 KiB"}}}))[0] == 200
    status, body = await api.ask("POST", "/v1/topics/a/messages", {"message": "x" * 5_000})
    assert (status, body["code"], body["detail"]) == (413, "too_large", {"limit_bytes": 1_024})


async def test_rollback_takes_a_change_back_at_every_gateway(node: NodeRig) -> None:
    api = Api(node)
    change = {"majula_servers": {str(port): {"hosts": ["garage.local"]} for port in node.ports}}
    await api.ask("PATCH", "/v1/config", {"change": change})
    assert await Api(node, 1).serves("garage.local")
    status, made = await api.ask("POST", "/v1/config/rollback", {})
    assert (status, made["revision"]) == (200, 3)
    assert not await Api(node, 0).serves("garage.local") and not await Api(node, 1).serves("garage.local")
    _, listed = await api.ask("GET", "/v1/config/revisions")
    assert [entry["source"] for entry in listed["revisions"]] == ["rollback", "api", "file"]


async def test_gateway_and_node_tree_that_die_keep_what_was_changed(node: NodeRig) -> None:
    api = Api(node)
    change = {"majula_servers": {str(node.ports[0]): {"hosts": ["garage.local"]}}}
    await api.ask("PATCH", "/v1/config", {"change": change})
    gateway = f"gateway:{node.ports[0]}"
    await node.harm(gateway, signal.SIGKILL)
    assert await api.serves("garage.local")
    await node.harm("supervisor:root", signal.SIGKILL)
    # A tree that is started anew begins with the configuration of the node's start; config tells what has changed since.
    async with asyncio.timeout(PATIENCE_S):
        while not await api.serves("garage.local"):
            await asyncio.sleep(0.01)


async def test_secret_of_the_environment_is_in_no_process_and_no_log(tmp_path: Path) -> None:
    async with NodeRig(
        tmp_path / "node", module="majula.runner", extra="token: env:MESH_TOKEN", environment={"MESH_TOKEN": CANARY}
    ) as node:
        pids = {node.process.pid} | descendants(node.process.pid)
        seen = [pid for pid in pids if CANARY.encode() in Path(f"/proc/{pid}/environ").read_bytes()]
        seen += [pid for pid in pids if CANARY.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
        shown = str(await Api(node).config()) + str(await node.status())
        node.config.write_text(node.config.read_text() + "drain: 3\n")
        node.process.send_signal(signal.SIGHUP)
        await event(node, "config.refused")
        assert len(pids) > 8 and seen == []
        assert CANARY not in shown + str(node.events) + "".join(node.out) + "".join(node.errors)
        kept = [path for path in node.folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
        assert kept == []


async def test_node_whose_terminal_goes_away_ends(tmp_path: Path) -> None:
    rig = NodeRig(tmp_path / "node", module="majula.runner")
    pid, terminal = pty.fork()
    if pid == 0:  # the child has the terminal as its own
        os.chdir(REPOSITORY)
        os.execv(sys.executable, [sys.executable, "-m", "majula.runner", str(rig.config)])
    try:
        loop = asyncio.get_running_loop()
        said = b""
        async with asyncio.timeout(PATIENCE_S):
            while b"is ready" not in said:
                said += await loop.run_in_executor(None, os.read, terminal, 4_096)
        os.close(terminal)
        async with asyncio.timeout(PATIENCE_S):
            _, status = await loop.run_in_executor(None, os.waitpid, pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


async def test_log_level_changes_at_every_role(node: NodeRig) -> None:
    api = Api(node)
    assert (await api.ask("PATCH", "/v1/config", {"change": {"log": {"level": "error"}}}))[0] == 200
    assert (await api.ask("PATCH", "/v1/config", {"change": {"drain_s": 1}}))[0] == 200
    rewrite(node, lambda text: text + "drain: 3\n")
    node.process.send_signal(signal.SIGHUP)
    await event(node, "config.refused")  # an error, which comes after what is only information
    assert [found for found in node.events if found["event"] == "config.changed"] == []


async def test_address_that_is_no_longer_allowed_gets_no_connection_any_more(node: NodeRig) -> None:
    before = node.config.read_text()
    rewrite(node, lambda text: text.replace(f"port: {node.ports[0]}", f"port: {node.ports[0]}, ip_allow: [192.0.2.0/24]"))
    node.process.send_signal(signal.SIGHUP)
    await event(node, "config.changed")
    with pytest.raises(aiohttp.ClientError):
        await Api(node).serves("localhost")
    rewrite(node, lambda _: before)
    node.process.send_signal(signal.SIGHUP)
    await event(node, "config.changed", 2)
    assert await Api(node).serves("localhost")


async def test_certificate_that_was_renewed_is_shown_to_who_connects_after_a_reload(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    authority = trustme.CA()

    def issue() -> None:
        issued = authority.issue_cert("127.0.0.1")
        (folder / "n.crt").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        (folder / "n.key").touch(mode=0o600)
        (folder / "n.key").write_bytes(issued.private_key_pem.bytes())

    async def shown(port: int) -> bytes:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert isinstance(found, bytes)
            return found
        finally:
            writer.close()

    issue()
    entry = f"auth: token, tls: {{cert_file: {folder}/n.crt, key_file: {folder}/n.key}}"
    async with NodeRig(folder, module="majula.runner", entry=entry) as node:
        first = await shown(node.ports[0])
        (folder / "n.key").write_bytes(b"nothing")
        node.process.send_signal(signal.SIGHUP)
        await event(node, "config.refused")
        assert await shown(node.ports[0]) == first
        issue()
        node.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            while await shown(node.ports[0]) == first:
                await asyncio.sleep(0.01)
