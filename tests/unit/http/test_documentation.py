"""The documentation page is whole, ours alone, and in the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import aiohttp
import pytest

from majula.api.http.documentation import PageFile, page_files
from tests.edges import serve_http

ROOT = Path(__file__).parents[3]
FILES = {file.path: file for file in page_files()}


def test_every_file_is_in_the_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    there = {path.name for path in (ROOT / "api" / "http" / "documentation").iterdir() if path.is_file()} - {"__init__.py"}
    assert set(listed["majula.api.http.documentation"]) == there


def test_gateway_that_starts_again_needs_no_file_that_an_upgrade_may_have_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", gone)
    assert [file.path for file in page_files()] == list(FILES)


def test_the_page_loads_what_is_served_and_nothing_else() -> None:
    page = FILES["/majula/docs"].body.decode()
    loaded = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert loaded == set(FILES) - {"/majula/docs"} | {"/majula/openapi.json"}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_nothing_comes_from_another_site(file: PageFile) -> None:
    assert not re.search(rb"https?://|\burl\(|@import|//[a-z0-9.-]+\.[a-z]{2,}/", file.body)


def test_nothing_stands_inline_and_nothing_is_read_as_html() -> None:
    page, script = FILES["/majula/docs"].body.decode(), FILES["/majula/docs/page.js"].body.decode()
    assert not re.search(r"<style|style=|\son\w+=|<script>|javascript:", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
async def test_each_file_is_served_with_its_type_and_policy(file: PageFile) -> None:
    async with serve_http() as served, aiohttp.ClientSession(served.url) as web, web.get(file.path) as response:
        assert (response.status, response.content_type, await response.read()) == (200, file.content_type, file.body)
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
