"""How a child gets the listening sockets that the main process holds for it: by name, over one Unix socket, as SCM_RIGHTS.

One packet each way (SOCK_SEQPACKET): the request is a msgpack list of names, the answer `ok` with the descriptors in the order of
the names, or the reason of a refusal. The main process's side is `majula.runner.handout`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Sequence

import msgspec

NAME = "sockets.sock"
REQUEST_BYTES = 4_096
"""A request is one packet of at most so many bytes."""
MOST_SOCKETS = 64
"""One request names at most so many; the kernel passes up to 253 descriptors in one message."""


class HandoutRefused(OSError):
    """The main process does not give these sockets; the text says why."""


def peer_uid(connection: socket.socket) -> int:
    """The user on the other side of a connected Unix socket, as the kernel knows it."""
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


async def take_sockets(run_dir: str, names: Sequence[str], *, timeout_s: float = 5.0) -> dict[str, socket.socket]:
    """The listening sockets of these names, non-blocking. The main process keeps its own copies, so a restart refuses nobody.

    Args:
        run_dir: of this node.
        names: at most 64, as the child spec gives them.
        timeout_s: seconds for the whole exchange.
    Raises:
        HandoutRefused: no such socket, or the one who answers is not this user.
        OSError: nobody serves the run directory, or it did not answer in time.
    """
    if not names:
        return {}
    if len(names) > MOST_SOCKETS:
        raise HandoutRefused(f"{len(names)} sockets asked for, at most {MOST_SOCKETS} are given at once")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.setblocking(False)
        connection.connect(f"{run_dir}/{NAME}")
        if (uid := peer_uid(connection)) != os.geteuid():
            raise HandoutRefused(f"{run_dir}/{NAME} is served by user {uid}")
        connection.send(msgspec.msgpack.encode(list(names)))
        try:
            async with asyncio.timeout(timeout_s):
                await _readable(connection)
        except TimeoutError as error:
            raise TimeoutError(f"no answer from {run_dir}/{NAME} within {timeout_s:g} s") from error
        answer, descriptors, _flags, _address = socket.recv_fds(connection, REQUEST_BYTES, MOST_SOCKETS)
    taken = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    if answer != b"ok" or len(taken) != len(names):
        for found in taken:
            found.close()
        raise HandoutRefused(answer.decode("utf-8", "replace") or "the main process closed the connection")
    for found in taken:
        found.setblocking(False)
        os.set_inheritable(found.fileno(), False)
    return dict(zip(names, taken, strict=True))


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection.fileno())
