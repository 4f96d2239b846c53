"""The configuration of a running node: one transaction a change, whatever fails leaves everything as it was."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from majula.config.live import LiveConfiguration, Outcome
from majula.config.load import LoadedConfig, Surroundings, read_node_config
from majula.config.operations import ConfigChangeRequest, ConfigShowRequest
from majula.config.revisions import Entry, RevisionStore
from majula.errors import ConfigError, Conflict, DiskFull, InvalidRequest, NotFound
from majula.gateway.settings import GatewaySettings

TEXT = """\
# mine
node_id: n1
token: default_token  # of the mesh
majula_servers:
  - port: 18080
    auth: token
limits: {connections: 100}
"""


class FullStore(RevisionStore):
    """A store on a full disk, as soon as it is told so."""

    is_full = False

    def put(self, entry: object, text: bytes) -> None:
        if self.is_full:
            raise DiskFull("there is no room")
        super().put(entry, text)  # type: ignore[arg-type] # as it came


class Place:
    """A node's file and its revisions, and the configuration that lives on them."""

    def __init__(self, directory: Path, text: str = TEXT) -> None:
        self.directory = directory
        self.file = directory / "node.yaml"
        self.file.write_text(text)
        self.store = FullStore(directory / "config")
        self.started = self.read(text.encode())
        self.live = self.begin(is_first=True)

    def read(self, text: bytes) -> LoadedConfig:
        return read_node_config(text, "node.yaml", Surroundings({}, 1000, self.directory))

    def begin(self, *, is_first: bool) -> LiveConfiguration:
        live = LiveConfiguration(file=self.file, started=self.started, read=self.read, store=self.store)
        self.error = live.begin(is_first=is_first, at=1.0)
        return live

    def restarted(self) -> LiveConfiguration:
        """The node is started again: by what is in the file now."""
        self.started = self.read(self.file.read_bytes())
        return self.begin(is_first=True)

    def change(self, change: dict[str, object] | None = None, **fields: object) -> Outcome:
        return self.live.change(ConfigChangeRequest(change=change, **fields), who="tok-1", at=2.0)  # type: ignore[arg-type] # by name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_first_start_is_revision_one(place: Place) -> None:
    assert [(entry.revision, entry.source) for entry in place.live.revisions().revisions] == [(1, "file")]


def test_start_with_the_same_file_is_no_new_revision(place: Place) -> None:
    assert place.restarted().revision == 1


def test_start_with_another_file_is_a_new_revision(place: Place) -> None:
    place.file.write_text(TEXT + "drain_s: 5\n")
    assert place.restarted().revision == 2


def test_change_is_in_force_at_once_and_tells_the_roles_that_it_concerns(place: Place) -> None:
    outcome = place.change({"limits": {"connections": 200}})
    assert set(outcome.told) == {"gateway:18080"}
    assert msgspec.msgpack.decode(outcome.told["gateway:18080"], type=GatewaySettings).limits.connections == 200
    assert place.live.config.limits.connections == 200


def test_change_says_what_it_changed_and_that_it_is_applied(place: Place) -> None:
    answer = place.change({"limits": {"connections": 200}}).answer
    assert answer.revision == 2
    assert [(item.path, item.old, item.new, item.effect) for item in answer.items] == [
        ("majula_servers[0].limits.connections", 100, 200, "applied"),
        ("limits.connections", 100, 200, "applied"),
    ]


def test_change_is_written_to_the_file_and_its_comments_stay(place: Place) -> None:
    place.file.chmod(0o640)
    place.change({"limits": {"connections": 200}})
    assert place.file.read_text() == TEXT.replace("100", "200")
    assert place.file.stat().st_mode & 0o777 == 0o640


def test_changed_file_is_what_the_next_start_runs_by(place: Place) -> None:
    place.change({"limits": {"connections": 200}})
    again = place.restarted()
    assert (again.revision, again.config.limits.connections) == (2, 200)


def test_file_behind_a_link_is_replaced_and_the_link_stays(place: Place) -> None:
    real = place.directory / "real.yaml"
    place.file.rename(real)
    place.file.symlink_to(real)
    place.change({"drain_s": 1})
    assert place.file.is_symlink() and "drain_s: 1" in real.read_text()


