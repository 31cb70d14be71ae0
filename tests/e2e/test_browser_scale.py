"""The page of large fleets in a real Chromium: still quick, and honest about what it leaves out."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from e2e.browser import tab
from e2e.fleets import Fleet
from e2e.page import exporting
from qmp_exporter.catalog.states import TargetState


if TYPE_CHECKING:
    from playwright.async_api import Browser, Route


log = logging.getLogger(__name__)
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_thousand_machines(browser: Browser) -> None:
    """All are there; a row that changes is first, a search finds one, and the place is kept."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        for number in range(1000):
            fleet.begin(f"vm-{number}")
        async with tab(browser) as shown:
            began = monotonic()
            await shown.page.goto(exporter.url)
            await expect(shown.page.locator("tr[data-key]")).to_have_count(1000)
            log.info("%.2f s to a thousand rows", monotonic() - began)
            await shown.live()
            await shown.row("vm-500").get_by_role("link").focus()
            place = await shown.page.evaluate("scrollY")
            assert place > 10_000
            began = monotonic()
            fleet.event("vm-999", "STOP", status="paused")
            await expect(shown.row("vm-999")).to_contain_text("paused")
            log.info("%.2f s to a change of a row", monotonic() - began)
            await expect(shown.row("vm-500").get_by_role("link")).to_be_focused()
            assert abs(await shown.page.evaluate("scrollY") - place) < 200  # one row moved up
            first = shown.page.locator("tr[data-key]").first
            await expect(first).to_contain_text("vm-999")
            began = monotonic()
            await shown.page.get_by_label("Search").press_sequentially("vm-77")
            await expect(shown.page.get_by_text("11 of 1,000 found")).to_be_visible()
            log.info("%.2f s to find", monotonic() - began)
            await expect(shown.page.locator("tr[data-key]")).to_have_count(11)
            await shown.page.get_by_label("Search").fill("")
            await expect(shown.page.locator("tr[data-key]")).to_have_count(1000)


async def test_more_machines_than_are_shown(browser: Browser) -> None:
    """Those in trouble are shown, the others are found."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        for number in range(3000):
            fleet.begin(f"vm-{number}")
        fleet.link("vm-2876", TargetState.UNRESPONSIVE)
        async with tab(browser, exporter.url) as shown:
            await expect(shown.page.get_by_text("3,000 in all; the first 1,000")).to_be_visible()
            await expect(shown.page.locator("tr[data-key]").first).to_contain_text("vm-2876")
            await shown.live()
            await shown.page.get_by_label("Search").press_sequentially("vm-2765")
            await expect(shown.row("vm-2765")).to_contain_text("running")
            fleet.event("vm-2765", "STOP", status="paused")
            await expect(shown.row("vm-2765")).to_contain_text("paused")


async def test_a_storm(browser: Browser) -> None:
    """Told in few words, all of it counted, and what else happens is seen."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        for name in ("web", "db"):
            fleet.begin(name)
        async with tab(browser, exporter.url) as shown:
            await shown.live()
            for at in range(20_000):
                fleet.event("web", "RESUME")
                if at == 10_000:
                    fleet.event("db", "STOP", status="paused")
                if at % 200 == 0:
                    await asyncio.sleep(0)
            await expect(shown.row("web")).to_contain_text("20,000 in all")
            await expect(shown.event("STOP")).to_contain_text("db")
            await expect(shown.row("db")).to_contain_text("paused")
            more = shown.page.get_by_text("more within a second")
            await expect(more.first).to_be_visible()
            exporter.app.page.tick(monotonic() + 2)  # whatever is left of it
            counted = exporter.app.page.journal.newest(5000)
            assert sum(entry.count for entry in counted if entry.event == "RESUME") == 20_000
            assert await shown.page.locator("#log li").count() <= 100


async def test_an_exporter_that_is_slow_to_answer(browser: Browser) -> None:
    """What happens while a page is being fetched does not begin that anew, for ever."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.begin("web")
        async with tab(browser, exporter.url) as shown:
            await shown.live()
            fetched = 0

            async def slowly(route: Route) -> None:
                nonlocal fetched
                fetched += 1
                await asyncio.sleep(2)  # longer than between two fetches
                await route.continue_()

            await shown.page.route(exporter.url + "/", slowly)
            fleet.event("web", "STOP", status="paused")
            row = shown.row("web")
            async with asyncio.timeout(30):
                while "paused" not in await row.inner_text():
                    fleet.event("web", "RTC_CHANGE", {"offset": 1})
                    await asyncio.sleep(0.1)
            assert fetched < 3
            await shown.page.unroute_all(behavior="wait")


async def test_more_windows_than_a_browser_has_connections(browser: Browser) -> None:
    """It has six to a server: a window gives its stream up, and all are kept up to date."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.begin("web")
        context = await browser.new_context()
        pages = [await context.new_page() for _ in range(7)]
        for page in pages[:6]:
            await page.goto(exporter.url)
        for page in pages[:5]:
            await expect(page.locator("#live")).to_have_text("Live")
        fleet.event("web", "STOP", status="paused")
        await pages[6].goto(exporter.url, timeout=40_000)
        for page in pages:
            row = page.locator("tr[data-key=web]")
            await expect(row).to_contain_text("paused", timeout=40_000)
            await expect(page.locator("#log")).to_contain_text("STOP", timeout=40_000)
        await expect(pages[6].locator("#live")).to_have_text("Live")
        words = [await page.locator("#live").inner_text() for page in pages]
        assert "Not live, but anew every 15 s" in words
        await context.close()
