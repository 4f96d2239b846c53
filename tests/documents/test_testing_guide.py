"""The programs and the test files of the testing guide do what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.node_rig import REPOSITORY
from tests.documents.blocks import blocks_of
from tests.documents.test_examples import run

BLOCKS = blocks_of((REPOSITORY / "docs" / "guides" / "testing.md").read_text())
FILES = [block for block in BLOCKS if block.file_name]

pytestmark = pytest.mark.slow


def test_every_block_is_run() -> None:
    assert [block.language for block in BLOCKS if not block.file_name] == ["python", "text"]


async def test_the_program_prints_what_the_guide_says(tmp_path: Path) -> None:
    program, said = (block.text for block in BLOCKS if not block.file_name)
    assert await run(tmp_path, "-c", program) == (0, said)


async def test_the_test_files_pass(tmp_path: Path) -> None:
    for block in FILES:
        (tmp_path / block.file_name).write_text(block.text)
    fixture = "import pytest\n\n@pytest.mark.asyncio\nasync def test_it(two_gateways):\n    assert len(two_gateways.ports) == 2\n"
    (tmp_path / "test_own_fixture.py").write_text(fixture)
    options = ("-p", "majula.testing.plugin", "-p", "no:cacheprovider", "-q", "--rootdir", ".", "-c", "/dev/null", ".")
    code, said = await run(tmp_path, "-B", "-m", "pytest", *options)
    assert (code, "3 passed" in said) == (0, True), said
