"""What `python -m majula.runner` does beside running a node: `check`, `template`, `init`. Nothing here needs a node that runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from majula.api.entrance import server_context
from majula.auth.operations import TokenCreateRequest
from majula.config.check import Checked, check_file
from majula.config.files import made_name, shown, write_whole
from majula.config.load import load_node_config
from majula.config.template import first_node_file, node_template, signaling_template
from majula.errors import ConfigError
from majula.runner.exits import BAD_CONFIG, OK, USAGE, NodeExit
from majula.runner.tokens import create_token

_EVERYTHING = "*:*"


def check(arguments: list[str]) -> int:
    """`check FILE [--json]`: problems, warnings, what becomes reachable from where.

    Returns:
        BAD_CONFIG where a node does not start with the file.
    """
    names = [word for word in arguments if word != "--json"]
    if len(names) != 1:
        raise NodeExit(USAGE, "usage: python -m majula.runner check FILE [--json]")
    found = check_file(Path(names[0]), certificate=_certificate)
    if "--json" in arguments:
        print(json.dumps({"kind": found.kind, "starts": found.starts, **_parts(found)}))
    else:
        for line in _told(found, names[0]):
            print(line)
    return OK if found.starts else BAD_CONFIG


def template(arguments: list[str]) -> int:
    """`template [node|signaling]`: every setting with its default."""
    kinds = {"node": node_template, "signaling": signaling_template}
    if len(arguments) > 1 or not set(arguments) <= set(kinds):
        raise NodeExit(USAGE, "usage: python -m majula.runner template [node|signaling]")
    sys.stdout.write(kinds[arguments[0] if arguments else "node"]())
    return OK


def init(arguments: list[str]) -> int:
    """`init FILE [--force]`: a first configuration, and the first token, which may do everything and is shown this once.

    The file names the node and its data directory (beside the file), so that both are the same wherever the node is started.
    """
    names = [word for word in arguments if word != "--force"]
    if len(names) != 1:
        raise NodeExit(USAGE, "usage: python -m majula.runner init FILE [--force]")
    path = Path(names[0]).absolute()
    if path.exists():
        if "--force" not in arguments:
            raise NodeExit(
                USAGE, f"{shown(path)} is there already: give another name, or --force (the old one is kept beside it)"
            )
        path.replace(path.with_name(f"{path.name}.old"))
    name = made_name()
    data_dir = path.parent / "majula-data" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, first_node_file(node_id=name, data_dir=str(data_dir)).encode(), mode=0o600)
    except OSError as error:
        raise NodeExit(USAGE, f"{shown(path)} cannot be written: {error.strerror}") from error
    loaded = load_node_config(path)
    answer = create_token(Path(loaded.config.data_dir), TokenCreateRequest(scopes=(_EVERYTHING,), note="first token, by init"))
    port = loaded.config.majula_servers[0].port
    print(f"wrote {shown(path)}: node {name}, one gateway on 127.0.0.1:{port}, for clients with a token")
    print(f"token {answer.token.id}, which may do everything, shown this once:")
    print(answer.secret)
    print(f"start the node:  majula node run {shown(path)}")
    return OK


WORDS: Mapping[str, Callable[[list[str]], int]] = {"check": check, "template": template, "init": init}
"""What stands where a configuration would. A file of such a name is given as `./check`."""


def _certificate(cert_file: str, key_file: str) -> str:
    """Why a certificate cannot be used; empty: it can."""
    try:
        server_context(cert_file, key_file)
    except ConfigError as error:
        return error.message
    return ""


def _parts(found: Checked) -> dict[str, list[str]]:
    return {
        "problems": list(found.problems),
        "warnings": list(found.warnings),
        "inactive": list(found.inactive),
        "reachable": list(found.reachable),
    }


def _told(found: Checked, name: str) -> list[str]:
    lines = [f"problem: {line}" for line in found.problems]
    lines += [f"warning: {line}" for line in found.warnings]
    lines += [f"not active in this version: {line}" for line in found.inactive]
    lines += [f"reachable: {line}" for line in found.reachable]
    verdict = "can be used" if found.starts else "cannot be used" if found.problems else "is refused at start"
    return [*lines, f"{name}: {verdict}"]
