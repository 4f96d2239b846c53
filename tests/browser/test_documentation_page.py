"""The documentation page in a browser: whole, silent, and of use without a mouse."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.edges import Served, serve_http

if TYPE_CHECKING:
    from playwright.async_api import Page

playwright = pytest.importorskip("playwright.async_api", reason="the page is looked at with playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="the page is looked at with Debian's chromium")]


class Shown:
    """The page as it is shown, and what it has complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found


@pytest.fixture
async def shown(served: Served) -> AsyncIterator[Shown]:
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # as root Chromium has none
    async with playwright.async_playwright() as tool:
        browser = await tool.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        try:
            found = Shown(await browser.new_page())
            await found.page.goto(f"{served.url}/majula/docs")
            await found.page.locator("details").first.wait_for(state="attached")
            yield found
        finally:
            await browser.close()


async def test_every_operation_is_shown_and_nothing_is_complained_of(served: Served, shown: Shown) -> None:
    async with aiohttp.ClientSession(served.url) as web, web.get("/majula/openapi.json") as response:
        paths = (await response.json())["paths"]
    operations = [one for methods in paths.values() for one in methods.values()]
    assert await shown.page.locator("details").count() == len(operations)
    built = [one for one in operations if not one.get("x-not-built")]
    assert await shown.page.locator("details:visible").count() == len(built)
    assert await shown.page.inner_text("#state") == f"{len(built)} operations"
    assert shown.complaints == []


async def test_nothing_is_asked_of_anybody_else(served: Served, shown: Shown) -> None:
    assert {url.removeprefix(served.url) for url in shown.asked} <= {
        "/majula/docs",
        "/majula/docs/page.css",
        "/majula/docs/page.js",
        "/majula/openapi.json",
        "/favicon.ico",
    }


async def test_words_narrow_the_list(shown: Shown) -> None:
    await shown.page.fill("#search", "tokens post")
    assert await shown.page.locator("details:visible .path").all_inner_texts() == ["/majula/v1/tokens"]


async def test_what_is_not_built_is_shown_when_it_is_asked_for(shown: Shown) -> None:
    await shown.page.fill("#search", "/majula/v1/tunnels")
    assert await shown.page.locator("details:visible").count() == 0
    await shown.page.check("#later")
    assert await shown.page.locator("details:visible .tag").first.inner_text() == "not built yet"


async def test_an_operation_is_opened_by_the_keyboard_and_gives_a_line_to_try(served: Served, shown: Shown) -> None:
    operation = shown.page.locator('details[id="rpc.call"]')
    await operation.locator("summary").focus()
    await shown.page.keyboard.press("Enter")
    line = await operation.locator("pre").inner_text()
    assert line == f"""curl -s --json '{{"function":"example"}}' '{served.url}/majula/v1/calls'"""


async def test_a_link_to_an_operation_opens_it(served: Served, shown: Shown) -> None:
    await shown.page.goto(f"{served.url}/majula/docs#sessions.open")
    await shown.page.reload()
    await shown.page.locator('details[id="sessions.open"][open]').wait_for()
