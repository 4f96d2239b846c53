"""A59, A60: what other programs of the machine can do to a node by its files and sockets."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majula.actorsystem import frames
from tests.cluster.node_clients import GUARD_S
from tests.cluster.node_rig import NodeRig

pytestmark = pytest.mark.slow
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
NOBODY = 65_534


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner") as rig:
        yield rig


class Evil:
    """Whoever unpickles it makes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self._mark),)


def sockets_of(node: NodeRig) -> list[Path]:
    return sorted(path for path in Path(node.run_dir).rglob("*") if stat.S_ISSOCK(path.lstat().st_mode))


def attacks(mark: Path) -> list[bytes]:
    """A pickle as it is, behind the lengths that Thespian's own transports write, and as frames of actors."""
    found = []
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        armed = pickle.dumps(Evil(mark), protocol)
        hello = frames.encode(frames.HELLO, 0, 0, b"a999")
        found += [armed, b"%08d" % len(armed) + armed, len(armed).to_bytes(4, "big") + armed]
        found += [hello + frames.encode(kind, 0, 0, armed) for kind in (frames.PLAIN, frames.MESSAGE, frames.RETURNED, 9)]
        found += [frames.encode(frames.PLAIN, 0, 0, armed), hello + frames.encode(frames.PLAIN, 7, 7, armed)]
    return found


async def until_it_closes(path: str | tuple[str, int], attack: bytes) -> None:
    """Send it and see what becomes of the connection; one that stays open is not waited for."""
    opened = asyncio.open_unix_connection(path) if isinstance(path, str) else asyncio.open_connection(*path)
    reader, writer = await opened
    try:
        writer.write(attack)
        writer.write_eof()
        async with asyncio.timeout(0.3):
            await reader.read()
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()


async def test_a59_pickle_to_any_socket_of_a_node_runs_nothing_and_ends_nobody(node: NodeRig, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    before = {role: found["pid"] for role, found in (await node.roles()).items()}
    places: list[str | tuple[str, int]] = [("127.0.0.1", node.ports[0])]
    for path in sockets_of(node):
        if path.name == "sockets.sock":  # of packets: one each
            for attack in attacks(mark):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets:
                    packets.connect(str(path))
                    packets.send(attack[:4_096])
        else:
            places.append(str(path))
    assert len(places) >= 8
    async with asyncio.timeout(4 * GUARD_S):
        for place in places:
            await asyncio.gather(*(until_it_closes(place, attack) for attack in attacks(mark)))
    assert not mark.exists()
    assert {role: found["pid"] for role, found in (await node.roles()).items()} == before
    assert await node.wait_ready()


def test_a59_the_attack_itself_works(tmp_path: Path) -> None:
    for number in range(pickle.HIGHEST_PROTOCOL + 1):
        pickle.loads(pickle.dumps(Evil(tmp_path / f"owned-{number}"), number))
        assert (tmp_path / f"owned-{number}").is_dir()


async def test_a59_nothing_of_a_node_is_open_to_other_users(node: NodeRig) -> None:
    run_dir, data_dir = Path(node.run_dir), Path(node.data_dir)
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
    for path in sockets_of(node):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    for path in [path for path in (*run_dir.rglob("*"), *data_dir.rglob("*")) if path.is_file()]:
        is_secret = any(word in str(path) for word in ("token", "audit", "config", "flight"))
        assert not is_secret or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


STRANGER = """
import json, os, socket, sys
answers = {}
assert os.geteuid() == 65534
for path in json.loads(sys.argv[1]):
    kind = socket.SOCK_SEQPACKET if path.endswith("sockets.sock") else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.settimeout(0.5)
        try:
            one.connect(path)
            one.send(bytes.fromhex(sys.argv[2]) if "control" not in path else b'{"command":"stop"}\\n')
            answers[path] = one.recv(4096).hex() or "closed"
        except PermissionError:
            answers[path] = "EACCES"
        except (OSError, TimeoutError) as error:
            answers[path] = type(error).__name__
print(json.dumps(answers))
"""


async def as_nobody(*options: str, node: NodeRig, attack: bytes) -> dict[str, str]:
    """What another user of the machine is answered at each socket."""
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("needs setpriv")
    paths = json.dumps([str(path) for path in sockets_of(node)])
    command = [tool, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *options, sys.executable, "-S", "-c", STRANGER]
    process = await asyncio.create_subprocess_exec(
        *command, paths, attack.hex(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd="/"
    )
    async with asyncio.timeout(GUARD_S):
        out, err = await process.communicate()
    if process.returncode and b"set" in err and options:
        pytest.skip(f"this machine gives nobody such rights: {err.decode()[-200:]}")
    assert process.returncode == 0, err.decode()
    found: dict[str, str] = json.loads(out)
    return found


@NEEDS_ROOT
async def test_a59_another_user_cannot_reach_any_socket(node: NodeRig) -> None:
    found = await as_nobody(node=node, attack=b"x")
    assert set(found.values()) == {"EACCES"}


@NEEDS_ROOT
async def test_a59_another_user_who_may_open_every_file_is_still_known_for_who_he_is(node: NodeRig, tmp_path: Path) -> None:
    """The modes of files are one wall, the kernel's word about the peer is the second."""
    mark = tmp_path / "owned"
    attack = frames.encode(frames.HELLO, 0, 0, b"a999") + frames.encode(frames.PLAIN, 0, 0, pickle.dumps(Evil(mark)))
    rights = "+dac_override,+dac_read_search"
    found = await as_nobody(f"--inh-caps={rights}", f"--ambient-caps={rights}", node=node, attack=attack)
    pids = [found["pid"] for found in (await node.roles()).values()]
    ends = {"closed", "ConnectionResetError", "BrokenPipeError"}
    for path, answer in found.items():
        name = Path(path).name
        if name.startswith("native-"):  # a client of another user, who shows no token: told why, and closed
            assert answer in ends or b"HELLO" in bytes.fromhex(answer)
        elif name.startswith("x"):  # the main process's end of its actor system: nobody accepts there while it asks nothing
            assert answer in ends | {"TimeoutError"}
        else:
            assert answer in ends, (path, answer)
    assert not mark.exists() and len(found) >= 8
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert await node.wait_ready()


async def test_a60_second_runner_is_refused_by_the_lock_and_names_who_has_it(node: NodeRig, tmp_path: Path) -> None:
    pids = {role: found["pid"] for role, found in (await node.roles()).items()}
    for number, shared in enumerate((node.data_dir, node.run_dir)):
        second = NodeRig(tmp_path / f"second-{number}", module="majula.runner")
        own = second.data_dir if shared == node.data_dir else second.run_dir
        second.config.write_text(second.config.read_text().replace(str(own), str(shared)))
        await second.start()
        try:
            assert await second.ended() == 75
            assert f"pid {node.process.pid}" in second.errors[-1]
        finally:
            await second.stop()
    assert {role: found["pid"] for role, found in (await node.roles()).items()} == pids


async def test_a60_lock_file_with_the_pid_of_somebody_else_is_no_lock(tmp_path: Path) -> None:
    """The lock is the kernel's, not what stands in the file; nobody is taken for the node because of a number."""
    first = NodeRig(tmp_path / "node", module="majula.runner")
    data_dir = Path(first.data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    async with first as node:
        written = [
            path for path in data_dir.rglob("*") if path.is_file() and path.read_bytes().strip() == str(node.process.pid).encode()
        ]
    for path in written:
        path.write_text(f"{os.getpid()}\n")
    again = NodeRig(tmp_path / "node", module="majula.runner")
    async with again as node:
        assert await node.wait_ready()
