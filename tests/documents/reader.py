"""Someone who follows a document from top to bottom, in an empty directory, with a node of their own."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from majula.config import load_node_config
from tests.cluster.node_rig import REPOSITORY, free_ports
from tests.documents.blocks import Block, Step, blocks_of, steps_of
from tests.documents.terminal import Terminal

NODE = Step(".venv/bin/majula node run cluster_configs/single.yaml", ["…", "majula node node1 is ready …"], 0, open=2)
"""What the reader of a guide has started before."""

# The environment is there already: what makes it is cut off, and what it would hold stands in `.venv/bin`.
_SETUP = re.compile(r"python3 -m venv \.venv && \.venv/bin/pip install -q -e \S+ && ")
_PORTS = ("18080", "18081", "18082")


class Reader:
    """Where a document is followed. Substituted are only the ports, by free ones, and the set-up; see `_SETUP`.

    Which node is meant is said in the environment, so that other nodes of this user do not make it ambiguous.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
        for name in ("run", "cluster_configs", ".venv/bin"):
            (folder / name).mkdir(parents=True, mode=0o700)
        for layout in (REPOSITORY / "cluster_configs").glob("*.yaml"):
            (folder / "cluster_configs" / layout.name).write_text(self.here(layout.read_text()))
        shutil.copy(REPOSITORY / "run_node.py", folder)
        self._shim("python", f'exec "{sys.executable}" "$@"')
        self._shim("majula", f'exec "{sys.executable}" -m majula.api.cli.main "$@"')
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAJULA_", "PYTEST_", "COV_"))}
        self._environment = {
            **kept, "XDG_RUNTIME_DIR": str(folder / "run"), "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"
        }
        run_dir = self._run_dir()
        self._environment |= {
            "MAJULA_RUN_DIR": str(run_dir),
            "MAJULA_ADDRESS": f"unix:{run_dir}/native-{self._ports['18080']}.sock",
        }
        self._terminals: dict[str, Terminal] = {}

    def here(self, text: str) -> str:
        """The same for this reader's ports."""
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        return _SETUP.sub("", text)

    def follow(self, document: str) -> None:
        """Runs the blocks in order.

        Raises:
            AssertionError: something is not as the document says.
        """
        blocks = [block for block in blocks_of(document) if not block.not_run]
        if not any("node run" in block.body or "run_node.py" in block.body for block in blocks if block.language == "console"):
            self._terminal("node").run(self._here(NODE))
        for block in blocks:
            try:
                self._do(block)
            except AssertionError as error:
                raise AssertionError(f"the block at line {block.line}: {error}") from error
        for terminal in self._terminals.values():
            terminal.settle()

    def close(self) -> None:
        """Ends everything, the node last."""
        for terminal in reversed(self._terminals.values()):
            terminal.close()

    def _do(self, block: Block) -> None:
        match block.language:
            case "console":
                for step in steps_of(block):
                    self._terminal(block.marks.get("terminal", "1")).run(self._here(step))
            case "python" | "yaml" if block.file:
                (self.folder / block.file).write_text(self.here(block.body))
                if block.language == "yaml":
                    self._load(self.folder / block.file)
            case "python" | "sh":
                name = self.folder / ("program.py" if block.language == "python" else "program.sh")
                name.write_text(self.here(block.body))
                runner = ".venv/bin/python" if block.language == "python" else "bash"
                step = Step(f"{runner} {name.name}", (block.output or "").splitlines(), block.line)
                Terminal(self.folder, self._environment).run(self._here(step))
            case "yaml":
                (self.folder / "config.yaml").write_text(self.here(block.body))
                self._load(self.folder / "config.yaml")
            case _:
                pass

    def _load(self, path: Path) -> None:
        load_node_config(path, environment=self._environment, uid=os.getuid(), directory=self.folder)

    def _run_dir(self) -> Path:
        path = self.folder / "cluster_configs" / "single.yaml"
        loaded = load_node_config(path, environment=self._environment, uid=os.getuid(), directory=self.folder)
        return Path(loaded.config.run_dir)

    def _here(self, step: Step) -> Step:
        return Step(self.here(step.command), [self.here(line) for line in step.output], step.line, step.open)

    def _terminal(self, name: str) -> Terminal:
        return self._terminals.setdefault(name, Terminal(self.folder, self._environment))

    def _shim(self, name: str, command: str) -> None:
        path = self.folder / ".venv" / "bin" / name
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)


@contextmanager
def reader() -> Iterator[Reader]:
    """In a directory of its own with a short name: the address of a Unix socket has at most 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="majula-doc-") as folder:
        following = Reader(Path(folder))
        try:
            yield following
        finally:
            following.close()
