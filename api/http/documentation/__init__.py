"""The documentation page of a gateway, `/majula/docs`: shows the API document of this very gateway, with lines to try out.

`page.html`, `page.css` and `page.js` are ours alone and load nothing from anywhere else; the policy of the answer forbids it.
They are read with this module, before the first process of a node is forked: a gateway that is started again must not need what
an upgrade has taken away meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: nothing inline, nothing from elsewhere, in nobody's frame."""


class PageFile(NamedTuple):
    """One file: below which path it is served, as what, and its bytes."""

    path: str
    content_type: str
    body: bytes


_FOLDER = Path(__file__).parent
_FILES = (
    PageFile("/majula/docs", "text/html", (_FOLDER / "page.html").read_bytes()),
    PageFile("/majula/docs/page.css", "text/css", (_FOLDER / "page.css").read_bytes()),
    PageFile("/majula/docs/page.js", "text/javascript", (_FOLDER / "page.js").read_bytes()),
)


def page_files() -> tuple[PageFile, ...]:
    """The page and what it loads."""
    return _FILES
