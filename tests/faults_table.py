"""The recovery times that the tests recorded, as the table of docs/operations/faults.md.

    python -m pytest tests/actors tests/cluster && python -m tests.faults_table

Each test of a fault leaves its figure in tests/results; a role without a figure shows a dash.
"""

from __future__ import annotations

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "tests" / "results"
PAGE = REPOSITORY / "docs" / "operations" / "faults.md"
BEGIN, END = "<!-- figures: python -m tests.faults_table -->\n", "<!-- end of the figures -->\n"

ROLES = {
    "config": "config (tokens, audit, configuration)",
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
    """Seconds by (role, fault), of the tests of whole nodes."""
    cells = (json.loads(path.read_text()) for path in sorted(folder.glob("node-*.json")))
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


def main() -> None:
    """Puts the table into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table(read_cells(RESULTS)) + END + after)


if __name__ == "__main__":
    main()
