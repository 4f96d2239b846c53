"""The entries of a table in the order of their last change.

Each change gets the next version and moves its key to the end. "Everything that a holder at version n lacks" is then the tail
behind n, however long ago that was and however often keys changed in between: each key is in it once, with its newest value. So
a slow holder costs nothing but its position, and there is no queue of deltas a holder.

A removed key stays as a tombstone while a holder may lack its removal. The newest 4,096 tombstones are kept; who is behind the
oldest one that was forgotten (`floor`) needs a snapshot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class ChangeLog:
    """One table's entries, versions and tombstones.

    Args:
        tombstones: how many removed keys are remembered at most.
    """

    def __init__(self, *, tombstones: int = 4_096) -> None:
        self.version = 0
        self.floor = 0
        self._entries: dict[str, tuple[int, bytes]] = {}
        self._removed: dict[str, int] = {}  # in the order of removal
        self._versions: list[int] = []  # ascending; with `_keys` the order of changes; superseded pairs stay until `_compact`
        self._keys: list[str] = []
        self._tombstones = tombstones
        self._bytes = 0

    def put(self, key: str, value: bytes) -> bool:
        """Set a key. False: it has that value already, and nothing changed."""
        old = self._entries.get(key)
        if old is not None:
            if old[1] == value:
                return False
            self._bytes -= len(old[1])
        else:
            self._removed.pop(key, None)
            self._bytes += len(key)
        self._bytes += len(value)
        self._entries[key] = (self._next(key), value)
        return True

    def remove(self, key: str) -> bool:
        """Remove a key. False: it is not there."""
        old = self._entries.pop(key, None)
        if old is None:
            return False
        self._bytes -= len(key) + len(old[1])
        self._removed[key] = self._next(key)
        while len(self._removed) > self._tombstones:
            self.floor = self._removed.pop(next(iter(self._removed)))
        return True

    def skip_to(self, version: int) -> None:
        """Go on from a higher version, as the copy of a table whose history is not known."""
        if version < self.version:
            raise ValueError(f"version {version} is behind {self.version}")
        self.version = version

    def get(self, key: str) -> bytes | None:
        found = self._entries.get(key)
        return None if found is None else found[1]

    def items(self) -> Iterator[tuple[str, bytes]]:
        for key, (_, value) in self._entries.items():
            yield key, value

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes of all keys (as characters) and values."""
        return self._bytes

    def statistics(self) -> dict[str, int]:
        """How much is kept: `changes` counts superseded ones too."""
        return {"entries": len(self._entries), "tombstones": len(self._removed), "changes": len(self._versions)}

    def after(self, version: int) -> Iterator[tuple[int, str, bytes | None]]:
        """The changes after `version`, oldest first, as (version, key, value); None is a removal. Not to be kept across
        changes."""
        entries, removed, keys, versions = self._entries, self._removed, self._keys, self._versions
        for at in range(bisect_right(versions, version), len(versions)):
            key, changed = keys[at], versions[at]
            entry = entries.get(key)
            if entry is not None:
                if entry[0] == changed:
                    yield changed, key, entry[1]
            elif removed.get(key) == changed:
                yield changed, key, None

    def _next(self, key: str) -> int:
        self.version += 1
        self._versions.append(self.version)
        self._keys.append(key)
        if len(self._versions) > 2 * (len(self._entries) + len(self._removed)) + 64:
            self._compact()
        return self.version

    def _compact(self) -> None:
        # The change under way is in the lists but not in the dicts yet; it is the last pair and stays.
        live = [(changed, key) for changed, key, _ in self.after(0) if changed != self.version]
        live.append((self._versions[-1], self._keys[-1]))
        self._versions = [changed for changed, _ in live]
        self._keys = [key for _, key in live]
