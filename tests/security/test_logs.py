"""A18, A62, A63: what is written for people to read holds no escape, no secret, and no more of it than can be read."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from majula.wire.frames import encode_frame
from majula.wire.headers import Hello, Publish
from tests.cluster.node_clients import GUARD_S, Clients, running_node
from tests.cluster.node_rig import REPOSITORY, descendants, free_ports

pytestmark = pytest.mark.slow

STORM = """
import logging, os, sys, time
from majula.runner.lifelog import LifeLog, LogBridge
LogBridge.install(LifeLog(node="n1", format="json", level="debug"), "n1", "debug")
log = logging.getLogger("majula.storm")
began_at = time.monotonic()
for number in range(10_000):
    try:
        raise ValueError("x" * 100_000 + str(number))
    except ValueError:
        log.exception("request %d failed", number)
time.sleep(1.1)  # whoever has no loop owes its summary until the next line
log.error("the end")
print(time.monotonic() - began_at)
"""


async def test_a63_ten_thousand_huge_exceptions_cost_a_hundred_lines_a_second() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STORM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    async with asyncio.timeout(GUARD_S):
        out, err = await process.communicate()
    lines = [json.loads(line) for line in err.splitlines()]
    assert process.returncode == 0
    assert 40 <= len(lines) <= 100 * (float(out) + 1.0)
    assert max(map(len, err.splitlines())) <= 4_096
    counted = sum(line["lines"] for line in lines if line["event"] == "log.suppressed")
    written = sum(line["event"] == "log.error" for line in lines)
    assert written + counted == 10_001


STALLED = """
import logging, os, sys
from majula.runner.lifelog import LifeLog, LogBridge
LogBridge.install(LifeLog(node="n1", format="json"), "n1", "info")
for child in range(4):
    if os.fork() == 0:
        break
for number in range(50_000):
    logging.getLogger("majula.storm").error("%d %s", number, "x" * 1_000)
print("done", flush=True)
"""


async def test_a63_standard_error_that_nobody_reads_stops_no_process() -> None:
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STALLED, stdout=asyncio.subprocess.PIPE, stderr=writing, cwd=REPOSITORY
        )
        os.close(writing)
        async with asyncio.timeout(GUARD_S):
            out, _ = await process.communicate()
    finally:
        os.close(reading)
    assert out.count(b"done") == 5


EVIL = "a\x1b[2J\x1b]0;owned\x07\r\nevil: line\u202e\x9b31m"


async def test_a18_escapes_in_what_clients_send_reach_no_line_of_the_log(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", gateways=1) as clients:
        operator = await clients.connect()
        for attack in (encode_frame(Hello(1, EVIL)), encode_frame(Publish(EVIL), b"\x01")):
            _, writer = await asyncio.open_unix_connection(clients.address(0).removeprefix("unix:"))
            writer.write(attack)
            await writer.drain()
            writer.close()
        async with aiohttp.ClientSession() as session:
            for path in ("/majula/v1/debug/roles/%1b%5b2J%0d%0aevil/stacks", "/majula/nothing%0d%0a%1b%5b2J"):
                async with session.get(f"http://127.0.0.1:{clients.node.ports[0]}{path}") as answer:
                    assert "\x1b" not in await answer.text()
        await operator.flight()
        await clients.node.until_said("flight.dumped")
        assert not clients.node.errors  # each line was one JSON object
        assert "\x1b" not in "".join(map(str, (line.values() for line in clients.node.events)))
        listed = await operator.events()
        assert "evil" not in "".join(map(repr, listed))


CANARY = "canary-2f9c1b7d6a"


async def harvest(clients: Clients, pages: list[str]) -> str:
    """Everything that a node shows: log, status, process list, recordings."""
    node = clients.node
    shown = [*pages, *node.out, *node.errors, *map(json.dumps, node.events), json.dumps(await node.status())]
    pids = {node.process.pid, *descendants(node.process.pid)}
    shown += [Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace") for pid in pids]
    shown += [path.read_text() for path in (node.data_dir / "flight").glob("*.json")]
    return "\n".join(shown)


async def test_a62_payloads_and_headers_of_clients_show_up_nowhere(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as clients:
        operator, near, far = [await clients.connect(gateway) for gateway in (0, 0, 1)]

        async def fails(text: str) -> None:
            raise ValueError(f"bad {text}")

        await far.subscribe("orders", sync=True)
        await far.register("fails", fails, sync=True)
        await near.publish("orders", {"secret": CANARY}, headers={"x-secret": CANARY}, retain=True, ack=True)
        with pytest.raises(Exception, match="bad"):
            await near.call("fails", CANARY)
        port = clients.node.ports[0]
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {CANARY}"}
            for path in (f"/majula/pub?topic=orders&msg={CANARY}", f"/majula/v1/nothing?token={CANARY}", "/majula/v1/status"):
                async with session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
                    await answer.read()
            async with session.post(f"http://127.0.0.1:{port}/majula/v1/topics/orders/messages", data=CANARY + "{") as answer:
                await answer.read()
        pages = [
            await operator.metrics(),
            repr(await operator.status()),
            repr(await operator.events()),
            repr(await operator.info()),
        ]
        gateway = f"gateway:{port}"
        pages += [repr(await operator.debug_tasks(gateway)), repr(await operator.debug_stacks(gateway))]
        await operator.flight()
        os.kill(await clients.node.pid("router"), 9)
        await clients.node.until_said("child.died", "router")
        assert CANARY not in await harvest(clients, pages)


async def test_a62_tokens_and_secrets_of_the_configuration_show_up_nowhere(tmp_path: Path) -> None:
    shared, wrong = f"{CANARY}-shared-0123456789abcdefghijklmnop", f"mjl_{CANARY}-wrong".ljust(47, "x")
    (guarded,) = free_ports(1)
    extra = f"  - {{port: {guarded}, auth: token, native: {{unix: off}}}}\ntoken: env:CANARY_SHARED\n"
    async with running_node(tmp_path / "node", gateways=1, extra=extra, environment={"CANARY_SHARED": shared}) as clients:
        operator = await clients.connect()
        made = await operator.create_token(["observe:*", "subscribe:*"], note="for the test")
        pages, secret = [], made.secret
        async with aiohttp.ClientSession() as session:
            for token, path in (
                (secret, "status"),
                (wrong, "status"),
                (secret, "config"),
                (secret, "tokens"),
                (secret, "events"),
            ):
                headers = {"Authorization": f"Bearer {token}"}
                async with session.get(f"http://127.0.0.1:{guarded}/majula/v1/{path}", headers=headers) as answer:
                    pages.append(await answer.text())
        assert "supervisor:root" in pages[0]  # the token was taken
        pages += [
            repr(await operator.metrics()),
            repr(await operator.tokens()),
            repr(await operator.config()),
            repr(await operator.info()),
        ]
        pages += [repr(await operator.audit()), repr(await operator.events()), repr(await operator.debug_stacks("config"))]
        await operator.flight()
        os.kill(await clients.node.pid("config"), 9)
        await clients.node.until_said("child.died", "config")
        shown = await harvest(clients, pages)
        assert [hidden for hidden in (secret, shared, wrong, CANARY) if hidden in shown] == []
