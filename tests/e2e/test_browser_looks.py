"""The pages in a real Chromium: for every eye and hand, and with hostile text in every place."""

from __future__ import annotations

from itertools import pairwise
from time import monotonic, time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from e2e.browser import THEMES, WIDTHS, tab
from e2e.fleets import HOSTILE, Fleet
from e2e.page import exporting
from fake_qmp import FakeMonitor
from qmp_exporter.model.inputs import Reply
from qmp_exporter.model.replies import Status
from qmp_exporter.web import stream


if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser


pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
async def test_everybody_can_read_it(browser: Browser, width: int, theme: str) -> None:
    """The tool axe finds nothing serious, and nothing is cut off or beside the window."""
    size = {"width": width, "height": 800}
    async with (
        exporting() as exporter,
        tab(browser, exporter.url, viewport=size, color_scheme=theme) as shown,
    ):
        await shown.live()
        assert await shown.cut_off() == []
        fleet = Fleet(exporter.app)
        fleet.trouble()
        for path in ("", "?q=none+such", "vm?name=db", f"vm?name={'x' * 128}", "vm?name=taken"):
            await shown.page.goto(f"{exporter.url}/{path}")
            await shown.live()
            assert await shown.cut_off() == [], path
            if path in {"", "vm?name=db"}:
                assert await shown.serious() == [], path


@pytest.mark.parametrize("width", [640, 320])
async def test_it_can_be_magnified(browser: Browser, width: int) -> None:
    """Twice and four times in a window of 1280 pixels (WCAG 2.2, 1.4.10): nothing is cut off."""
    size = {"width": width, "height": 256}
    async with exporting() as exporter, tab(browser, viewport=size) as shown:
        Fleet(exporter.app).trouble()
        for path in ("", "vm?name=db", f"vm?name={'x' * 128}"):
            await shown.page.goto(f"{exporter.url}/{path}")
            await shown.live()
            assert await shown.cut_off() == [], path


@pytest.mark.parametrize("width", [*WIDTHS, 320])
async def test_labels_of_a_chart_stand_apart(browser: Browser, width: int) -> None:
    """However long what it shows took, and however narrow it is."""
    size = {"width": width, "height": 800}
    async with exporting() as exporter, tab(browser, viewport=size) as shown:
        fleet = Fleet(exporter.app)
        for span in (8, 59, 3599, 86399 * 9):
            vm = f"vm-{span}"
            fleet.begin(vm, ago=span)
            fleet.event(vm, "RTC_CHANGE", {"offset": 1})
            await shown.page.goto(f"{exporter.url}/vm?name={vm}")
            boxes = await shown.page.locator("svg .scale").evaluate_all(
                "all => all.map(one => one.getBoundingClientRect()).filter(box => box.width)"
                ".map(box => [box.left, box.right]).sort((a, b) => a[0] - b[0])"
            )
            assert len(boxes) >= 2
            assert all(one[1] < next_[0] for one, next_ in pairwise(boxes)), (span, boxes)


async def test_what_is_wrong_comes_first(browser: Browser) -> None:
    """The order of the rows, from what does not answer to what runs."""
    async with exporting() as exporter:
        Fleet(exporter.app).trouble()
        async with tab(browser, exporter.url) as shown:
            names = await shown.page.locator("tbody tr:not(.group) th a").all_text_contents()
            order = ["hung", "db", "web", "cache", "old", "taken", "moving", "x" * 128]
            assert names == order
            await expect(shown.row("moving")).to_contain_text("migration: active")
            await expect(shown.row("moving")).to_contain_text("pass 3")
            await expect(shown.row("moving")).to_contain_text("1 session")
            await expect(shown.row("taken")).to_contain_text("busy")


