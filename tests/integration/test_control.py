"""Reading the configuration over HTTP, having it read again, and scrapes by group."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from typing import TYPE_CHECKING
from unittest import mock

import msgspec
import pytest
import yaml

from integration.exporter import OPENMETRICS, Exporter, Page, exporting
from integration.serving import PATIENCE, serving
from qmp_exporter import app as module
from qmp_exporter.catalog.groups import GROUPS, group_of
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import ConfigError
from qmp_exporter.service import Service


if TYPE_CHECKING:
    from pathlib import Path

SUCCESSFUL = "qmp_exporter_config_last_reload_successful"


def find(it: Exporter, settings: Settings | str) -> None:
    """Let it find these settings, or this error, when it reads again."""

    def reread() -> Settings:
        if isinstance(settings, str):
            raise ConfigError(settings)
        return settings

    it.app._reread = reread


async def post(it: Exporter, **headers: str) -> tuple[int, str]:
    """Ask for a reload; return the status and the text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with it.client.post("/-/reload", headers=named) as response:
        return response.status, await response.text()


async def test_a_reload_is_asked_for_and_shown(tmp_path: Path) -> None:
    """It is done when the answer comes, and /config shows what holds from then on."""
    async with exporting(tmp_path / "a") as it:
        find(it, msgspec.structs.replace(it.app.settings, vm_grace=7.0))
        async with it.client.get("/config") as response:
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            before = yaml.safe_load(await response.text())
        assert before["vm"] == {"grace": "5m"}
        assert await post(it) == (200, "the configuration was read again\n")
        async with it.client.get("/config") as response:
            after = yaml.safe_load(await response.text())
        assert after == before | {"vm": {"grace": "7s"}}


async def test_what_is_wrong_is_told_and_changes_nothing(tmp_path: Path) -> None:
    """500 with the very text; the metric says so until a reload succeeds."""
    async with exporting(tmp_path / "a") as it:
        settings = it.app.settings
        find(it, "c.yml:3: vm.grace: found 'soon'; expected a duration such as 90s")
        says = "c.yml:3: vm.grace: found 'soon'; expected a duration such as 90s"
        assert await post(it) == (500, f"the configuration stays as it was: {says}\n")
        assert it.app.settings is settings
        assert (await it.scrape())[SUCCESSFUL] == 0
        find(it, settings)
        assert (await post(it))[0] == 200
        assert (await it.scrape())[SUCCESSFUL] == 1


async def test_reloads_that_come_together_are_few(tmp_path: Path) -> None:
    """One at a time, and who comes meanwhile shares the next: it begins after they asked."""
    async with exporting(tmp_path / "a") as it:
        under_way, go = threading.Semaphore(0), threading.Semaphore(0)
        count = 0

        def reread() -> Settings:
            nonlocal count
            count += 1
            under_way.release()
            assert go.acquire(timeout=PATIENCE)
            return it.app.settings

        it.app._reread = reread
        first = asyncio.create_task(post(it))
        assert await asyncio.to_thread(under_way.acquire, timeout=PATIENCE)
        others = [asyncio.create_task(post(it)) for _ in range(20)]
        async with it.client.get("/-/ready") as response:  # all have been read before it
            assert response.status == 200
        go.release()
        assert (await first)[0] == 200
        go.release()
        assert {(await other)[0] for other in others} == {200}
        assert count == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://{host}"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://{host}.evil.example"},
        {"Origin": "http://evil.example@{host}"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[x"},
    ],
)
async def test_another_web_site_cannot_ask(tmp_path: Path, headers: dict[str, str]) -> None:
    """A page in the operator's browser is turned away, 403, and counted; nothing is read."""
    async with exporting(tmp_path / "a") as it:
        find(it, "nothing may be read")
        host = it.app.server.bound[0].removeprefix("http://")
        given = {name: value.format(host=host) for name, value in headers.items()}
        sentence = "found a request of another web site; expected one of our own page\n"
        assert await post(it, **given) == (403, sentence)
        page = await it.scrape()
        assert page["qmp_exporter_http_rejected_total", {"code": "403"}] == 1
        assert page[SUCCESSFUL] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Origin": "http://{host}"},
    ],
)
async def test_our_own_page_and_programs_can_ask(tmp_path: Path, headers: dict[str, str]) -> None:
    """What no page of another site can make a browser send."""
    async with exporting(tmp_path / "a") as it:
        host = it.app.server.bound[0].removeprefix("http://")
        given = {name: value.format(host=host) for name, value in headers.items()}
        assert (await post(it, **given))[0] == 200


async def test_a_reload_does_not_end_it_while_it_stops(tmp_path: Path) -> None:
    """SIGHUP is taken as long as there are answers that go out, and ends nothing."""
    taken = []
    async with exporting(tmp_path / "a") as it:
        stop = it.app.server.stop

        async def stopping() -> None:
            taken.append(signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL)
            await stop()
            taken.append(signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL)

        it.app.server.stop = stopping  # type: ignore[method-assign]
    assert taken == [True, True]


