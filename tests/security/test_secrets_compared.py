"""A05: no secret is compared in a way that stops at the first difference; a lookup takes the same time whatever is guessed."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev
from time import perf_counter_ns

import pytest

from majula.auth import TokenBook, TokenEntry, digest_of, make_token
from majula.auth.book import encode_entry
from majula.errors import Unauthorized

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "majula", ROOT / "actors", ROOT / "api")
WORDS = ("secret", "token", "digest", "password", "bearer", "credential", "cookie", "proof", "hash")

# No secret on either side: the name of a token, which opens nothing; what a file says with what the same file has said.
ALLOWED = {
    ("majula/auth/desk.py", "change.token == change.who"),
    ("majula/config/load.py", "token != config.token"),
}


def compared(text: str) -> Iterator[str]:
    """Every `==` and `!=` with a side that is named like a secret, unless the other is a constant in capitals or a literal."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
            sides = [node.left, *node.comparators]
            names = [
                side.id if isinstance(side, ast.Name) else side.attr if isinstance(side, ast.Attribute) else "" for side in sides
            ]
            is_harmless = any(isinstance(side, ast.Constant) for side in sides) or any(name.isupper() for name in names)
            if not is_harmless and any(word in name.lower() for name in names for word in WORDS):
                yield ast.unparse(node)


def files() -> list[Path]:
    found = []
    for folder in FOLDERS:
        for directory, _, names in os.walk(folder):  # links are not followed: each file once
            found += [Path(directory, name) for name in names if name.endswith(".py")]
    return sorted(found)


def test_a05_no_secret_is_compared_by_equality() -> None:
    found = {(str(path.relative_to(ROOT)), text) for path in files() for text in compared(path.read_text())}
    assert found <= ALLOWED


@pytest.mark.parametrize("text", ["token == given", "self.secret != x", "a.digest == b.digest", "x == self._cookie"])
def test_comparison_of_a_secret_is_found(text: str) -> None:
    assert list(compared(text)) == [text]


@pytest.mark.slow
def test_a05_lookup_takes_the_same_time_however_near_the_guess_is() -> None:
    real = make_token(bytes(range(32))).reveal()
    book = TokenBook()
    others = [make_token(bytes([n % 256, n // 256]) + bytes(30)).reveal() for n in range(1_000)]
    entries = {digest_of(token): encode_entry(TokenEntry(f"tok-{n}", (), ())) for n, token in enumerate([real, *others])}
    book.update(entries, ())
    near = [real[:-1] + letter for letter in "ABCDEFGHIJ" if letter != real[-1]]
    far = ["mjl_" + letter * 43 for letter in "abcdefghij"]
    spent_ns: dict[str, list[int]] = {"near": [], "far": []}
    for number in range(10_000):
        for name, guesses in (("near", near), ("far", far)):
            guess = guesses[number % len(guesses)]
            began = perf_counter_ns()
            with pytest.raises(Unauthorized):
                book.find(guess, 0.0)
            spent_ns[name].append(perf_counter_ns() - began)
    # Without the slowest hundredth: another process that had the core says nothing about the lookup.
    kept = {name: sorted(spent)[:-100] for name, spent in spent_ns.items()}
    noise_ns = max(pstdev(spent) for spent in kept.values())
    assert abs(fmean(kept["near"]) - fmean(kept["far"])) < noise_ns
