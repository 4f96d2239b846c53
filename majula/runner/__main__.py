"""`python -m majula.runner [CONFIG]`: run a node in the foreground; or one of `words`."""

from __future__ import annotations

import sys
from pathlib import Path

from majula.runner.exits import WRONG_SYSTEM

if sys.platform != "linux":  # said before the imports below, which fail on other systems
    print(f"majula: a node needs Linux and this is {sys.platform}; clients run here, give them a node's address", file=sys.stderr)
    sys.exit(WRONG_SYSTEM)

from majula.api.entrance import server_context
from majula.config import load_node_config
from majula.errors import ConfigError, MajulaError
from majula.runner.environment import forget_variables
from majula.runner.exits import BAD_CONFIG, USAGE, NodeExit
from majula.runner.node import Node
from majula.runner.plan import make_plan

_WORDS = ("check", "template", "init")
_USAGE = """\
usage: python -m majula.runner [CONFIG]
       python -m majula.runner check FILE [--json] | template [node|signaling] | init FILE [--force]

Runs a node by the YAML file CONFIG; without it: node1 with one gateway on 127.0.0.1:18080. SIGHUP reads the file again.
Or checks FILE; prints a file with every setting; writes a first FILE and makes the first token.
exit codes: 0 stopped, 64 usage, 69 cannot listen, 70 a vital part crashed, 71 not Linux, 75 already running, 78 bad configuration
"""


def main(arguments: list[str] | None = None) -> None:
    """Ends the process with the node's exit code; the reason of any but 0 is the last line on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    if any(argument in ("-h", "--help") for argument in given):
        print(_USAGE, end="")
        sys.exit(0)
    is_word = bool(given) and given[0] in _WORDS
    if not is_word and (len(given) > 1 or any(argument.startswith("-") for argument in given)):
        print(_USAGE, end="", file=sys.stderr)
        sys.exit(USAGE)
    try:
        if is_word:
            from majula.runner.words import WORDS  # noqa: PLC0415 - a node that runs has no use for it

            sys.exit(WORDS[given[0]](given[1:]))
        loaded = load_node_config(Path(given[0]) if given else None)
        if loaded.refusals:
            raise ConfigError(problems=loaded.refusals)
        for entry in loaded.config.majula_servers:
            if entry.tls is not None:
                # Each gateway loads its own; here a bad one ends the start instead of each gateway's.
                server_context(entry.tls.cert_file, entry.tls.key_file)
        forget_variables(loaded.secret_variables)
        code = Node(loaded, make_plan(loaded.config, loaded=loaded)).run()
    except ConfigError as error:
        print("\n".join(error.problems) or error.message, file=sys.stderr)
        print("majula: the configuration cannot be used", file=sys.stderr)
        sys.exit(BAD_CONFIG)
    except MajulaError as error:
        print(f"majula: {error.message}", file=sys.stderr)
        sys.exit(USAGE)
    except NodeExit as error:
        print(f"majula: {error.reason}", file=sys.stderr)
        sys.exit(error.code)
    sys.exit(code)


if __name__ == "__main__":
    main()
