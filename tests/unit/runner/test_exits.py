"""The exit codes that people read about are those that the node uses."""

from __future__ import annotations

import re
from pathlib import Path

from majula.runner import exits

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "exit-codes.md"


def test_page_lists_every_exit_code_under_its_name() -> None:
    documented = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| (\w+) \|", PAGE.read_text(), re.MULTILINE)}
    assert documented == {name: value for name, value in vars(exits).items() if isinstance(value, int)}
