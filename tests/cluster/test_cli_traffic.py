"""`pub`, `sub`, `call` and `services` as a person types them, against a node that runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import majula

from .node_rig import PATIENCE_S
from .terminal import terminal

pytestmark = pytest.mark.slow


async def test_what_is_published_is_printed_by_a_subscriber(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell, majula.connect(shell.address) as client:
        await client.publish("rooms.attic", {"celsius": 21.5}, retain=True, ack=True)
        subscriber = await shell.start("sub", "rooms.*", "--retained", "--count", "3")
        assert subscriber.stdout is not None
        # The retained value says that the subscription is in force.
        assert await subscriber.stdout.readline() == b'rooms.attic  {"celsius": 21.5}\n'
        assert await shell.run("pub", "rooms.cellar", "cold") == (0, "", "")
        assert (await shell.run("pub", "rooms.hall", "--lines", given="[1]\n"))[0] == 0
        out, _ = await subscriber.communicate()
        assert out == b"rooms.cellar  cold\nrooms.hall  [1]\n"
        assert subscriber.returncode == 0


async def test_subscriber_that_gets_too_little_in_time_says_so(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        code, out, error = await shell.run("sub", "nothing", "--count", "1", "--for", "0.2s")
        assert (code, out) == (7, "")
        assert "1 of 1 messages did not come within 0.2 s [deadline_exceeded]" in error


async def test_call_prints_the_answer_alone(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        assert await shell.run("call", "add", "a=2", "b=3", "--provider", "init") == (0, '{"sum": 5}\n', "")


async def test_call_in_json_tells_how_long_it_took(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        _, out, _ = await shell.run("call", "reverse", "s=abc", "--provider", "init", "--json")
        answer = json.loads(out)
        assert answer["result"] == {"reversed": "cba"}
        assert answer["took_ms"] > 0


async def test_call_of_what_nobody_offers_fails_with_its_code(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        code, out, error = await shell.run("call", "nosuch")
        assert (code, out) == (5, "")
        assert error.splitlines()[0].endswith("[no_provider]")


async def test_error_of_a_handler_reaches_the_terminal_harmless(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell, majula.connect(shell.address) as client:

        async def fail() -> None:
            raise ValueError("red \x1b[31m")

        await client.register("fail", fail)
        code, _, error = await shell.run("call", "fail")
        assert code == 8
        assert "red \\x1b[31m" in error


async def test_services_lists_functions_with_their_providers(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        _, out, _ = await shell.run("services", "--json")
        assert {"add", "echo"} <= {one["name"] for one in json.loads(out)["services"]}


async def test_command_line_that_makes_no_sense_is_told_so(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell:
        code, _, error = await shell.run("pub", "a.b")
        assert code == 2
        assert "give a MESSAGE, or --lines [invalid_request]" in error
        code, _, error = await shell.run("pub", "rooms.hall", "-", "--lines", given="1\n")
        assert (code, "give a MESSAGE or --lines, not both" in error) == (2, True)


async def test_pipe_that_closes_ends_the_subscriber_quietly(tmp_path: Path) -> None:
    async with terminal(tmp_path) as shell, majula.connect(shell.address) as client:
        await client.publish("a", 1, retain=True, ack=True)
        subscriber = await shell.start("sub", "a", "--retained")
        assert subscriber.stdout is not None
        assert subscriber.stderr is not None
        await subscriber.stdout.readline()
        subscriber._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # what `| head -1` does
        async with asyncio.timeout(PATIENCE_S):
            while subscriber.returncode is None:
                await client.publish("a", 2, ack=True)
                await asyncio.wait({asyncio.ensure_future(subscriber.wait())}, timeout=0.05)
        assert (subscriber.returncode, await subscriber.stderr.read()) == (0, b"")
