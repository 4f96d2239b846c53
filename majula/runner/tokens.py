"""Tokens without a node: `majula init` makes the first one, and an operator may make one before the node runs.

    python -m majula.runner.tokens [CONFIG] < request.json > answer.json

The request is that of the operation `tokens.create`, the answer its answer, both JSON: a secret stands in no argument and in no
process list. The lock of the data directory is held meanwhile; where a node holds it, that node is to be asked instead.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

import msgspec

from majula.auth.ledger import Applied, Create
from majula.auth.operations import TokenCreateAnswer, TokenCreateRequest
from majula.auth.store import Vault
from majula.config import load_node_config
from majula.errors import ConfigError, InternalError, MajulaError
from majula.runner.exits import BAD_CONFIG, USAGE, NodeExit
from majula.runner.lock import DirectoryLock

REQUEST_BYTES = 1 << 20


def create_token(data_dir: Path, request: TokenCreateRequest, *, who: str = "") -> TokenCreateAnswer:
    """Make a token in the data directory of a node that does not run. Durable when it returns.

    Args:
        data_dir: made where it is missing.
        who: for the audit; empty: the user of this process, `uid:1000`.
    Raises:
        NodeExit: a node holds the directory (ALREADY_RUNNING, its pid is named), or it cannot be used.
        ConfigError: its tokens are damaged.
        MajulaError: such a token cannot be made (InvalidRequest, LimitReached), or not stored (DiskFull, Unavailable).
    """
    lock = DirectoryLock(data_dir)
    try:
        vault = Vault(data_dir, secrets.token_bytes)
        (result,) = vault.commit([Create(request, who or f"uid:{os.geteuid()}")], time.time())
    finally:
        lock.release()
    if isinstance(result, Applied) and isinstance(result.answer, TokenCreateAnswer):
        return result.answer
    raise result if isinstance(result, MajulaError) else InternalError("the token was not made")


def main(arguments: list[str] | None = None) -> None:
    """Ends the process: 0, or with the reason on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) > 1 or any(argument.startswith("-") for argument in given):
        print("usage: python -m majula.runner.tokens [CONFIG] < request.json", file=sys.stderr)
        sys.exit(USAGE)
    try:
        loaded = load_node_config(Path(given[0]) if given else None)
        request = msgspec.json.decode(sys.stdin.buffer.read(REQUEST_BYTES), type=TokenCreateRequest)
        answer = create_token(Path(loaded.config.data_dir), request)
    except ConfigError as error:
        print("\n".join(error.problems) or error.message, file=sys.stderr)
        sys.exit(BAD_CONFIG)
    except NodeExit as error:
        print(f"majula: {error.reason}", file=sys.stderr)
        sys.exit(error.code)
    except (MajulaError, msgspec.DecodeError) as error:
        print(f"majula: {error}", file=sys.stderr)
        sys.exit(USAGE)
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")


if __name__ == "__main__":
    main()
