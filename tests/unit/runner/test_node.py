"""What the main process does about signals that come late."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# A node that is stopped before it starts a tree, and gets one more signal when its loop is closed already.
LATE = """
import os, signal, sys
from pathlib import Path
from majula.config import load_node_config
from majula.runner.listeners import Listeners
from majula.runner.node import Node
from majula.runner.plan import make_plan

class Late(Listeners):
    def __init__(self, wanted):
        super().__init__(wanted)
        os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        os.kill(os.getpid(), int(sys.argv[2]))
        super().close()

import majula.runner.node
majula.runner.node.Listeners = Late
loaded = load_node_config(Path(sys.argv[1]))
sys.exit(Node(loaded, make_plan(loaded.config)).run())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGCHLD])
def test_signal_after_the_loop_has_closed_does_not_make_a_crash_of_an_orderly_end(tmp_path: Path, number: int) -> None:
    config = tmp_path / "n.yaml"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="mj") as run_dir:  # pytest's own is too long for sockets
        server = f"{{port: {port}, native: {{unix: off}}}}"
        config.write_text(f"node_id: n1\ndata_dir: {tmp_path}/data\nrun_dir: {run_dir}/r\nmajula_servers: [{server}]\n")
        command = [sys.executable, "-c", LATE, str(config), str(int(number))]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0), ended.stderr
