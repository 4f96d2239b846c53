"""A terminal in which a document's commands run: one at a time, each line of output held against the document's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.documents.blocks import agrees

PATIENCE_S = 30.0
"""A guard against a hang, no promise."""
_CHANGES_SHELL = ("$ cd ", "$ export ", "$ umask ", "$ . ")


class Terminal:
    """A command that does not end by itself stays, and later blocks of the same terminal go on with its output. What changes the
    shell itself (`cd`, `export`, `umask`, `. FILE`) holds for all commands that follow.

    Args:
        folder: the working directory.
        environment: of the commands.
        replace: what stands in the document, and what is run and expected instead.
        patience_s: guard against a hang.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], replace: Mapping[str, str], *, patience_s: float = PATIENCE_S
    ) -> None:
        self._folder, self._environment, self._replace = folder, environment, replace
        self._patience_s = patience_s
        self._shell = ""
        self._says_more = False
        self._process: asyncio.subprocess.Process | None = None

    async def play(self, block: str) -> None:
        """Run the block's commands (`$ `), compare their output, send `^C`.

        Raises:
            AssertionError: a line is not what the document says.
        """
        lines = block.splitlines()
        for at, line in enumerate(lines):
            if line.startswith("$ "):
                await self._end_of_output()
                command = self._shell + self._own(line[2:])
                if line.startswith(_CHANGES_SHELL):
                    self._shell = command + " && "
                self._says_more = False
                self._process = await asyncio.create_subprocess_exec(
                    "bash",
                    "-c",
                    command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=self._folder,
                    env=self._environment,
                    start_new_session=True,
                    limit=1 << 20,
                )
            elif line == "^C":
                self._signal(signal.SIGINT)
                await self._end_of_output()
            elif line == "…" and at == len(lines) - 1:
                self._says_more = True  # how it goes on is another matter
            else:
                said = await self._line(expected=line)
                assert agrees(said, self._own(line)), f"the document says {line!r}, the command {said!r}"

    async def close(self) -> None:
        """End what is left."""
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._process.communicate()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()

    async def _line(self, *, expected: str) -> str:
        assert self._process is not None, "a block begins with output, but nothing runs in its terminal"
        assert self._process.stdout is not None
        async with asyncio.timeout(self._patience_s):
            line = await self._process.stdout.readline()
        assert line, f"the command ended before it had said {expected!r}"
        return line.decode().rstrip("\n")

    async def _end_of_output(self) -> None:
        """The command before has ended, and has said no more than the document says."""
        if self._process is None:
            return
        async with asyncio.timeout(self._patience_s):
            rest, _ = await self._process.communicate()
        self._process = None
        assert rest == b"" or self._says_more, f"the command says more than the document: {rest.decode()}"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _own(self, text: str) -> str:
        for old, new in self._replace.items():
            text = text.replace(old, new)
        return text
