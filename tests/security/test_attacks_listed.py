"""Every attack that is due has a test by its number, somewhere below `tests`; what is not due yet stands here with its reason."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]

DUE = {
    1: "scan of a default install",
    2: "a listener beyond loopback without TLS and proof",
    3: "a default or weak token",
    4: "wrong tokens",
    5: "comparison of secrets",
    6: "WebSocket of another site",
    7: "foreign Host",
    8: "cross-site POST",
    9: "GET that changes something",
    10: "a token in a URL",
    11: "request smuggling; direct, a proxy of our own comes later",
    12: "slow clients",
    13: "bombs",
    14: "broken WebSockets",
    15: "beyond the scopes",
    16: "one id, two clients",
    17: "a hundred thousand of everything",
    18: "control characters",
    21: "a token that is revoked",
    22: "generated requests",
    59: "pickles, other users",
    60: "a second runner",
    61: "what YAML guesses",
    62: "secrets in what is shown; the bundle for support comes later",
    63: "floods of the log",
    64: "fuzzing",
    65: "unsafe calls",
}

LATER = {
    "19 and 20": "there is no console yet",
    "23 to 58": "there are no links, tunnels, proxies, files, signaling servers and groups yet",
}


def tests_by_number() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_a"):
                for word in node.name.split("_")[1:4]:
                    if word[:1] == "a" and word[1:].isdigit():
                        found.setdefault(int(word[1:]), []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def test_every_attack_that_is_due_has_a_test() -> None:
    assert set(DUE) - set(tests_by_number()) == set()


def test_attacks_on_the_gateway_and_the_host_are_tried_in_this_folder() -> None:
    here = {
        number for number, names in tests_by_number().items() if any(name.startswith(("security/", "fuzz/")) for name in names)
    }
    assert set(DUE) - here == set()
