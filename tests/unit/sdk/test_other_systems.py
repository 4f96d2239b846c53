"""The client and the command line on systems that lack what Linux has. Their absence is made here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.edges import Served, serve_http

REPOSITORY = Path(__file__).parents[3]

pytestmark = pytest.mark.slow

# What Windows' Python does not have, of the modules that a client might reach for. The loop and libraries that are right for such
# a system are there; those of this system were loaded, with what they need, before it is taken away.
ELSEWHERE = """
import asyncio, os, signal, socket, subprocess, sys
import aiohttp, click, msgspec, msgspec.json, msgspec.msgpack, ssl, tempfile
loop = asyncio.new_event_loop()
for name in "fcntl grp pwd resource termios tty pty uvloop psutil setproctitle thespian".split():
    sys.modules[name] = None
for module, names in {
    os: "fork getuid geteuid getgid kill killpg pidfd_open register_at_fork sched_getaffinity chown getpgid setsid wait4 "
        "posix_spawn eventfd memfd_create sendfile",
    signal: "SIGKILL SIGSTOP SIGCONT SIGHUP SIGUSR1 SIGCHLD setitimer pthread_sigmask sigwait",
    socket: "AF_UNIX SO_PEERCRED SCM_RIGHTS CMSG_LEN MSG_DONTWAIT SO_REUSEPORT send_fds recv_fds",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""

USED = """
sys.platform = "darwin"
import majula
from majula.errors import InvalidRequest, MajulaError
async def main():
    async with majula.connect({address!r}) as client:
        subscription = await client.subscribe("t")
        await client.publish("t", 1, ack=True)
        assert (await subscription.receive()).payload == 1
        assert await client.call("echo", {{"a": 1}}, provider="init") == {{"echo": {{"a": 1}}}}
    try:
        await majula.connect("unix:/run/x.sock")
    except InvalidRequest as error:
        print(error)
    try:
        majula.connect()
    except MajulaError as error:
        print(error)
loop.run_until_complete(main())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAJULA_")}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as one:
        yield one


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_a_client_runs_and_says_what_is_not_there(served: Served, scheme: str) -> None:
    done = await asyncio.to_thread(run, ELSEWHERE + USED.format(address=f"{scheme}://127.0.0.1:{served.port}"))
    assert done.stderr == ""
    unix, none = done.stdout.splitlines()
    assert "no Unix sockets" in unix
    assert "MAJULA_ADDRESS" in none


@pytest.mark.parametrize("statement", ["import majula; majula.sync.connect", "import majula.api.cli.main"])
def test_it_can_be_imported(statement: str) -> None:
    done = run(ELSEWHERE + statement)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["--help"], ["call", "--help"], ["token", "--help"], ["node", "--help"]])
def test_the_command_line_explains_itself(command: list[str]) -> None:
    done = run(ELSEWHERE + f"sys.argv = ['majula', *{command!r}]\nfrom majula.api.cli.main import main\nmain()")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout


def test_a_node_says_in_one_sentence_that_it_needs_linux() -> None:
    program = "import sys\nsys.platform = 'darwin'\nimport runpy\nrunpy.run_module('majula.runner', run_name='__main__')"
    done = run(program)
    assert done.returncode == 71
    (sentence,) = done.stderr.splitlines()
    assert "needs Linux" in sentence