async def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    """As the name of a machine, of an event, of a disk; before and after it is live."""
    async with (
        FakeMonitor(tmp_path / "a.qmp", name=HOSTILE) as monitor,
        exporting(tmp_path / "a.qmp") as exporter,
        tab(browser) as shown,
    ):
        await monitor.wait_command("query-block")
        await monitor.send_event(HOSTILE[:60])
        await exporter.until("qemu_events_total", 1, event="other")
        await shown.page.goto(exporter.url)
        await shown.live()
        error = {"device": HOSTILE, "operation": "write", "action": "stop"}
        await monitor.send_event("BLOCK_IO_ERROR", error)
        await monitor.send_event("X" + HOSTILE[:50])
        await expect(shown.event("BLOCK_IO_ERROR")).to_contain_text(f"device={HOSTILE}")
        await expect(shown.event("X" + HOSTILE[:50])).to_have_count(1)
        await expect(shown.event(HOSTILE[:60])).to_have_count(1)
        row = shown.page.locator("tbody tr:not(.group)")
        await expect(row).to_contain_text(f"{HOSTILE}: failed")
        await row.get_by_role("link").click()
        await expect(shown.page.locator("h1")).to_have_text(HOSTILE)
        await expect(shown.page).to_have_title(f"{HOSTILE} · qmp-exporter")
        await shown.live()
        await monitor.send_event("Y" + HOSTILE[:50])
        await expect(shown.page.locator(".timeline")).to_contain_text("Y" + HOSTILE[:50])
        assert await shown.page.locator("img:not(svg *), main script").count() == 0
        await shown.page.goto(f"{exporter.url}/?q={quote(HOSTILE)}&vm={quote(HOSTILE)}")
        await expect(shown.page.get_by_label("Search")).to_have_value(HOSTILE)
        await expect(shown.event("BLOCK_IO_ERROR")).to_have_count(1)
        assert await shown.page.locator("img, main script").count() == 0


async def test_search_and_filters(browser: Browser) -> None:
    """Rows follow each key, events follow their filters, and the address keeps both."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.trouble()
        async with tab(browser, exporter.url) as shown:
            await shown.live()
            search = shown.page.get_by_label("Search")
            await search.press_sequentially("io-error disk0")
            await expect(shown.page.get_by_text("1 of 8 found")).to_be_visible()
            await expect(shown.row("web")).to_have_count(0)
            fleet.event("db", "RTC_CHANGE", {"offset": 5})
            await expect(shown.row("db")).to_contain_text("RTC_CHANGE")
            await expect(search).to_be_focused()
            await expect(search).to_have_value("io-error disk0")
            assert shown.page.url.endswith("?q=io-error+disk0")
            await shown.page.get_by_label("Virtual machine", exact=True).fill("web")
            await shown.page.get_by_label("Event", exact=True).fill("STOP")
            await shown.page.keyboard.press("Enter")
            await expect(shown.page.locator("#log li")).to_have_count(1)
            await expect(shown.event("STOP")).to_contain_text("cause=guest-panic")
            for vm, event in (("web", "RESUME"), ("db", "STOP"), ("web", "STOP")):
                fleet.event(vm, event)
            await expect(shown.event("STOP")).to_have_count(2)
            await expect(shown.page.locator("#log li")).to_have_count(2)
            await shown.page.reload()
            await expect(shown.page.locator("#log li")).to_have_count(2)
            await expect(search).to_have_value("io-error disk0")


async def test_keys_only(browser: Browser) -> None:
    """The skip link, the search and the page of a machine, and where one is can be seen."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.trouble()
        async with tab(browser, exporter.url) as shown:
            await shown.live()
            press = shown.page.keyboard.press
            await press("Tab")
            await expect(shown.page.get_by_text("Skip to the content")).to_be_in_viewport()
            await press("Enter")
            await press("Tab")
            await expect(shown.page.get_by_role("link", name="Refresh")).to_be_focused()
            await press("Tab")
            await press("Enter")
            await expect(shown.page.locator("#live")).to_have_text("Paused")
            fleet.event("db", "RESUME", status="running")
            await press("Enter")
            await expect(shown.page.locator("#live")).to_have_text("Live")
            await expect(shown.row("db")).to_contain_text("running")
            while await shown.page.evaluate("document.activeElement.id") != "q":
                await press("Tab")
            await shown.page.keyboard.type("cache")
            await expect(shown.page.get_by_text("1 of 8 found")).to_be_visible()
            link = shown.row("cache").get_by_role("link")
            await press("Tab")
            await press("Tab")
            await expect(link).to_be_focused()
            outline = "e => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth"
            assert await link.evaluate(outline) == "solid2px"
            fleet.event("cache", "RESUME", status="running")  # the row goes to another group
            await expect(shown.page.locator("#running")).to_contain_text("cache")
            await expect(link).to_be_focused()
            await press("Enter")
            await expect(shown.page.locator("h1")).to_have_text("cache")


