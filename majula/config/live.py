"""The configuration of a running node: what it is, what it was, and how it becomes another one.

A change is one transaction, wherever it comes from (the file, the API, a rollback): the text is read and checked as at a start;
it becomes the next revision, on disk; for a change by API the operator's file is replaced; only then is it in force, and
`Outcome.told` says which roles are to be told what. Whatever fails before that leaves everything as it was.

All methods that read or write files block: call them in a thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from majula.config.check import Certificate, unusable_certificates
from majula.config.compare import Difference, differences, in_force, waits_for_restart
from majula.config.derive import gateway_role, settings_of
from majula.config.editing import edited
from majula.config.files import file_sign, shown, write_whole
from majula.config.load import LoadedConfig, read_file
from majula.config.operations import (
    ConfigChangeAnswer,
    ConfigChangeRequest,
    ConfigDocument,
    ConfigItem,
    ConfigShowRequest,
    Revision,
    RevisionsAnswer,
)
from majula.config.plain import complete, given, hidden
from majula.config.reach import reachable
from majula.config.revisions import Entry, RevisionStore, Source
from majula.config.schema import NodeConfig
from majula.errors import ConfigError, Conflict, InvalidRequest, MajulaError, NotFound
from majula.messages.base import Role
from majula.messages.config import Condition, RunnerSettings

RUNNER: Role = "runner"
"""Who is no actor, and takes settings all the same."""

Read = Callable[[bytes], LoadedConfig]
"""Reads and checks a text as the node's file. Raises ConfigError."""

Derive = Callable[[NodeConfig], Mapping[Role, Struct]]
"""The settings of each role."""


class Outcome(Struct, frozen=True):
    """What came of a change.

    Args:
        answer: for whoever asked.
        is_new: there is a new revision.
        told: the settings of the roles that have others now.
    """

    answer: ConfigChangeAnswer
    is_new: bool
    told: dict[Role, bytes]