def test_what_cannot_be_taken_over_waits_for_the_restart(place: Place) -> None:
    outcome = place.change({"majula_servers": {"18080": {"bind": "::1"}}})
    assert [(item.path, item.effect) for item in outcome.answer.items] == [("majula_servers[0].bind", "restart")]
    assert outcome.told == {} and place.live.condition().restart == ("majula_servers[0].bind",)
    assert place.live.show(ConfigShowRequest()).restart == ("majula_servers[0].bind",)


def test_nothing_waits_any_more_after_the_restart(place: Place) -> None:
    place.change({"majula_servers": {"18080": {"bind": "::1"}}})
    assert place.restarted().condition().restart == ()


def test_dry_run_changes_nothing_and_says_the_same(place: Place) -> None:
    tried = place.change({"limits": {"connections": 200}}, dry_run=True)
    assert (tried.is_new, tried.told, place.live.revision, place.file.read_text()) == (False, {}, 1, TEXT)
    assert tried.answer.items == place.change({"limits": {"connections": 200}}).answer.items


def test_change_made_for_another_revision_is_a_conflict(place: Place) -> None:
    place.change({"drain_s": 1})
    with pytest.raises(Conflict) as caught:
        place.change({"drain_s": 2}, revision=1)
    assert caught.value.detail["revision"] == 2
    assert place.change({"drain_s": 2}, revision=2).answer.revision == 3


def test_change_with_a_problem_changes_nothing(place: Place) -> None:
    with pytest.raises(ConfigError) as caught:
        place.change({"limits": {"conections": 1}, "drain_s": 3})
    assert "did you mean 'connections'" in caught.value.problems[0]
    assert (place.live.revision, place.file.read_text(), place.live.changed()) == (1, TEXT, {})


def test_change_that_the_next_start_would_refuse_is_refused(place: Place) -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        place.change({"majula_servers": {"18080": {"bind": "0.0.0.0"}}})


def test_change_needs_either_keys_or_a_text(place: Place) -> None:
    for request in ({}, {"change": {"drain_s": 1}, "text": TEXT}):
        with pytest.raises(InvalidRequest, match="either"):
            place.change(**request)  # type: ignore[arg-type] # by name


def test_whole_text_replaces_the_file(place: Place) -> None:
    place.change(text=TEXT + "drain_s: 3\n")
    assert place.file.read_text() == TEXT + "drain_s: 3\n"


def test_full_disk_refuses_a_change_and_reads_go_on(place: Place) -> None:
    place.store.is_full = True
    with pytest.raises(DiskFull):
        place.change({"drain_s": 1})
    assert (place.live.revision, place.file.read_text(), place.live.config.drain_s) == (1, TEXT, 10.0)
    assert place.live.show(ConfigShowRequest()).revision == 1


