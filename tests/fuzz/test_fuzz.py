"""A64: every decoder for some seconds, and first with everything that has ever broken one.

The time for each is short because there are many: `python -m tests.fuzz DECODER --minutes 10` is the long run.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from tests.fuzz.decoders import DECODERS
from tests.fuzz.engine import CORPUS, Decoder, Finding, check, corpus_of, guarded, run

SECONDS = float(os.environ.get("MAJULA_FUZZ_SECONDS", "8"))

# What an input may cost is a figure of a quiet machine, and a test run shares its cores and caches with the nodes of other tests:
# here what grows with the square of its input is found, the 100 ms are looked at by hand.
PATIENT = {name: replace(decoder, limit_ms=5 * decoder.limit_ms) for name, decoder in DECODERS.items()}


@pytest.mark.parametrize("name", DECODERS)
def test_a64_what_has_broken_a_decoder_does_so_no_more(name: str) -> None:
    with guarded():
        for data in corpus_of(name):
            check(PATIENT[name], data)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", DECODERS)
def test_a64_decoder_neither_raises_nor_hangs_nor_grows(name: str) -> None:
    seed = time.time_ns() % (1 << 31)
    print(f"seed {seed}")
    assert run(PATIENT[name], seconds=SECONDS, seed=seed) > 0


def test_corpus_has_no_folder_without_a_decoder() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= set(DECODERS)


# --- the watch itself


def test_input_that_raises_is_found() -> None:
    def feed(data: bytes) -> None:
        assert b"\xff\xff" not in data

    with pytest.raises(Finding) as caught:
        run(Decoder("none", feed, lambda random: random.randbytes(8)), seconds=30.0, seed=1)
    assert caught.value.what == "raised" and b"\xff\xff" in caught.value.data


def test_input_that_takes_too_long_is_found() -> None:
    def feed(data: bytes) -> None:
        for _ in range(len(data) ** 2):
            pass

    with pytest.raises(Finding) as caught, guarded():
        check(Decoder("none", feed, lambda random: b"", limit_ms=5.0), bytes(3_000))
    assert caught.value.what == "slow"


@pytest.mark.slow
def test_input_that_never_ends_is_found() -> None:
    def feed(data: bytes) -> None:
        while True:
            pass

    with pytest.raises(Finding) as caught, guarded():
        check(Decoder("none", feed, lambda random: b""), b"x")
    assert caught.value.what == "hangs"


@pytest.mark.slow
def test_decoder_that_grows_is_found() -> None:
    kept: list[bytes] = []

    def feed(data: bytes) -> None:
        if len(kept) < 200_000:
            kept.append(bytes(2_048) + data)

    with pytest.raises(Finding) as caught:
        run(Decoder("none", feed, lambda random: random.randbytes(8)), seconds=3.0, seed=1)
    assert caught.value.what == "grew"
