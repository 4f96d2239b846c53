"""The list of all decoders that are tried."""

from __future__ import annotations

from tests.fuzz import cores, texts, wire
from tests.fuzz.engine import Decoder

DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in (*wire.DECODERS, *texts.DECODERS, *cores.DECODERS)}
