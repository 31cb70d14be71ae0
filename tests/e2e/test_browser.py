"""The page in a real Chromium, over real machines: what an operator sees when something happens."""

from __future__ import annotations

import logging
import re
from errno import ENOSPC
from time import monotonic
from typing import TYPE_CHECKING

import bcrypt
import pytest
import trustme
from playwright.async_api import HttpCredentials, expect

from certificates import write
from e2e.browser import tab
from e2e.page import exporting, watched
from qmp_exporter.demo import Machine, disks
from qmp_exporter.discovery.pattern import Pattern


if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser


log = logging.getLogger(__name__)
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_machine_appears_and_its_events_do(browser: Browser, place: Path) -> None:
    """A row when a machine starts, its events as they happen, and its end: without a reload."""
    async with (
        exporting(patterns=(Pattern(f"{place}/*.qmp"),)) as exporter,
        tab(browser, exporter.url) as shown,
    ):
        await expect(shown.page.get_by_text("No QMP socket has been found")).to_be_visible()
        await shown.live()
        async with Machine(place, "vm") as machine:
            await expect(shown.row("vm")).to_contain_text("running")
            await expect(shown.page.locator("h1")).to_have_text("The virtual machine is running")
            began = monotonic()
            await machine.execute("stop")
            await expect(shown.event("STOP")).to_be_visible()
            log.info("%.2f s to an event", monotonic() - began)
            await expect(shown.row("vm")).to_contain_text("paused")
            log.info("%.2f s to its row", monotonic() - began)
            await expect(shown.row("vm")).to_contain_text("cause: host")
            await machine.execute("cont")
            await expect(shown.row("vm")).to_contain_text("running")
        await expect(shown.row("vm")).to_contain_text(re.compile("gone|refused"))


async def test_a_full_disk_is_seen_first(browser: Browser, place: Path) -> None:
    """What is wrong, why, and which disk: in the title, the first line, the row and its page."""
    disk = disks.ide_disk("disk0", disks.Fault("write", ENOSPC), rerror="stop", werror="enospc")
    async with (
        watched(place, *disk) as (machine, exporter),
        tab(browser, exporter.url) as shown,
    ):
        await shown.live()
        await disks.write(machine, 8)
        headline = "1 of 1 virtual machine needs attention"
        await expect(shown.page.locator("h1")).to_have_text(headline)
        await expect(shown.page).to_have_title(f"{headline} · qmp-exporter")
        await expect(shown.row("vm")).to_contain_text("disk0: nospace")
        await shown.row("vm").get_by_role("link", name="vm").click()
        await expect(shown.page.locator("h1")).to_have_text("vm")
        await expect(shown.page.locator(".status")).to_contain_text("disk0: nospace")
        await expect(shown.page.locator(".timeline .warn")).to_contain_text("STOP")
        await expect(shown.page.locator(".timeline .warn")).to_contain_text("cause=io-error")
        await shown.live()
        await disks.repair(machine, "disk0")
        await machine.execute("cont")
        await expect(shown.page.locator(".timeline")).to_contain_text("RESUME")
        await expect(shown.page.locator(".status")).to_have_text("running")
        await expect(shown.page.locator("svg.chart")).to_contain_text("RESUME")


async def test_without_a_script(browser: Browser, place: Path) -> None:
    """Rows, events, a search, a filter and the page of a machine are plain HTML."""
    async with (
        watched(place) as (machine, exporter),
        tab(browser, java_script_enabled=False) as shown,
    ):
        await machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")
        await machine.execute("cont")
        await exporter.until("qemu_vm_running", 1)
        await shown.page.goto(exporter.url)
        await expect(shown.row("vm")).to_contain_text("running")
        await expect(shown.event("STOP")).to_contain_text("cause=host")
        await expect(shown.page.get_by_role("button", name="Pause")).to_be_hidden()
        await shown.page.get_by_label("Search").fill("stopped")
        await shown.page.get_by_role("button", name="Search").click()
        await expect(shown.page.get_by_text("0 of 1 found")).to_be_visible()
        await expect(shown.page.get_by_label("Search")).to_have_value("stopped")
        await shown.page.get_by_label("Search").fill("run")
        await shown.page.get_by_label("Event", exact=True).fill("RESUME")
        await shown.page.get_by_role("button", name="Filter").click()
        await expect(shown.event("RESUME")).to_be_visible()
        await expect(shown.event("STOP")).to_have_count(0)
        await shown.row("vm").get_by_role("link").click()
        await expect(shown.page.locator(".timeline")).to_contain_text("cause=host")
        await expect(shown.page.get_by_role("img", name="Chart of the last")).to_be_visible()


async def test_the_connection_is_lost_and_comes_back(browser: Browser, place: Path) -> None:
    """The page says so, keeps what it shows, and goes on by itself with the next exporter."""
    async with Machine(place, "vm") as machine:
        async with exporting(machine.monitor) as exporter:
            address = exporter.url.removeprefix("http://")
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(exporter.url)
            await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#live")).to_contain_text("lost")
        await expect(page.locator("tr[data-key='vm']")).to_be_visible()
        async with exporting(machine.monitor, listen_addresses=(address,)) as exporter:
            await exporter.ready(machine)
            await expect(page.locator("#live")).to_have_text("Live")
            await machine.execute("stop")
            await expect(page.locator("#log")).to_contain_text("STOP")
            await expect(page.locator("tr[data-key='vm']")).to_contain_text("paused")
            await context.close()


async def test_behind_a_password(
    browser: Browser, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Over TLS the page asks for it once, and is kept up to date like any other."""
    ca, folder = trustme.CA(), tmp_path_factory.mktemp("web")
    write(folder, "server", ca.issue_cert("127.0.0.1"))
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    file = folder / "web.yml"
    file.write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
        f"basic_auth_users: {{alice: {hashed}}}\n"
    )
    user = HttpCredentials(username="alice", password="secret")  # noqa: S106 - of a test
    async with (
        Machine(place, "vm") as machine,
        exporting(machine.monitor, web_config_file=str(file)) as exporter,
    ):
        context = await browser.new_context(ignore_https_errors=True)
        answer = await context.request.get(exporter.url)
        assert (answer.status, await answer.text()) == (401, "a user and a password are needed\n")
        await context.close()
        async with tab(
            browser, exporter.url, ignore_https_errors=True, http_credentials=user
        ) as shown:
            await shown.live()
            await expect(shown.row("vm")).to_contain_text("running")
            await machine.execute("stop")
            await expect(shown.event("STOP")).to_be_visible()
            await expect(shown.row("vm")).to_contain_text("paused")
