"""Makes inputs and watches what a decoder does with them. The same seed makes the same inputs, whatever the machine's pace."""

from __future__ import annotations

import gc
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType

CORPUS = Path(__file__).parent / "corpus"

INPUT_BYTES = 65_536
LIMIT_MS = 100.0
GROWTH_BYTES = 32 << 20
_HANG_S = 5.0
# So much of the time passes before memory is looked at: caches are full then.
_WARM = 0.3
_KEPT = 512
_PAGE_BYTES = resource.getpagesize()
_NUMBERS = (0, 1, 2, 7, 8, 63, 64, 125, 126, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True)
class Decoder:
    """Something that reads.

    Attributes:
        feed: reads an input; whatever it raises is a finding. What is right to refuse is caught in it.
        grow: makes an input that is right, or nearly.
        words: what is put into inputs, besides what stands in others.
        input_bytes: the largest input. Less than 64 KiB where it is read in parts or in a thread.
        limit_ms: CPU that one input may take.
    """

    name: str
    feed: Callable[[bytes], object]
    grow: Callable[[Random], bytes]
    words: tuple[bytes, ...] = ()
    input_bytes: int = INPUT_BYTES
    limit_ms: float = LIMIT_MS


class Finding(Exception):
    """An input that did what none may.

    Attributes:
        data: the input.
        what: `raised`, `slow`, `hangs` or `grew`.
    """

    def __init__(self, what: str, data: bytes, more: str) -> None:
        super().__init__(f"{what}: {more}; input of {len(data)} bytes: {data[:200]!r}")
        self.what = what
        self.data = data


class _Hangs(BaseException):
    """No `Exception`: what is fed must not catch it."""


def corpus_of(name: str) -> list[bytes]:
    """The inputs that are kept for a decoder, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*")) if path.is_file()]


def keep(name: str, data: bytes, what: str) -> Path:
    """Put a finding into the corpus."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(path.name.startswith(what) for path in folder.iterdir()) + 1
    path = folder / f"{what}-{number}"
    path.write_bytes(data)
    return path


def check(decoder: Decoder, data: bytes) -> None:
    """Feed one input.

    Raises:
        Finding: it raised, or took longer than it may.
    """
    spent_s = _feed(decoder, data)
    if spent_s * 1e3 > decoder.limit_ms:
        # Another process may have thrown out the cache, the collector may have run: the best of four says what the input costs.
        spent_s = min(spent_s, *(_feed(decoder, data) for _ in range(3)))
        if spent_s * 1e3 > decoder.limit_ms:
            raise Finding("slow", data, f"{spent_s * 1e3:.0f} ms of CPU, {decoder.limit_ms:g} are allowed")


def run(decoder: Decoder, *, seconds: float, seed: int) -> int:
    """Feed the decoder for so long; how many inputs it was.

    Raises:
        Finding: the first.
    """
    ends_at = time.monotonic() + seconds
    warm_at = ends_at - seconds * (1 - _WARM)
    warm_bytes = 0
    count = 0
    with guarded():
        for data in inputs(decoder, Random(seed)):
            check(decoder, data)
            count += 1
            if count % 64 == 0:
                now = time.monotonic()
                if not warm_bytes and now >= warm_at:
                    warm_bytes = resident_bytes()
                if now >= ends_at:
                    break
    grown_bytes = resident_bytes() - warm_bytes
    if warm_bytes and grown_bytes > GROWTH_BYTES:
        raise Finding("grew", b"", f"{grown_bytes >> 20} MiB more resident memory after {count} inputs")
    return count


def inputs(decoder: Decoder, random: Random) -> Iterator[bytes]:
    """The corpus, then without end inputs that are grown, changed and put together."""
    pool = corpus_of(decoder.name) or [b""]
    yield from pool
    while True:
        choice = random.random()
        if choice < 0.4 or len(pool) < 8:
            data = decoder.grow(random)[: decoder.input_bytes]
            if len(pool) < _KEPT:
                pool.append(data)
            else:
                pool[random.randrange(_KEPT)] = data
        else:
            data = random.choice(pool)
        for _ in range(random.choice((0, 1, 1, 2, 4, 8)) if choice < 0.95 else 32):
            data = _changed(data, decoder, pool, random)
        yield data[: decoder.input_bytes]


@contextmanager
def guarded() -> Iterator[None]:
    """Within it, an input that takes 5 s of CPU is stopped."""
    before = signal.signal(signal.SIGVTALRM, _stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def resident_bytes() -> int:
    """Memory of this process, after a collection."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def parts_of(data: bytes) -> list[bytes]:
    """The data in some parts, as a socket may give it: the first byte says how large."""
    size = 1 + (data[0] if data else 0) % 61
    return [data[at : at + size] for at in range(0, len(data), size)]


def _feed(decoder: Decoder, data: bytes) -> float:
    signal.setitimer(signal.ITIMER_VIRTUAL, _HANG_S)
    began = time.thread_time()
    try:
        decoder.feed(data)
    except _Hangs:
        raise Finding("hangs", data, f"over {_HANG_S:g} s of CPU") from None
    except Exception as error:
        raise Finding("raised", data, f"{type(error).__name__}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return time.thread_time() - began


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Hangs


def _changed(data: bytes, decoder: Decoder, pool: list[bytes], random: Random) -> bytes:
    """The input with one change."""
    size = len(data)
    at = random.randint(0, size)
    until = min(size, at + random.choice((1, 1, 2, 4, 8, 32, 256)))
    match random.randrange(10):
        case 0:
            return data[:at] + bytes((random.randrange(256),)) + data[until:]
        case 1:
            return data[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]
        case 2:
            return data[:at] + data[until:]
        case 3:
            return data[:until] + data[at:]
        case 4:
            return data[:at]
        case 5:
            other = random.choice(pool)
            return data[:at] + other[random.randint(0, len(other)) :]
        case 6:
            # A piece many times over: what is quadratic shows itself here.
            piece = data[at:until]
            return (
                data[:at] + piece * min(random.choice((2, 16, 256, 65_536)), decoder.input_bytes // (len(piece) or 1)) + data[at:]
            )
        case 7:
            number = random.choice(_NUMBERS)
            width = random.choice((1, 2, 4, 8))
            order = random.choice(("little", "big"))
            written = (number % (1 << 8 * width)).to_bytes(width, "little" if order == "little" else "big")
            return data[:at] + written + data[at + width :]
        case 8:
            return data[:at] + os.fsencode(str(random.choice(_NUMBERS))) + data[until:]
        case _:
            word = random.choice(decoder.words) if decoder.words else b"\xff" * 4
            return data[:at] + word + data[random.choice((at, until)) :]


__all__ = ["Decoder", "Finding", "check", "corpus_of", "guarded", "inputs", "keep", "parts_of", "resident_bytes", "run"]
