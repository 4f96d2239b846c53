"""The reference of packages names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from majula.wire.package import NOT_BUILT
from majula.wire.packages import Packages

WIRE = Path(__file__).parents[3] / "majula" / "wire"
SOURCE = "".join((WIRE / name).read_text() for name in ("package.py", "packages.py", "private.py"))
DOCUMENT = (Path(__file__).parents[3] / "docs" / "reference" / "websocket.md").read_text()
FROM_CLIENT, _, FROM_GATEWAY = DOCUMENT.partition("## From the gateway")


def methods(part: str) -> set[str]:
    return set(re.findall(r"^\| `([A-Z_]+)`", part, re.MULTILINE))


def test_every_method_of_the_reference_is_known() -> None:
    for method in methods(FROM_CLIENT):
        taken = Packages(batches=True, client_id="c").receive(msgspec.json.encode({"method": method}))
        assert not any(b"there is no method" in answer for answer in taken.answers), method


def test_every_method_that_is_served_is_in_the_reference() -> None:
    served = set(re.findall(r'"([A-Z_]+)": self\._', SOURCE))
    assert len(served) > 10 and served | {"BATCH"} == methods(FROM_CLIENT)


def test_no_method_of_the_reference_is_one_that_is_not_built() -> None:
    assert not methods(FROM_CLIENT) & NOT_BUILT


def test_the_reference_names_all_that_a_gateway_says() -> None:
    said = set(re.findall(r'"method": ?"([A-Z_]+)"', SOURCE))
    assert said - {"PUBLISH", "SEND"} <= methods(FROM_GATEWAY)
