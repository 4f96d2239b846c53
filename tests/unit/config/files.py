"""Loading a file of a test: the text as a file in a directory of its own, an empty environment, uid 1000."""

from __future__ import annotations

from pathlib import Path

from majula.config import LoadedConfig, load_node_config
from majula.errors import ConfigError

NAME = "node.yaml"


class Files:
    """A directory in which a test's configuration file is written and read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment: dict[str, str] = {}

    def load(self, content: str | bytes, *, mode: int = 0o600) -> LoadedConfig:
        path = self.directory / NAME
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return load_node_config(path, environment=self.environment, uid=1000, directory=self.directory)

    def problems(self, content: str | bytes) -> list[str]:
        """What is wrong with the content, without the file's name: ``line:column: message``."""
        try:
            self.load(content)
        except ConfigError as error:
            prefix = f"{self.directory / NAME}:"
            assert error.problems and all(line.startswith(prefix) for line in error.problems), error.problems
            return [line.removeprefix(prefix) for line in error.problems]
        return []

    def warnings(self, content: str, *, mode: int = 0o600) -> list[str]:
        """The warnings, without the file's name."""
        return [line.removeprefix(f"{self.directory / NAME}:") for line in self.load(content, mode=mode).warnings]

    def refusals(self, content: str) -> list[str]:
        """Why a node does not start with it, without the file's name."""
        return [line.removeprefix(f"{self.directory / NAME}:") for line in self.load(content).refusals]

    def secret(self, name: str, content: str, *, mode: int = 0o600) -> Path:
        """A file beside the configuration."""
        path = self.directory / name
        path.write_text(content)
        path.chmod(mode)
        return path
