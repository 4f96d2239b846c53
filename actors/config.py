"""The config actor: owner of the node's tokens, of the audit, and of its configuration.

It is on nobody's path: gateways act by the table `tokens` and go on with their copy while it is away. When it is back it reads
its files and publishes again. What it answers is on disk first: changes wait for a thread that writes all that has come meanwhile
as one. The rules are in `majula.auth` and `majula.tables`.

The configuration changes by its file (looked at once a second, or at SIGHUP) and by operations; `majula.config.live` makes one
transaction of each. Then every role whose settings are others is told, and so is its supervisor, for the next start of it. A role
that comes up while the newest settings are not those of the node's start is told at once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import NamedTuple

import msgspec

from majula.actorsystem.actor import MajulaActor
from majula.auth.book import TOKENS, encode_entry
from majula.auth.desk import WRITES, as_answer, as_change, as_note, happening, is_own_end
from majula.auth.ledger import Applied, Change, Noted
from majula.auth.operations import AUDIT, LIST, SHOW
from majula.auth.store import Vault
from majula.config.actor import ConfigActorSettings
from majula.config.desk import SERVED, noted, perform_config, told
from majula.config.live import RUNNER, LiveConfiguration
from majula.config.opening import open_live
from majula.config.operations import RELOAD, ReloadRequest
from majula.errors import MajulaError, Overloaded
from majula.messages.auth import Audit, Spend, Used
from majula.messages.base import Address, Message, Role
from majula.messages.config import Attach, Obeyed, Reload, Settings
from majula.messages.operations import Caller, Perform, Serving, perform, refused
from majula.tables import Effect, InForce, TableExchange, Unconfirmed

_log = logging.getLogger(__name__)

GATEWAYS = "gateway:"
SUPERVISORS = "supervisor:"

# Changes that wait for the disk. A write takes milliseconds and takes all of them, so a queue of this length is an attack or a
# disk that hangs.
WAITING = 1_024

# A gateway that does not confirm is hung and ended by its supervisor within 4 s.
SETTLE_S = 2.0

# How often the configuration's file is looked at: its user is not back at the shell earlier.
LOOK_S = 1.0

# Questions about the configuration that wait for the one before them.
QUESTIONS = 64

# How often tokens whose time is over leave the table. Gateways look at the time themselves.
SWEEP_S = 30.0


class _Asked(NamedTuple):
    message: Message
    sender: Address


class ConfigActor(MajulaActor):
    """Role `config`."""

    config_type = ConfigActorSettings

    async def on_start(self, config: ConfigActorSettings) -> None:
        now = self.loop.time()
        self._tables = TableExchange(role=self.role, incarnation=self.incarnation, random32=secrets.randbits(32), now=now)
        self._table = self._tables.publish(TOKENS, to=GATEWAYS)
        self._vault = await asyncio.to_thread(Vault, Path(config.data_dir), secrets.token_bytes)
        self._serving: Serving = {
            LIST.name: lambda request, _: self._vault.ledger.lines(request, time.time()),
            SHOW.name: lambda request, _: self._vault.ledger.get(request.token).line(time.time()),
        }
        self._reading: Serving = {AUDIT.name: lambda request, _: self._vault.audited(request)}
        self._waiting: deque[_Asked] = deque()
        self._is_asked, self._writing = asyncio.Event(), asyncio.Lock()
        self._settling: dict[int, list[tuple[Address, Message]]] = {}
        self._batches = self._refused = self._audit_lost = 0
        self._sweep_at = now + SWEEP_S
        self._publish(_entries(self._vault, time.time()))
        self.spawn(self._keep_writing(), name="vault")
        self._runner: Address = ""
        self._changing, self._questions = asyncio.Lock(), 0
        self._awaited: set[Role] = set()
        self._are_obeyed = asyncio.Event()
        self._live = await asyncio.to_thread(self._open, config)
        self.spawn(self._watch_file(), name="config file")
        self._arm()

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        self._step(self._tables.role_changed(role, address, incarnation, self.loop.time()))
        self._obeyed(role)  # one that is gone, or another one: it is told anew
        if address is not None:
            changed = self._live.changed()
            for name in changed if role.startswith(SUPERVISORS) else changed.keys() & {role}:
                self.send(address, Settings(name, changed[name], self._live.revision))

    def on_message(self, message: Message, sender: Address) -> None:
        effects = self._tables.receive(message, sender, self.loop.time())
        if effects is not None:
            self._step(effects)
        elif isinstance(message, Perform) and message.operation in self._serving:
            self.send(sender, perform(message, self._serving))
        elif isinstance(message, Spend | Used | Audit) or (
            isinstance(message, Perform) and (message.operation in WRITES or message.operation in self._reading)
        ):
            self._ask(message, sender)
        elif isinstance(message, Perform) and message.operation in SERVED:
            self._question(message, sender)
        elif isinstance(message, Perform):
            self.send(sender, perform(message, {}))
        elif isinstance(message, Obeyed):
            if message.revision == self._live.revision:
                self._obeyed(message.role)
        elif isinstance(message, Attach):
            self._runner = sender
            self._tell(self._live.changed())
        elif isinstance(message, Reload):
            self._question(Perform(0, RELOAD.name, msgspec.msgpack.encode(ReloadRequest()), Caller(message.source, "")), "")

    def on_writable(self, target: Address) -> None:
        self._step(self._tables.writable(target, self.loop.time()))

    def on_deadline(self, deadline: float) -> None:
        now = max(deadline, self.loop.time())
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            self._is_asked.set()
        self._step(self._tables.timer(now))

    async def on_stop(self) -> None:
        async with self._writing:
            await asyncio.to_thread(self._vault.close, time.time())

    def statistics(self) -> dict[str, int | float | str]:
        return {
            **self._tables.statistics(),
            "tokens": len(self._vault.ledger),
            "changes_waiting": len(self._waiting),
            "changes_refused": self._refused,
            "audit_lost": self._audit_lost,
            "config_revision": self._live.revision,
            "config_refused": len(self._live.condition().refused),
        }

    # --- the vault

    def _ask(self, message: Message, sender: Address) -> None:
        """Have the disk asked, after all that was asked before."""
        if len(self._waiting) < WAITING:
            self._waiting.append(_Asked(message, sender))
            self._is_asked.set()
            return
        self._answer(_Asked(message, sender), Overloaded("too many changes wait for the disk", retry_after_s=1.0))

    async def _keep_writing(self) -> None:
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            batch = list(self._waiting)
            self._waiting.clear()
            async with self._writing:
                await self._write(batch)

    async def _write(self, batch: list[_Asked]) -> None:
        """Changes first, as one; then what others want to have written down, then who reads the audit. No batch: only time has
        passed."""
        changes: list[tuple[_Asked, Change]] = []
        for asked in batch:
            try:
                change = as_change(asked.message)
            except MajulaError as error:
                self._answer(asked, error)
                continue
            if change is not None:
                changes.append((asked, change))
        wall = time.time()
        if changes or not batch:
            results = await asyncio.to_thread(self._vault.commit, [change for _, change in changes], wall)
            entries = await asyncio.to_thread(_entries, self._vault, wall)
            self._settle_all([(asked, result) for (asked, _), result in zip(changes, results, strict=True)], entries)
        await self._note([as_note(asked.message) for asked in batch if isinstance(asked.message, Audit)], wall)
        for asked in batch:
            if isinstance(asked.message, Perform) and asked.message.operation in self._reading:
                self.send(asked.sender, await asyncio.to_thread(perform, asked.message, self._reading))

    async def _note(self, notes: list[Noted], wall: float) -> None:
        """What could not be written is counted, and the count is written down as soon as there is room again."""
        if not notes:
            return
        lost = [Noted("", "audit.lost", {"entries": self._audit_lost})] if self._audit_lost else []
        try:
            await asyncio.to_thread(self._vault.note, [*lost, *notes], wall)
            self._audit_lost = 0
        except MajulaError:
            self._audit_lost += len(notes)

    def _settle_all(self, results: Iterable[tuple[_Asked, Applied | MajulaError]], entries: dict[str, bytes]) -> None:
        """Answer what did not change the table at once, the rest when it is in force at every gateway: a token that was just made
        can be used, one that was just revoked cannot. Who revokes his own token is answered before his session closes."""
        in_force: list[tuple[Address, Message]] = []
        for asked, result in results:
            event = happening(result)
            if event is not None:
                self.event(event[0], **event[1])
            answer = as_answer(asked.message, result)
            if event is None or answer is None or is_own_end(asked.message):
                self._answer(asked, result)
            else:
                in_force.append((asked.sender, answer))
        self._publish(entries)
        if in_force:
            self._batches += 1
            self._settling[self._batches] = in_force
            self._step(self._tables.confirm(TOKENS, self._batches, self.loop.time(), timeout_s=SETTLE_S))

    def _answer(self, asked: _Asked, result: Applied | MajulaError) -> None:
        if isinstance(result, MajulaError):
            self._refused += 1
            self._audit_lost += isinstance(asked.message, Audit)
        answer = as_answer(asked.message, result)
        if answer is not None:
            self.send(asked.sender, answer)

    # --- the configuration

    def _open(self, settings: ConfigActorSettings) -> LiveConfiguration:
        live = open_live(settings, self.node_id, _certificate)
        error = live.begin(is_first=self.incarnation == 1, at=time.time())
        if error is not None:
            _log.warning("config.not_kept", extra={"reason": error.message})
        return live

    def _question(self, message: Perform, sender: Address) -> None:
        if self._questions < QUESTIONS:
            self._questions += 1
            self.spawn(self._configure(message, sender), name=message.operation)
        elif sender:
            self.send(sender, refused(message, Overloaded("too many changes of the configuration wait", retry_after_s=1.0)))

    async def _configure(self, message: Perform, sender: Address) -> None:
        """One question at a time. Who asked is answered when the roles obey and the audit is written."""
        who = message.caller.who
        async with self._changing:
            done = await asyncio.to_thread(perform_config, self._live, message, time.time())
            if done.refused:
                self.event("config.refused", reason="; ".join(done.refused), source=who if not sender else "api")
                self._tell({})
            if done.outcome is not None and not done.is_dry:
                await self._until_obeyed(self._tell(done.outcome.told))
                if done.outcome.is_new:
                    self.event("config.changed", **told(done.outcome, who))
                    async with self._writing:
                        await self._note([Noted(who, done.what, noted(done.outcome))], time.time())
        self._questions -= 1
        if sender:
            self.send(sender, done.reply)

    async def _watch_file(self) -> None:
        """A file has no event that every file system tells, so it is looked at: one stat() a second."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._changing.locked() and self._live.has_file_changed():
                self.on_message(Reload("file"), "")

    async def _until_obeyed(self, roles: set[Role]) -> None:
        """A role that hangs is killed by its supervisor, and the next one is started with the newest: it is not waited for."""
        self._awaited = roles
        self._are_obeyed.clear()
        if roles:
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await self._are_obeyed.wait()
        self._awaited = set()

    def _obeyed(self, role: Role) -> None:
        self._awaited.discard(role)
        if not self._awaited:
            self._are_obeyed.set()

    def _tell(self, settings: Mapping[Role, bytes]) -> set[Role]:
        """Supervisors first: a role that dies of its new settings must not come back with the old ones as if nothing was. The
        runner is told of all: a tree that it starts anew begins with them."""
        condition = self._live.condition()
        told = set()
        for role, encoded in settings.items():
            message = Settings(role, encoded, condition.revision)
            for supervisor in [name for name in self.roles() if name.startswith(SUPERVISORS)]:
                self.send_role(supervisor, message)
            if role != RUNNER and self.send_role(role, message):
                told.add(role)
            self._tell_runner(message)
        self._tell_runner(condition)
        return told

    def _tell_runner(self, message: Message) -> None:
        if self._runner:
            self.send(self._runner, message)

    # --- the table

    def _publish(self, entries: dict[str, bytes]) -> None:
        now = self.loop.time()
        for digest in [digest for digest, _ in self._table.items() if digest not in entries]:
            self._table.remove(digest, now)
        for digest, entry in entries.items():
            self._table.put(digest, entry, now)
        self._arm()

    def _step(self, effects: list[Effect]) -> None:
        for news in self._tables.carry_out(effects, self.send, self.loop.time()):
            if isinstance(news, InForce | Unconfirmed):
                # Unconfirmed: a gateway hangs. The change is on disk, and the gateway that comes after it learns it at its start.
                for target, answer in self._settling.pop(news.token):
                    self.send(target, answer)
        self._arm()

    def _arm(self) -> None:
        deadline = min(self._tables.next_deadline(), self._sweep_at)
        self.arm(deadline if deadline < inf else None)


def _certificate(cert_file: str, key_file: str) -> str:
    """Why a gateway could not use them; empty: it could."""
    import ssl  # noqa: PLC0415 - 3 MB, where a certificate is configured

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file, password=lambda: b"")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return f"the certificate {cert_file} with the key {key_file} cannot be used: {error}"
    return ""


def _entries(vault: Vault, wall: float) -> dict[str, bytes]:
    """The table: 10,000 tokens take 20 ms, so this is called in a thread."""
    return {digest: encode_entry(entry) for digest, entry in vault.ledger.entries(wall).items()}
