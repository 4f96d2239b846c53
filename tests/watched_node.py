"""`python -m tests.watched_node CONFIG`: the real node, whose event loops are watched for calls that block."""

from __future__ import annotations

import os
from pathlib import Path

from majula.runner.__main__ import main
from tests.blocking import VARIABLE, BlockingCalls

if __name__ == "__main__":
    BlockingCalls(Path(os.environ[VARIABLE])).start()
    main()
