"""`python -m tests.cluster.fragile_node CONFIG`: the real node; its main process fails when it hears that the router has died."""

from __future__ import annotations

import sys
from pathlib import Path

from majula.config import load_node_config
from majula.messages.supervision import Report
from majula.runner.exits import NodeExit
from majula.runner.node import Node
from majula.runner.plan import make_plan


class FragileNode(Node):
    """The real one, but for one report."""

    def _on_report(self, report: Report) -> None:
        if report.context == "child.died" and report.offender == "router":
            raise RuntimeError("told to fail")
        super()._on_report(report)


def main() -> int:
    loaded = load_node_config(Path(sys.argv[1]))
    try:
        return FragileNode(loaded, make_plan(loaded.config, loaded=loaded)).run()
    except NodeExit as error:
        print(f"majula: {error.reason}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