async def test_a_machine_that_went(browser: Browser) -> None:
    """Its page says so, and so does the address of one that never was."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.begin("web")
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{exporter.url}/vm?name=web")
        await expect(page.locator("#live")).to_have_text("Live")
        fleet.event("web", "STOP")
        exporter.app.pipeline.drop("/run/776562.qmp")
        await expect(page.locator("#live")).to_have_text("This virtual machine is gone")
        answer = await page.goto(f"{exporter.url}/vm?name=web")
        assert answer is not None
        assert answer.status == 404
        await expect(page.locator("body")).to_have_text("no virtual machine of that name is known")
        await context.close()


async def test_too_many_look_on(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without a stream says so, is fetched anew all the same, and takes the next place."""
    monkeypatch.setattr(stream, "STREAMS", 0)
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.begin("web")
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(exporter.url)
        await expect(page.locator("#live")).to_contain_text("trying again")
        fleet.event("web", "STOP", status="paused")
        await expect(page.locator("tr[data-key=web]")).to_contain_text("paused")
        monkeypatch.setattr(stream, "STREAMS", 1)
        await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#log")).to_contain_text("STOP")
        await context.close()


async def test_an_event_of_the_next_exporter_is_no_event_of_the_last(browser: Browser) -> None:
    """It is listed though it has the number of one that is; none is listed twice."""
    async with exporting() as exporter:
        address = exporter.url.removeprefix("http://")
        fleet = Fleet(exporter.app)
        fleet.begin("web")
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(exporter.url)
        await expect(page.locator("#live")).to_have_text("Live")
        for name in ("STOP", "RESUME"):
            fleet.event("web", name)
        await expect(page.locator("#log li")).to_have_count(3)
    await expect(page.locator("#live")).to_contain_text("lost")
    async with exporting(listen_addresses=(address,)) as exporter:
        fleet = Fleet(exporter.app)
        fleet.begin("db")
        for name in ("POWERDOWN", "SHUTDOWN"):
            fleet.event("db", name)
        await expect(page.locator("#log")).to_contain_text("SHUTDOWN")
        await expect(page.locator("#log li")).to_have_count(6)
        await context.close()


async def test_a_cause_that_is_known_later_is_listed(browser: Browser) -> None:
    """In the entry of its STOP, which was there before, and on the page of its machine."""
    async with exporting() as exporter:
        fleet = Fleet(exporter.app)
        fleet.begin("web")
        async with (
            tab(browser, exporter.url) as shown,
            tab(browser, f"{exporter.url}/vm?name=web") as alone,
        ):
            await shown.live()
            await alone.live()
            fleet.event("web", "STOP")
            await expect(shown.event("STOP")).to_have_count(1)
            await expect(alone.page.locator(".timeline")).to_contain_text("STOP")
            await expect(shown.page.locator("#log")).not_to_contain_text("cause")
            status = Reply("query-status", Status("watchdog"), time(), monotonic())
            fleet.feed("web", status)
            await expect(shown.event("STOP")).to_contain_text("cause=watchdog")
            await expect(alone.page.locator(".timeline")).to_contain_text("cause=watchdog")
