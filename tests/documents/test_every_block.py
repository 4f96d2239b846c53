"""Every fenced block of every document is run, or says why it is not; every link and anchor leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cluster.node_rig import REPOSITORY
from tests.documents.blocks import blocks_of

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "cluster_configs/**/*.md")
    for path in REPOSITORY.glob(pattern)
)

RUN_BY = {
    # document: (the test that runs its blocks, languages of the blocks that it runs or holds their output against)
    "README.md": ("documents/test_readme.py", "console python"),
    "docs/tutorial/README.md": ("documents/test_tutorial.py", "console python"),
    "docs/guides/cli.md": ("documents/test_walked_guides.py", "console"),
    "docs/guides/configuration.md": ("documents/test_configuration_guide.py", "console yaml"),
    "docs/guides/http.md": ("documents/test_http_guide.py", "console python text"),
    "docs/guides/insight.md": ("documents/test_insight_guide.py", "console python"),
    "docs/guides/messages.md": ("documents/test_sdk_guides.py", "python text"),
    "docs/guides/operations.md": ("documents/test_walked_guides.py", "console"),
    "docs/guides/presence.md": ("documents/test_sdk_guides.py", "python text"),
    "docs/guides/rpc.md": ("documents/test_sdk_guides.py", "python text"),
    "docs/guides/sdk.md": ("documents/test_sdk_guides.py", "python text"),
    "docs/guides/security.md": ("documents/test_security_guide.py", "console yaml"),
    "docs/guides/sync.md": ("documents/test_sdk_guides.py", "python text"),
    "docs/guides/testing.md": ("documents/test_testing_guide.py", "python text"),
    "docs/guides/topics.md": ("documents/test_sdk_guides.py", "python text"),
    "docs/guides/websocket.md": ("documents/test_walked_guides.py", "python text"),
    "docs/migration.md": ("documents/test_walked_guides.py", "yaml"),
    "docs/protocol.md": ("unit/wire/test_vectors.py", "python"),
    # Made from declarations: the blocks are signatures, and an example that is loaded.
    "docs/reference/configuration.md": ("unit/config/test_reference.py", "yaml"),
    "docs/reference/sdk.md": ("unit/sdk/test_reference.py", "text"),
}

NOT_RUN = 8
"""Blocks that no test runs, each with its reason above it. A new one is a decision: raise this number with it."""


def name_of(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def anchors_of(document: Path) -> set[str]:
    """As GitHub makes them from headings."""
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose, re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeated = next(number for number in range(100) if (f"{slug}-{number}" if number else slug) not in found)
        found.add(f"{slug}-{repeated}" if repeated else slug)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block_is_run_or_says_why_not(document: Path) -> None:
    runner, languages = RUN_BY.get(name_of(document), ("", ""))
    blocks = [block for block in blocks_of(document.read_text()) if not block.not_run]
    assert [block.text[:60] for block in blocks if block.language not in languages.split()] == []
    assert not blocks or (REPOSITORY / "tests" / runner).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_fence_escapes_the_count(document: Path) -> None:
    text = document.read_text()
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(blocks_of(text))


def test_blocks_that_are_not_run_are_counted() -> None:
    found = [(name_of(path), block.not_run) for path in DOCUMENTS for block in blocks_of(path.read_text()) if block.not_run]
    assert len(found) == NOT_RUN, found


def test_every_document_that_is_run_is_there() -> None:
    assert RUN_BY.keys() <= {name_of(path) for path in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, anchor = target.partition("#")
        there = (document.parent / path) if path else document
        if "://" not in target and not (there.exists() and (not anchor or anchor in anchors_of(there))):
            broken.append(target)
    assert broken == []
    # An address on the web is not looked at: a test must not need the web. There are few, and none in a guide.


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if "decisions" not in path.parts], ids=name_of)
def test_every_document_is_reached_from_the_index(document: Path) -> None:
    index = REPOSITORY / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", index.read_text())}
    assert document.parent == REPOSITORY or document in {index, *linked}
