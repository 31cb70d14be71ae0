"""Migrations of one machine into nothing, and of one machine to another, on the scraped page."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from e2e.page import Exporter, Page, exporting, watched
from qmp_exporter.demo import Machine, operations


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def ended(page: Page, vm: str = "vm") -> dict[Any, float]:
    """Return the migrations of a VM that ended, by role and outcome."""
    return page.rows("qemu_migrations_total", "role", "outcome", vm=vm)


async def test_completed(place: Path) -> None:
    """A migration counts by its outcome and reads how long it and its pause took."""
    async with watched(place) as (machine, exporter):
        assert (await exporter.page()).labels("qemu_migration_status", "status") == set()
        began = monotonic()
        assert await operations.migrate(machine) == "completed"
        most = monotonic() - began
        await exporter.rises("qemu_migration_last_transferred_bytes")
        page = await exporter.until("qemu_vm_status", 1, status="postmigrate")
        assert ended(page) == {("source", "completed"): 1}
        assert page.rows("qemu_migration_status", "status") == {"completed": 1}
        downtime = page.value("qemu_migration_last_downtime_seconds")
        seconds = page.value("qemu_migration_last_duration_seconds")
        assert seconds is not None
        assert downtime is not None
        assert 0 <= downtime <= seconds <= most
        assert (page.value("qemu_migration_passes_total") or 0) > 0
        assert (page.value("qemu_migration_pass") or 0) > 0
        bucket = {"role": "source", "outcome": "completed", "le": "+Inf"}
        histogram = "qmp_exporter_fleet_migration_duration_seconds"
        assert page.value(f"{histogram}_bucket", **bucket) == 1
        assert page.value(f"{histogram}_sum") == pytest.approx(seconds)


async def test_stop_of_a_migration(place: Path) -> None:
    """The machine is stopped by its migration; once it has moved away no seconds count."""
    async with watched(place) as (machine, exporter):
        assert await operations.migrate(machine) == "completed"
        await exporter.until("qemu_vm_stops_total", 1, cause="migration")
        page = await exporter.until("qemu_vm_status", 1, status="postmigrate")
        assert page.rows("qemu_vm_stops_total", "cause") == {"migration": 1}
        seconds = page.rows("qemu_vm_stopped_seconds_total", "cause")
        assert seconds.keys() <= {"migration"}
        assert (await exporter.page()).rows("qemu_vm_stopped_seconds_total", "cause") == seconds
        await machine.execute("cont")
        await exporter.until("qemu_vm_running", 1)


async def test_failed(place: Path) -> None:
    """A migration that nobody takes has failed; the machine runs on and was not stopped."""
    async with watched(place) as (machine, exporter):
        assert await operations.migrate(machine, "exec:false") == "failed"
        page = await exporter.until("qemu_migrations_total", 1, role="source", outcome="failed")
        assert page.rows("qemu_migration_status", "status") == {"failed": 1}
        assert page.value("qemu_migration_last_duration_seconds") is not None
        await machine.until("running")
        page = await exporter.until("qemu_vm_running", 1)
        assert ended(page) == {("source", "failed"): 1}


async def test_cancelled(place: Path) -> None:
    """A cancelled migration counts as such, and the next one is another."""
    async with watched(place) as (machine, exporter):
        assert await operations.migrate_cancelled(machine) == "cancelled"
        page = await exporter.until("qemu_migrations_total", 1, outcome="cancelled", role="source")
        assert page.status() == "running"
        assert page.rows("qemu_vm_stops_total", "cause") == {}
        assert await operations.migrate(machine) == "completed"
        page = await exporter.until("qemu_migrations_total", 1, outcome="completed", role="source")
        assert ended(page) == {("source", "cancelled"): 1, ("source", "completed"): 1}


async def test_pause_before_the_switch(place: Path) -> None:
    """A machine that waits for its migration to go on is stopped by that migration."""
    async with watched(place) as (machine, exporter):
        pause = {"capability": "pause-before-switchover", "state": True}
        await machine.execute("migrate-set-capabilities", capabilities=[pause])
        await machine.execute("migrate", uri=operations.NOWHERE)
        await exporter.until("qemu_migration_status", 1, status="pre-switchover")
        page = await exporter.until("qemu_vm_stops_total", 1, cause="migration")
        assert page.rows("qemu_vm_stops_total", "cause") == {"migration": 1}
        await machine.execute("migrate-continue", state="pre-switchover")
        page = await exporter.until("qemu_migrations_total", 1, role="source", outcome="completed")
        assert page.rows("qemu_vm_stops_total", "cause") == {"migration": 1}


async def test_not_asked_to_announce(place: Path) -> None:
    """Without migration events the exporter leaves QEMU alone; the stop is seen all the same."""
    async with (
        Machine(place, "vm") as machine,
        exporting(machine.monitor, migration_events=False) as exporter,
    ):
        await exporter.until("qemu_vm_running", 1)
        assert await operations.migrate(machine) == "completed"
        page = await exporter.until("qemu_vm_stops_total", 1, cause="migration")
        assert ended(page) == {}
        assert "MIGRATION" not in page.events()


# Two machines

EXITS = "qemu_vm_exits_total"
UUID = "5eb00000-0000-4000-8000-000000000001"


@asynccontextmanager
async def both_ends(directory: Path) -> AsyncIterator[tuple[Machine, Machine, Exporter]]:
    """Run a source, and then its destination, the same VM by name and uuid, under one exporter."""
    source = Machine(directory, "src", "-name", "vm", uuid=UUID)
    destination = Machine(directory, "dst", "-name", "vm", "-incoming", "defer", uuid=UUID)
    async with source, exporting(source.monitor, destination.monitor) as exporter:
        await exporter.ready(source)
        async with destination:
            await exporter.ready(source, destination)
            yield source, destination, exporter


NEW = f"vm~{UUID[:8]}"
"""What the destination is shown as while the source has the name."""


async def test_both_ends(place: Path) -> None:
    """Both ends are shown, each in its role, and afterwards it is the destination that runs."""
    async with both_ends(place) as (source, destination, exporter):
        page = await exporter.page()
        assert page.vms() == {"vm", NEW}
        assert (page.status("vm"), page.status(NEW)) == ("running", "inmigrate")
        assert await operations.migrate_between(source, destination) == "completed"
        await exporter.until("qemu_vm_status", 1, vm="vm", status="postmigrate")
        await exporter.until("qemu_vm_running", 1, vm=NEW)
        page = await exporter.reads(lambda page: bool(ended(page, "vm") and ended(page, NEW)))
        assert ended(page, "vm") == {("source", "completed"): 1}
        assert ended(page, NEW) == {("destination", "completed"): 1}
        for vm in ("vm", NEW):
            assert page.value("qemu_migration_last_duration_seconds", vm=vm) is not None
            assert page.rows("qemu_migration_status", "status", vm=vm) == {"completed": 1}
        assert page.rows("qemu_vm_stops_total", "cause", vm="vm") == {"migration": 1}
        assert page.rows("qemu_vm_stops_total", "cause", vm=NEW) == {}


async def test_both_ends_found(place: Path) -> None:
    """An exporter that finds both ends gives their name to the one that runs."""
    async with (
        Machine(place, "src", "-name", "vm", uuid=UUID) as source,
        Machine(place, "dst", "-name", "vm", "-incoming", "defer", uuid=UUID) as destination,
        exporting(destination.monitor, source.monitor) as exporter,
    ):
        page = await exporter.ready(source, destination)
        assert page.vms() == {"vm", NEW}
        assert (page.status("vm"), page.status(NEW)) == ("running", "inmigrate")
        assert [page.value("qemu_up", vm=vm) for vm in page.vms()] == [1, 1]


async def test_end_of_the_source(place: Path) -> None:
    """A source that ends after its migration was ended by it; the VM runs on at the destination."""
    async with both_ends(place) as (source, destination, exporter):
        assert await operations.migrate_between(source, destination) == "completed"
        await exporter.until("qemu_vm_status", 1, vm="vm", status="postmigrate")
        await exporter.until("qemu_vm_running", 1, vm=NEW)
        await source.kill()
        page = await exporter.reads(lambda page: bool(page.rows(EXITS, "cause")))
        assert page.rows(EXITS, "cause") == {"migration": 1}
        assert (page.value("qemu_up", vm="vm"), page.value("qemu_up", vm=NEW)) == (0, 1)
        assert page.vms() == {"vm", NEW}


async def test_end_of_the_destination(place: Path) -> None:
    """A destination that ends before anything arrived was ended by its migration."""
    async with both_ends(place) as (_, destination, exporter):
        await destination.kill()
        page = await exporter.reads(lambda page: bool(page.rows(EXITS, "cause", vm=NEW)))
        assert page.rows(EXITS, "cause", vm=NEW) == {"migration": 1}
        assert page.rows(EXITS, "cause", vm="vm") == {}
        assert page.status("vm") == "running"


async def test_failed_at_both_ends(place: Path) -> None:
    """A destination killed under way ends a migration at both ends; the source runs on."""
    async with both_ends(place) as (source, destination, exporter):
        await source.execute("migrate-set-parameters", **{"max-bandwidth": 1000})
        uri = f"unix:{place / 'dst.migration'}"
        await destination.execute("migrate-incoming", uri=uri)
        await source.execute("migrate", uri=uri)
        for vm in ("vm", NEW):
            await exporter.until("qemu_migration_status", 1, vm=vm, status="active")
        await destination.kill()
        page = await exporter.reads(lambda page: bool(ended(page, "vm") and ended(page, NEW)))
        assert ended(page, "vm") == {("source", "failed"): 1}
        assert ended(page, NEW) == {("destination", "failed"): 1}
        assert page.rows(EXITS, "cause", vm=NEW) == {"migration": 1}
        assert page.status("vm") == "running"
