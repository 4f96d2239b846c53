"""The children that one actor has created: processes and hosted actors, and why each of them ended."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

from majula.actorsystem.address import NameSource
from majula.actorsystem.connection import listen
from majula.actorsystem.process import ChildProcess, fork_child
from majula.actorsystem.rundir import remove_sockets_of, socket_path
from majula.messages.actorsystem import EndHosted, HostActor, HostedEnded
from majula.messages.base import Address, Role
from majula.messages.supervision import Start, Started

if TYPE_CHECKING:
    from majula.actorsystem.actor import MajulaActor
    from majula.actorsystem.mailbox import ActorMailbox

_HOST_ANSWERS_S: Final = 1.0
"""A host that has not dropped an actor after this long hangs itself."""


class Children:
    """Kept by an actor from its first `create_child` on."""

    def __init__(self, actor: MajulaActor, mailbox: ActorMailbox) -> None:
        self._actor = actor
        self._mailbox = mailbox
        self._endpoint = mailbox.endpoint
        self._names = NameSource(self._endpoint.name if not mailbox.local_id else f"{self._endpoint.name}.h{mailbox.local_id}")
        self._processes: dict[Address, ChildProcess] = {}
        self._hosts: dict[str, Address] = {}  # by the name in `host:NAME`
        self._hosted: dict[Address, Address] = {}  # the host of each hosted child
        self._hosted_count = 0
        mailbox.immediate[Started] = self._started
        mailbox.immediate[HostedEnded] = self._hosted_ended

    def create(
        self, cls: type[MajulaActor], *, role: Role, node_id: str, incarnation: int, config: bytes, isolation: str
    ) -> Address:
        start = Start(role=role, node_id=node_id, incarnation=incarnation, config=config)
        kind, _, host_name = isolation.partition(":")
        if kind == "process" and not host_name:
            address = self._fork(cls)
        elif kind == "host" and host_name:
            address = self._make_room(cls, host_name, node_id)
        else:
            raise ValueError(f"isolation {isolation!r} is neither `process` nor `host:NAME`")
        self._endpoint.send_message(address, self._mailbox.local_id, start)
        return address

    def _fork(self, cls: type[MajulaActor]) -> Address:
        from majula.actorsystem.actorprocess import run_actor  # noqa: PLC0415 - it imports this module

        name = self._names.next()
        listener = listen(self._endpoint.run_dir, name)
        try:
            child = fork_child(partial(run_actor, cls, self._endpoint.run_dir, name, listener), keep=(listener.fileno(),))
        except OSError:
            os.unlink(socket_path(self._endpoint.run_dir, name))
            raise
        finally:
            listener.close()
        self._processes[name] = child
        self._endpoint.loop.add_reader(child.fileno(), self._process_ended, name)
        return name

    def _make_room(self, cls: type[MajulaActor], host_name: str, node_id: str) -> Address:
        from majula.actorsystem.host import Host  # noqa: PLC0415 - it imports this module

        host = self._hosts.get(host_name)
        if host is None:
            host = self._fork(Host)
            self._hosts[host_name] = host
            self._endpoint.send_message(
                host, self._mailbox.local_id, Start(role=f"host:{host_name}", node_id=node_id, incarnation=1, config=b"\x80")
            )
        self._hosted_count += 1
        address = f"{host}#{self._hosted_count}"
        self._hosted[address] = host
        self._endpoint.send_message(
            host,
            self._mailbox.local_id,
            HostActor(local_id=self._hosted_count, actor=f"{cls.__module__}.{cls.__qualname__}"),
        )
        return address

    def _started(self, started: Started, sender: Address) -> None:
        if (sender in self._processes and sender not in self._hosts.values()) or sender in self._hosted:
            self._actor.on_child_started(sender)
        else:
            return  # a host, of which our actor knows only the name
        self._actor.on_message(started, sender)

    def _hosted_ended(self, ended: HostedEnded, sender: Address) -> None:
        address = f"{sender}#{ended.local_id}"
        if self._hosted.pop(address, None) is not None:
            self._actor.on_child_exited(address, ended.reason)

    def _process_ended(self, address: Address) -> None:
        child = self._processes[address]
        self._endpoint.loop.remove_reader(child.fileno())
        self._endpoint.drain_incoming(address)
        reason = child.reap()
        del self._processes[address]
        remove_sockets_of(self._endpoint.run_dir, address)
        host_name = next((name for name, host in self._hosts.items() if host == address), None)
        try:
            if host_name is None:
                self._actor.on_child_exited(address, reason)
                return
            del self._hosts[host_name]
            orphans = [hosted for hosted, host in self._hosted.items() if host == address]
            for hosted in orphans:
                del self._hosted[hosted]
            for hosted in orphans:
                self._actor.on_child_exited(hosted, f"its host {host_name} ended: {reason}")
        except BaseException as error:
            self._mailbox.crash(error)

    def kill(self, address: Address, number: int) -> None:
        child = self._processes.get(address)
        if child is not None:
            child.send_signal(number)
            return
        host = self._hosted.get(address)
        if host is not None:
            local_id = int(address.partition("#")[2])
            self._endpoint.send_message(host, self._mailbox.local_id, EndHosted(local_id=local_id))
            self._endpoint.loop.call_later(_HOST_ANSWERS_S, self._kill_silent_host, address, host, number)

    def _kill_silent_host(self, address: Address, host: Address, number: int) -> None:
        if address in self._hosted and host in self._processes:
            self._processes[host].send_signal(number)

    def abandon(self) -> None:
        """Their creator has ended, but not the process that it lived in: end what the kernel would have ended."""
        for address, child in self._processes.items():
            self._endpoint.loop.remove_reader(child.fileno())
            child.send_signal(signal.SIGKILL)
            child.reap()
            remove_sockets_of(self._endpoint.run_dir, address)
        self._processes.clear()
        self._hosts.clear()
        self._hosted.clear()

    def pid(self, address: Address) -> int:
        child = self._processes.get(self._hosted.get(address, address))
        return child.pid if child is not None else 0