class LiveConfiguration:
    """Begin it with `begin`.

    Args:
        file: the operator's; None: the node runs the built-in configuration.
        started: what the node was started with.
        read: see `Read`.
        store: of revisions.
        derive: see `Derive`.
        certificate: see `check.Certificate`.
    """

    def __init__(
        self,
        *,
        file: Path | None,
        started: LoadedConfig,
        read: Read,
        store: RevisionStore,
        derive: Derive = settings_of,
        certificate: Certificate = lambda cert_file, key_file: "",
    ) -> None:
        self._file, self._read, self._store, self._derive = file, read, store, derive
        self._certificate = certificate
        self._started = self._newest = started
        self._entry = Entry(revision=0, at=0.0, who="", source="file")
        self._settings: dict[Role, bytes] = {}
        self._initial = self._encoded(started.config)
        self._refused: tuple[str, ...] = ()
        self._sign = self._candidate = file_sign(file)

    # --- what it is

    @property
    def revision(self) -> int:
        """The newest."""
        return self._entry.revision

    @property
    def config(self) -> NodeConfig:
        """What the node runs by: the newest revision, as far as a running node can take it over."""
        return in_force(self._started.config, self._newest.config)

    def settings(self, role: Role) -> bytes | None:
        """What a role is to run by; None: it has no settings."""
        return self._settings.get(role)

    def changed(self) -> Mapping[Role, bytes]:
        """The settings of all roles that are started with others than they are to run by."""
        return {role: found for role, found in self._settings.items() if found != self._initial.get(role)}

    def condition(self) -> Condition:
        """For `status`."""
        waiting = tuple(found.path for found in self._waiting(self._newest.config))
        return Condition(self.revision, waiting, self._refused, self._newest.warnings)

    # --- begin

    def begin(self, *, is_first: bool, at: float) -> MajulaError | None:
        """Find out what is in force. A node that starts runs by its file, which is a new revision where it has changed while the
        node was down. An actor that comes back goes on with the newest revision.

        Args:
            is_first: the node starts; else only this actor does.
            at: seconds since 1970.
        Returns:
            why the revision could not be kept; it is in force all the same.
        """
        newest = next(self._store.newest_first(), None)
        is_kept = False
        if newest is not None:
            self._entry, text = newest
            is_kept = not is_first or text == self._started.text
            if not is_first:
                try:
                    self._newest = self._read(text)
                except ConfigError as error:
                    self._refused = error.problems  # what it needs has gone; the start's configuration stays
        self._settings = self._encoded(self.config)
        if not self._is_file_ours():
            self._sign = self._candidate = None  # it was changed while nobody looked: the next looks find it
        if is_kept:
            return None
        self._entry = Entry(revision=self._last_number() + 1, at=at, who="", source="file")
        try:
            self._store.put(self._entry, self._started.text)
        except MajulaError as error:
            return error
        return None

    # --- change

    def change(self, request: ConfigChangeRequest, *, who: str, at: float) -> Outcome:
        """Carry out `config.change`.

        Raises:
            InvalidRequest, Conflict, ConfigError, DiskFull: nothing has changed.
        """
        if (request.change is None) == (not request.text):
            raise InvalidRequest("give either 'change' or 'text'")
        if request.revision not in (0, self.revision):
            raise Conflict(
                f"the configuration is at revision {self.revision} by now, not {request.revision}: look at it again",
                revision=self.revision,
            )
        text = request.text.encode() if request.change is None else edited(self._newest.text, request.change)
        return self._take(text, source="api", who=who, at=at, is_dry=request.dry_run)

    def rollback(self, revision: int, *, who: str, at: float, is_dry: bool) -> Outcome:
        """Carry out `config.rollback`: the old text becomes the newest revision.

        Raises:
            NotFound: it is not kept. And as for `change`.
        """
        wanted = revision or max((number for number in self._store.numbers() if number < self.revision), default=0)
        found = self._store.read(wanted)
        if found is None:
            raise NotFound(f"revision {wanted} is not kept" if wanted else "there is no revision before this one")
        return self._take(found[1], source="rollback", who=who, at=at, is_dry=is_dry)

    def reload(self, *, who: str, at: float, is_dry: bool = False) -> Outcome:
        """Read the operator's file again, and have gateways read their certificates again. What is wrong with the file is
        remembered for `condition`.

        Raises:
            Conflict: the node runs the built-in configuration. ConfigError: the file cannot be used. DiskFull: no room for the
                revision.
        """
        if self._file is None:
            raise Conflict("this node was started without a file: there is none to read again")
        try:
            text = self._read_file(self._file)
            outcome = self._take(text, source="file", who=who, at=at, is_dry=is_dry)
        except ConfigError as error:
            if not is_dry:
                self._refused = error.problems
            raise
        if is_dry:
            return outcome
        self._refused = ()
        certified = {gateway_role(entry) for entry in self.config.majula_servers if entry.tls is not None}
        return replace(
            outcome, told={role: found for role, found in self._settings.items() if role in certified or role in outcome.told}
        )

    def has_file_changed(self) -> bool:
        """Whether the file is another one than at the last look, and was the same at two looks in a row: nobody is writing it
        just now. Called once a second; one stat()."""
        sign = file_sign(self._file)
        if sign == self._sign:
            self._candidate = sign
            return False
        if sign != self._candidate:
            self._candidate = sign
            return False
        self._sign = sign
        return True

    # --- look

    def show(self, request: ConfigShowRequest) -> ConfigDocument:
        """Carry out `config.show`.

        Raises:
            NotFound: the revision is not kept.
        """
        loaded, number = self._newest, request.revision or self.revision
        if number != self.revision:
            found = self._store.read(number)
            if found is None:
                raise NotFound(f"revision {number} is not kept")
            try:
                loaded = self._read(found[1])
            except ConfigError:
                # Of another version, or its secrets have gone: what it said can be shown all the same.
                return ConfigDocument(revision=number, document=hidden(given(found[1]), shows_names=True))
        document = hidden(complete(loaded.config)) if request.defaults else hidden(loaded.given, shows_names=True)
        return ConfigDocument(
            revision=number,
            document=document,
            file="" if self._file is None else str(self._file),
            warnings=loaded.warnings,
            restart=self.condition().restart if number == self.revision else (),
        )

    def revisions(self) -> RevisionsAnswer:
        """Carry out `config.revisions`."""
        return RevisionsAnswer(
            tuple(
                Revision(revision=entry.revision, at=_rfc3339(entry.at), who=entry.who, source=entry.source)
                for entry, _ in self._store.newest_first()
            )
        )

    # --- inside

    def _take(self, text: bytes, *, source: Source, who: str, at: float, is_dry: bool) -> Outcome:
        loaded = self._read(text)
        refusals = loaded.refusals or unusable_certificates(loaded.config, self._certificate)
        if refusals:
            raise ConfigError(problems=refusals)
        found = differences(complete(self._newest.config), complete(loaded.config))
        waiting = self._waiting(loaded.config)
        items = tuple(_item(difference, waiting) for difference in found)
        # The text may be the same and what it names another: the file of a secret.
        is_new = not is_dry and (text != self._newest.text or bool(items))
        if is_new:
            self._keep(text, source=source, who=who, at=at)
            self._newest = loaded
        answer = ConfigChangeAnswer(
            revision=self.revision, items=items, warnings=loaded.warnings, reachable=reachable(loaded.config)
        )
        return Outcome(answer, is_new, {} if is_dry else self._tell())

    def _keep(self, text: bytes, *, source: Source, who: str, at: float) -> None:
        """The revision first, then the file: what is in the file is always the newest revision, or newer by an editor's hand."""
        if source != "file":
            self._look_whether_untouched()
        entry = Entry(revision=self._last_number() + 1, at=at, who=who, source=source)
        self._store.put(entry, text)
        if source != "file" and self._file is not None:
            try:
                write_whole(self._file, text)
            except MajulaError:
                self._store.drop(entry.revision)
                raise
            self._sign = self._candidate = file_sign(self._file)
            self._refused = ()
        self._entry = entry

    def _look_whether_untouched(self) -> None:
        if self._file is None:
            raise Conflict(
                "this node was started without a file, so a change has no place to stay: start it with one (majula init)"
            )
        if not self._is_file_ours():
            raise Conflict(f"{self._file} was changed by hand and is not in force: reload it, or put it back, and try again")

    def _read_file(self, path: Path) -> bytes:
        # Whoever puts a pipe in its place must not have the actor wait for who writes into it.
        if path.exists() and not path.is_file():
            raise ConfigError(problems=(f"{shown(path)}:1:1: is not a file",))
        return read_file(path)

    def _is_file_ours(self) -> bool:
        """Whether the file is what the newest revision says."""
        if self._file is None:
            return True
        try:
            return self._read_file(self._file) == self._newest.text
        except ConfigError:
            return False

    def _tell(self) -> dict[Role, bytes]:
        before, self._settings = self._settings, self._encoded(self.config)
        return {role: found for role, found in self._settings.items() if found != before.get(role)}

    def _encoded(self, config: NodeConfig) -> dict[Role, bytes]:
        found = {**self._derive(config), RUNNER: RunnerSettings(drain_s=config.drain_s)}
        return {role: msgspec.msgpack.encode(settings) for role, settings in found.items()}

    def _waiting(self, newest: NodeConfig) -> tuple[Difference, ...]:
        return differences(complete(in_force(self._started.config, newest)), complete(newest))

    def _last_number(self) -> int:
        return max([self._entry.revision, *self._store.numbers()[-1:]])


def _item(difference: Difference, waiting: tuple[Difference, ...]) -> ConfigItem:
    effect = "restart" if waits_for_restart(difference, waiting) else "applied"
    return ConfigItem(path=difference.path, old=difference.old, new=difference.new, effect=effect)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
