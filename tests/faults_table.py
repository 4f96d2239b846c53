"""The recovery times that the tests recorded, and the table of every fault of every actor, drawn into docs/operations/faults.md.

    python -m pytest tests/actors tests/cluster && python -m tests.faults_table

Each test of a fault leaves its figure in tests/results; a cell without a figure shows none.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults_matrix import COLUMNS as FAULTS
from tests.faults_matrix import EVERY_ACTOR, MATRIX, Cell

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "tests" / "results"
PAGE = REPOSITORY / "docs" / "operations" / "faults.md"
BEGIN, END = "<!-- figures: python -m tests.faults_table -->\n", "<!-- end of the figures -->\n"
MATRIX_BEGIN, MATRIX_END = "<!-- matrix: python -m tests.faults_table -->\n", "<!-- end of the matrix -->\n"

ROLES = {
    "config": "config (tokens, audit, configuration)",
    "telemetry": "telemetry",
    "router": "router",
    "topic_manager": "topic manager",
    "rpc_broker": "RPC broker",
    "near gateway": "gateway of publisher and caller",
    "far gateway": "gateway of subscriber and provider",
    "supervisor:control": "supervisor of router, topic manager, broker",
    "supervisor:data": "supervisor of the gateways",
    "supervisor:root": "root supervisor",
    "admin": "Thespian's admin",
    "logger": "Thespian's logger",
}
COLUMNS = (
    "SIGKILL under load",
    "SIGKILL silence for clients",
    "SIGSTOP under load",
    "SIGSTOP silence for clients",
)


def read_cells(folder: Path) -> dict[tuple[str, str], float]:
    """Seconds by (role, fault). Where a test of one actor and one of a whole node have measured it, the node's."""
    files = [*sorted(folder.glob("recovery-*.json")), *sorted(folder.glob("node-*.json"))]
    cells = [json.loads(path.read_text()) for path in files]
    return {(cell["role"], cell["fault"]): cell["recovered_s"] for cell in cells}


def table(cells: dict[tuple[str, str], float]) -> str:
    """Markdown, one row a role."""
    rows = [
        "| process | killed: serving again | killed: silence | stopped: serving again | stopped: silence |\n",
        "|---|---|---|---|---|\n",
    ]
    for role, words in ROLES.items():
        figures = [_time(cells.get((role, fault))) for fault in COLUMNS]
        rows.append(f"| {words} | {' | '.join(figures)} |\n")
    return "".join(rows)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def matrix(cells: dict[tuple[str, str], float]) -> str:
    """Markdown: a row an actor, a column a fault, each cell a link to its test; then what holds for every actor."""
    lines = [f"| actor | {' | '.join(FAULTS)} |\n", "|---" * (len(FAULTS) + 1) + "|\n"]
    for actor, row in MATRIX.items():
        lines.append(f"| {actor} | {' | '.join(_cell(row[fault], cells) for fault in FAULTS)} |\n")
    lines.append("\n| for every actor | |\n|---|---|\n")
    lines += [f"| {every.fault} | {'; '.join(_cell(cell, cells) for cell in every.cells)} |\n" for every in EVERY_ACTOR]
    return "".join(lines)


def _cell(cell: Cell, cells: dict[tuple[str, str], float]) -> str:
    if not cell.test:
        return f"- ({cell.words})"
    path, _, name = cell.test.partition("::")
    seconds = cells.get(cell.figure)
    figure = "" if seconds is None else f" **{_time(seconds)}**"
    return f'[{cell.words}](../../{path} "{name}"){figure}'


def drawn(page: str, begin: str, end: str, content: str) -> str:
    """The page with other content between its two marks."""
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + content + end + after


def main() -> None:
    """Puts both tables into the page."""
    cells = read_cells(RESULTS)
    page = drawn(PAGE.read_text(), BEGIN, END, table(cells))
    PAGE.write_text(drawn(page, MATRIX_BEGIN, MATRIX_END, matrix(cells)))


if __name__ == "__main__":
    main()
