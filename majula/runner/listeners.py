"""The listening sockets of a node. Bound once; while a child that serves one restarts, the kernel queues who connects."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Mapping

from msgspec import Struct

from majula.messages.base import Role
from majula.runner.exits import CANNOT_BIND, NodeExit

# 1,024: connections that wait for their gateway while it restarts (two seconds); beyond it the kernel lets them try again.
BACKLOG = 1_024


class Listener(Struct, frozen=True):
    """One socket to bind.

    Args:
        name: by which the child asks for it, unique in the node.
        role: of the child that serves it.
        host, port: of a TCP socket; an empty host makes it a Unix socket at `path`.
        path: of a Unix socket; a stale file there is replaced.
        has_tls: whether TLS is spoken on it, for who is told the address.
    """

    name: str
    role: Role
    host: str = ""
    port: int = 0
    path: str = ""
    has_tls: bool = False

    @property
    def shown(self) -> str:
        """The address as people read it."""
        if not self.host:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Listeners:
    """Binds all of `wanted`, or none.

    Raises:
        NodeExit: one cannot be bound (CANNOT_BIND); role, address and reason are named.
    """

    def __init__(self, wanted: Iterable[Listener]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._paths: dict[str, tuple[int, int]] = {}
        try:
            for listener in wanted:
                self._sockets[listener.name] = self._bind(listener)
        except NodeExit:
            self.close()
            raise

    def by_name(self) -> Mapping[str, socket.socket]:
        """The sockets, all listening."""
        return self._sockets

    def close(self) -> None:
        """Closes all and removes the files of the Unix sockets, but for a file that is not ours any more."""
        for bound in self._sockets.values():
            bound.close()
        self._sockets.clear()
        for path, identity in self._paths.items():
            try:
                found = os.lstat(path)
                if (found.st_dev, found.st_ino) == identity:
                    os.unlink(path)
            except FileNotFoundError:
                continue
        self._paths.clear()

    def _bind(self, listener: Listener) -> socket.socket:
        try:
            if listener.host:
                return _bind_tcp(listener.host, listener.port)
            bound = _bind_unix(listener.path)
            found = os.lstat(listener.path)
            self._paths[listener.path] = (found.st_dev, found.st_ino)
            return bound
        except OSError as error:
            reason = "address in use by another program" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise NodeExit(CANNOT_BIND, f"{listener.role} cannot listen on {listener.shown}: {reason}") from error


def _bind_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Else connections of a former life that linger in TIME_WAIT would keep a new one from starting.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(path: str) -> socket.socket:
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # By umask, not by chmod afterwards: there is no moment in which another user could connect.
    former = os.umask(0o177)
    try:
        bound.bind(path)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(former)
    return bound


def _remove_stale(path: str) -> None:
    """Removes a socket file that nobody listens on. Anything else stays, and then bind says that the address is in use."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:
            return  # a full backlog: somebody lives there
