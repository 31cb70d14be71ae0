"""An exporter that looks for its monitors."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from qmp_exporter.discovery.pattern import Pattern


if TYPE_CHECKING:
    from pathlib import Path


CLOCK = {"offset": 1}


async def test_a_monitor_that_appears_is_watched_and_one_that_went_is_forgotten(
    tmp_path: Path,
) -> None:
    """Its events count; after the grace nothing is left of it, and a new one begins at 0."""
    (tmp_path / "file.qmp").touch()
    async with exporting(patterns=(Pattern(f"{tmp_path}/*.qmp"),), vm_grace=0.2) as it:
        for _ in range(2):
            async with FakeMonitor(tmp_path / "a.qmp", name="web01") as monitor:
                await monitor.wait_negotiated()
                await monitor.send_event("RTC_CHANGE", CLOCK)
                page = await it.until_events("web01", 1)
                assert page.rows("qmp_exporter_targets") == {("connected",): 1.0}
                skipped = page.rows("qmp_exporter_discovery_skipped_total")
                assert skipped == {("not-a-socket",): 1.0}
            page = await it.until(lambda page: page.vms() == set(), "nothing to be left")
            assert page.rows("qmp_exporter_targets") == {}
            assert page.rows("qmp_exporter_fleet_events_total")


async def test_a_socket_without_a_qemu_is_shown_while_it_is_there(tmp_path: Path) -> None:
    """A VM never reached has the name of its socket, and goes with it at once."""
    stale = tmp_path / "stale.qmp"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    async with exporting(patterns=(Pattern(f"{tmp_path}/*.qmp"),)) as it:
        page = await it.until(lambda page: page.vms() == {"stale"}, "the socket's name")
        assert page.rows("qmp_exporter_targets") == {("refused",): 1.0}
        stale.unlink()
        page = await it.until(lambda page: page.vms() == set(), "it to be gone")
        assert page.rows("qmp_exporter_targets") == {}


async def test_the_number_of_monitors_found_is_limited(tmp_path: Path) -> None:
    """Those beyond it are counted and left alone."""
    async with (
        FakeMonitor(tmp_path / "a.qmp", name="a"),
        FakeMonitor(tmp_path / "b.qmp", name="b") as other,
        exporting(patterns=(Pattern(f"{tmp_path}/*.qmp"),), max_targets=1) as it,
    ):
        page = await it.until(lambda page: page.vms() == {"a"}, "one VM")
        assert page.rows("qmp_exporter_discovery_skipped_total") == {("too-many",): 1.0}
        assert other.connections == 0
