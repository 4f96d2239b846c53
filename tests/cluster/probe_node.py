"""`python -m tests.cluster.probe_node CONFIG`: a node with the real runner and supervisors, and probes below them."""

from __future__ import annotations

import sys
from pathlib import Path

from majula.config import load_node_config
from majula.runner.exits import NodeExit
from majula.runner.node import Node
from majula.runner.plan import make_plan

ACTORS = "tests.cluster.probe_actors"


def main() -> int:
    loaded = load_node_config(Path(sys.argv[1]))
    control = dict.fromkeys(("router", "topic_manager", "rpc_broker"), f"{ACTORS}.ProbeControl")
    plan = make_plan(loaded.config, control=control, gateway=f"{ACTORS}.ProbeGateway", edges=(), loaded=loaded)
    try:
        return Node(loaded, plan).run()
    except NodeExit as error:
        print(f"majula: {error.reason}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