async def test_a_reload_before_the_start_or_after_the_end_is_told_to_wait() -> None:
    """503: there is nothing to read it into."""
    async with (
        serving(ready=lambda: "it is starting") as (_, client),
        client.post("/-/reload") as response,
    ):
        assert response.status == 503
        assert await response.text() == "qmp-exporter is not ready: it is starting\n"


# Groups


async def scraped(it: Exporter, query: str, accept: str = "") -> str:
    """A scrape of some of the metrics."""
    async with it.client.get(f"/metrics?{query}", headers={"Accept": accept}) as response:
        assert response.status == 200
        return await response.text()


def names(page: str) -> set[str]:
    """The names of its series."""
    return {name for name, _ in Page(page).samples}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_the_groups_are_all_there_is(tmp_path: Path, accept: str) -> None:
    """Each series comes with its group and with no other; without one group, all others come."""
    async with exporting(tmp_path / "a", process_metrics=True) as it:
        everything = names(await scraped(it, "", accept)) if not accept else set()
        seen: set[str] = set()
        for group in GROUPS:
            text = await scraped(it, f"collect[]={group.name}", accept)
            assert text.endswith("# EOF\n") is bool(accept)
            if not accept:
                found = names(text)
                assert {group_of(name.removesuffix("_created")) for name in found} <= {group.name}
                assert names(await scraped(it, f"exclude[]={group.name}")) == everything - found
                seen |= found
        assert seen == everything


async def test_groups_and_names_go_together(tmp_path: Path) -> None:
    """Several groups are more, names within them are fewer, and nothing is not everything."""
    async with exporting(tmp_path / "a", process_metrics=True) as it:
        both = names(await scraped(it, "collect[]=state&collect[]=fleet"))
        assert {"qemu_up", "qmp_exporter_fleet_stops_total"} <= both
        assert names(await scraped(it, "collect[]=state&name[]=qemu_up")) == {"qemu_up"}
        assert names(await scraped(it, "exclude[]=state&name[]=qemu_up&other=x")) == set()
        assert names(await scraped(it, "name[]=process_max_fds")) == {"process_max_fds"}
        every = "&".join(f"exclude[]={group.name}" for group in GROUPS)
        assert names(await scraped(it, every)) == set()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("collect[]=state&exclude[]=block", "found collect[] and exclude[]; expected one of them"),
        ("collect[]=cpu", "found an unknown group in collect[]; expected events, state, block,"),
        ("exclude[]=state&exclude[]=%3Cb%3E", "found an unknown group in exclude[]; expected "),
        ("collect[]=", "found an unknown group in collect[]; expected "),
    ],
)
async def test_a_group_that_is_none_is_an_error(tmp_path: Path, query: str, says: str) -> None:
    """400 in one sentence that names those there are; counted."""
    async with exporting(tmp_path / "a") as it:
        async with it.client.get(f"/metrics?{query}") as response:
            assert response.status == 400
            text = await response.text()
        assert text.startswith(says)
        assert text.count("\n") == 1
        page = await it.scrape()
        assert page["qmp_exporter_http_rejected_total", {"code": "400"}] == 1


async def test_a_scrape_of_one_group_collects_no_other(tmp_path: Path) -> None:
    """What it costs is what it shows: /proc is not read for it."""
    async with exporting(tmp_path / "a", process_metrics=True) as it:
        with mock.patch("prometheus_client.process_collector.ProcessCollector.collect") as collect:
            await scraped(it, "collect[]=state")
            assert not collect.called
            collect.return_value = []
            await scraped(it, "collect[]=process")
            assert collect.called


# The service


async def test_the_watchdog_is_not_fed_when_http_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that turns is not all: who cannot be scraped is to be started anew."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(PATIENCE)
        async with exporting(tmp_path / "a") as it:
            monkeypatch.setattr(module, "STALLED", 0.5)
            service = Service({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "20000"})
            it.app._service = service

            def fed() -> bool:
                return any(b"WATCHDOG=1" in sock.recv(4096) for _ in range(3))

            assert await asyncio.to_thread(fed)
            stuck, go = threading.Event(), threading.Event()

            def stick() -> None:
                stuck.set()
                go.wait(PATIENCE)

            assert it.app.server._loop is not None
            it.app.server._loop.call_soon_threadsafe(stick)
            assert await asyncio.to_thread(stuck.wait, PATIENCE)
            sock.settimeout(1.0)

            def starved() -> bool:
                """Whether it comes to be told nothing, for a second."""
                try:
                    for _ in range(10_000):
                        sock.recv(4096)
                except TimeoutError:
                    return True
                return False

            assert await asyncio.to_thread(starved)
            go.set()
            sock.settimeout(PATIENCE)
            assert await asyncio.to_thread(fed)