def test_node_starts_on_a_full_disk(place: Place) -> None:
    place.store.is_full = True
    place.file.write_text(TEXT + "drain_s: 5\n")
    again = place.restarted()
    assert isinstance(place.error, DiskFull)
    assert (again.revision, again.config.drain_s) == (2, 5.0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_file_that_may_not_be_written_refuses_a_change(place: Place) -> None:
    place.directory.chmod(0o500)
    try:
        with pytest.raises(Conflict, match="cannot be written"):
            place.change({"drain_s": 1})
    finally:
        place.directory.chmod(0o700)
    assert place.live.revision == 1


def test_file_that_cannot_be_replaced_leaves_no_revision(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target == place.file:
            raise OSError(30, "Read-only file system")
        return original(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Conflict, match="Read-only file system"):
        place.change({"drain_s": 1})
    assert place.store.numbers() == [1]
    assert sorted(path.name for path in place.directory.iterdir()) == ["config", "node.yaml"]


def test_change_does_not_overwrite_what_an_editor_has_written(place: Place) -> None:
    place.file.write_text(TEXT + "drain_s: 7\n")
    with pytest.raises(Conflict, match="was changed by hand"):
        place.change({"drain_s": 1})


def test_node_without_a_file_can_try_a_change_but_not_make_one(tmp_path: Path) -> None:
    place = Place(tmp_path)
    live = LiveConfiguration(file=None, started=place.started, read=place.read, store=RevisionStore(tmp_path / "other"))
    live.begin(is_first=True, at=1.0)
    assert live.change(ConfigChangeRequest(change={"drain_s": 1}, dry_run=True), who="", at=1.0).answer.items
    with pytest.raises(Conflict, match="started without a file"):
        live.change(ConfigChangeRequest(change={"drain_s": 1}), who="", at=1.0)


# --- reload


def test_reload_takes_the_file_as_a_new_revision(place: Place) -> None:
    place.file.write_text(TEXT + "drain_s: 3\n")
    outcome = place.live.reload(who="signal", at=3.0)
    assert outcome.is_new and outcome.answer.revision == 2 and set(outcome.told) == {"runner"}


def test_reload_of_the_same_file_is_nothing_new(place: Place) -> None:
    outcome = place.live.reload(who="signal", at=3.0)
    assert (outcome.is_new, outcome.answer.items, outcome.told) == (False, (), {})


def test_wrong_file_leaves_the_old_configuration_and_is_shown(place: Place) -> None:
    place.file.write_text(TEXT + "drain: 3\n")
    with pytest.raises(ConfigError):
        place.live.reload(who="signal", at=3.0)
    condition = place.live.condition()
    assert condition.revision == 1 and condition.refused[0].startswith("node.yaml:8:1: unknown key 'drain'")


def test_file_that_was_put_right_is_no_longer_shown_as_wrong(place: Place) -> None:
    place.file.write_text(TEXT + "drain: 3\n")
    with pytest.raises(ConfigError):
        place.live.reload(who="signal", at=3.0)
    place.file.write_text(TEXT)
    place.live.reload(who="signal", at=4.0)
    assert place.live.condition().refused == ()


@pytest.mark.parametrize(
    "half", ["", "node_id: n1\nmajula_servers:\n  - po", "node_id: n1\nmajula_servers:\n  - port: 18080\n    limits: {"]
)
def test_half_written_file_is_not_taken(place: Place, half: str) -> None:
    place.file.write_text(half)
    with pytest.raises(ConfigError):
        place.live.reload(who="file", at=3.0)
    assert place.live.revision == 1


def test_file_that_is_gone_is_a_problem_not_an_end(place: Place) -> None:
    place.file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        place.live.reload(who="file", at=3.0)


def test_pipe_in_place_of_the_file_stops_nothing(place: Place) -> None:
    place.file.unlink()
    os.mkfifo(place.file)
    with pytest.raises(ConfigError, match="is not a file"):
        place.live.reload(who="file", at=3.0)


def test_secret_in_a_file_of_its_own_is_read_again(tmp_path: Path) -> None:
    secret = tmp_path / "mesh.token"
    secret.write_text("one-" * 8)
    secret.chmod(0o600)
    place = Place(tmp_path, TEXT.replace("default_token", "file:mesh.token"))
    secret.write_text("two-" * 8)
    (item,) = place.live.reload(who="signal", at=3.0).answer.items
    assert (item.path, item.old, item.new, item.effect) == ("token", "***", "***", "restart")


def test_reload_has_gateways_read_their_certificates_again(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    place = Place(tmp_path, TEXT.replace("auth: token", "auth: token\n    tls: {cert_file: c.pem, key_file: k.pem}"))
    assert set(place.live.reload(who="signal", at=3.0).told) == {"gateway:18080"}


# --- the file is watched


def test_file_that_is_still_being_written_is_left_alone(place: Place) -> None:
    looks = []
    for size in range(1, 4):
        place.file.write_text(TEXT + "#" * size)
        looks.append(place.live.has_file_changed())
    assert looks == [False, False, False]
    assert [place.live.has_file_changed(), place.live.has_file_changed()] == [True, False]


def test_own_writing_is_no_change_of_the_file(place: Place) -> None:
    place.change({"drain_s": 1})
    assert not any(place.live.has_file_changed() for _ in range(3))


def test_file_that_was_replaced_is_found(place: Place) -> None:
    other = place.directory / "other"
    other.write_text(TEXT + "drain_s: 4\n")
    other.replace(place.file)
    assert [place.live.has_file_changed() for _ in range(3)] == [False, True, False]


# --- rollback


def test_rollback_goes_to_the_revision_before(place: Place) -> None:
    place.change({"limits": {"connections": 200}})
    outcome = place.live.rollback(0, who="tok-1", at=3.0, is_dry=False)
    assert (outcome.answer.revision, place.live.config.limits.connections, place.file.read_text()) == (3, 100, TEXT)
    assert [entry.source for entry in place.live.revisions().revisions] == ["rollback", "api", "file"]


def test_rollback_goes_to_any_revision_that_is_kept(place: Place) -> None:
    for seconds in (1, 2, 3):
        place.change({"drain_s": seconds})
    place.live.rollback(2, who="", at=3.0, is_dry=False)
    assert place.live.config.drain_s == 1.0


def test_rollback_to_what_is_not_kept_is_not_found(place: Place) -> None:
    with pytest.raises(NotFound, match="there is no revision before this one"):
        place.live.rollback(0, who="", at=3.0, is_dry=False)
    with pytest.raises(NotFound, match="revision 9 is not kept"):
        place.live.rollback(9, who="", at=3.0, is_dry=False)


# --- the actor dies and comes back


def test_restarted_actor_goes_on_with_the_newest_revision(place: Place) -> None:
    place.change({"limits": {"connections": 200}, "log": {"format": "json"}})
    again = place.begin(is_first=False)
    assert (again.revision, again.config.limits.connections, again.config.log.format) == (2, 200, "auto")
    assert set(again.changed()) == {"gateway:18080"} and again.condition().restart == ("log.format",)


@pytest.mark.parametrize("head", [b"", b"{", b'{"source":"\xff"}', b"[" * 5000])
def test_revision_that_a_bad_disk_has_spoilt_is_passed_over(place: Place, head: bytes) -> None:
    place.change({"limits": {"connections": 200}})
    for path in (place.directory / "config").iterdir():
        if b'"source":"api"' in path.read_bytes():
            path.write_bytes(head + b"\n" + TEXT.encode())
    again = place.begin(is_first=False)
    assert [entry.revision for entry in again.revisions().revisions][-1] == 1


def test_restarted_actor_finds_what_was_changed_while_it_was_away(place: Place) -> None:
    place.file.write_text(TEXT + "drain_s: 4\n")
    again = place.begin(is_first=False)
    assert again.has_file_changed() or again.has_file_changed()


def test_death_between_revision_and_file_gives_the_file_the_last_word(place: Place) -> None:
    place.store.put(Entry(2, 2.0, "tok-1", "api"), (TEXT + "drain_s: 9\n").encode())
    again = place.begin(is_first=False)
    assert again.has_file_changed() or again.has_file_changed()
    assert again.reload(who="file", at=3.0).answer.revision == 3 and again.config.drain_s == 10.0


# --- revisions


def test_only_the_newest_revisions_are_kept(tmp_path: Path) -> None:
    store = RevisionStore(tmp_path / "config", keep=3)
    for number in range(1, 6):
        store.put(Entry(number, 0.0, "", "file"), b"x")
    assert store.numbers() == [3, 4, 5]


def test_revisions_can_be_read_by_their_owner_only(place: Place) -> None:
    modes = [path.stat().st_mode & 0o777 for path in (place.directory / "config").iterdir()]
    assert modes == [0o600] and (place.directory / "config").stat().st_mode & 0o777 == 0o700


def test_broken_revision_is_passed_over_and_its_number_not_used_again(place: Place) -> None:
    (place.directory / "config" / "00000007.revision").write_bytes(b"\x00garbage")
    again = place.begin(is_first=False)
    assert again.revision == 1
    assert again.change(ConfigChangeRequest(change={"drain_s": 1}), who="", at=1.0).answer.revision == 8


def test_revision_of_the_past_is_shown_without_secrets(place: Place) -> None:
    place.change({"drain_s": 1})
    shown = place.live.show(ConfigShowRequest(revision=1, defaults=False))
    assert shown.document == {
        "node_id": "n1",
        "token": "***",
        "majula_servers": [{"port": 18080, "auth": "token"}],
        "limits": {"connections": 100},
    }


def test_configuration_is_shown_with_every_default(place: Place) -> None:
    document = place.live.show(ConfigShowRequest()).document
    assert (document["token"], document["limits"]["message_bytes"], document["drain_s"]) == ("***", 1 << 20, 10.0)
