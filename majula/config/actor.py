"""What the config actor is started with."""

from __future__ import annotations

from msgspec import Struct

from majula.config.load import DEFAULT_NAME, DEFAULT_NODE_FILE


class ConfigActorSettings(Struct, frozen=True):
    """
    Args:
        data_dir: of the node; tokens and the audit are in its folder `auth`, revisions in `config`.
        text: the file that the node was started with, byte for byte.
        file: its path; empty: the built-in configuration.
        name: of it, as messages show it.
        directory: where relative paths start.
        secrets: those that the file only names, by that name, as they were at the start.
        edges, version: what gateways are started with.
    """

    data_dir: str
    text: bytes = DEFAULT_NODE_FILE.encode()
    file: str = ""
    name: str = DEFAULT_NAME
    directory: str = "/"
    secrets: dict[str, str] = {}
    edges: tuple[str, ...] = ()
    version: str = ""

    def __repr__(self) -> str:
        """Without the secrets: settings may end up in a traceback."""
        return f"ConfigActorSettings(data_dir={self.data_dir!r}, file={self.file!r})"
