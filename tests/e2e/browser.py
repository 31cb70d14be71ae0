"""A real Chromium, and a tab of it that forgives nothing."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


PATIENCE: Final = 10_000
"""Milliseconds that a page may take to say what is expected; many times what it takes."""

WIDTHS: Final = (1280, 390)
THEMES: Final = ("light", "dark")

# Nothing is wider than the window, and no text is cut off by its box: ellipsis, hidden overflow.
_CUT_OFF: Final = """() => {
  const found = [];
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) found.push(`the page is ${wide} px too wide`);
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest("svg, .skip, thead, script")) continue;
    const box = element.getBoundingClientRect();
    if (getComputedStyle(element).opacity === "0" || !box.width) continue;
    const name = `${element.nodeName} ${element.className} ${element.textContent.slice(0, 40)}`;
    if (box.right > window.innerWidth + 1 || box.left < -1) found.push(`outside: ${name}`);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth
        && getComputedStyle(element).display !== "inline" && element.nodeName !== "INPUT")
      found.push(`cut off: ${name}`);
  }
  return found;
}"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a browser without a window."""
    path = require_tool("chromium")
    async with async_playwright() as playwright:
        # Its sandbox needs privileges that a container does not give; it sees our own pages only.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """A page in the browser.

    Attributes:
        page: of Playwright.
        said: what the console said, and errors of scripts.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def row(self, vm: str) -> Any:
        """The row of a machine."""
        return self.page.locator(f"tr[data-key={vm!r}]")

    def event(self, name: str) -> Any:
        """The entries of an event in the list."""
        exact = re.compile(f"^{re.escape(name)}$")
        return self.page.locator("#log li").filter(has=self.page.locator("b", has_text=exact))

    async def live(self) -> None:
        """Wait until the page is kept up to date."""
        await expect(self.page.locator("#live")).to_have_text("Live")

    async def serious(self) -> list[str]:
        """What axe finds serious or critical."""
        results = await Axe().run(self.page)
        return [
            f"{found['id']}: {node['html']}"
            for found in results.response["violations"]
            if found["impact"] in {"serious", "critical"}
            for node in found["nodes"]
        ]

    async def cut_off(self) -> list[str]:
        """What does not have the room that it needs."""
        found: list[str] = await self.page.evaluate(_CUT_OFF)
        return found


@asynccontextmanager
async def tab(browser: Browser, url: str = "", **options: Any) -> AsyncIterator[Tab]:
    """Open a tab; at the end its console must have said nothing.

    Args:
        browser: where.
        url: what to look at.
        options: of the browser's context.
    """
    context = await browser.new_context(**options)
    try:
        opened = Tab(await context.new_page())
        opened.page.set_default_timeout(PATIENCE)
        if url:
            await opened.page.goto(url)
        yield opened
    finally:
        await context.close()
    assert opened.said == []


expect.set_options(timeout=PATIENCE)
