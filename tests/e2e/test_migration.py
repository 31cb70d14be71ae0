"""Migrations of one machine into nothing, and of one machine to another, on the scraped page."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.generation import shows
from e2e.lab.scenario import NEW, UUID, both_ends
from e2e.page import Page, exporting, watched
from qmp_exporter.demo import Machine, operations


if TYPE_CHECKING:
    from pathlib import Path

    from e2e.lab.scenario import Scenario


def ended(page: Page, vm: str = "vm") -> dict[Any, float]:
    """Return the migrations of a VM that ended, by role and outcome."""
    return page.rows("qemu_migrations_total", "role", "outcome", vm=vm)


@shows("MIGRATION", "MIGRATION_PASS", "STOP")
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


async def migrate_between(source: Scenario, destination: Scenario) -> str:
    """Migrate from one end to the other."""
    return await operations.migrate_between(source.machine, destination.machine)


@shows("MIGRATION", "MIGRATION_PASS")
async def test_both_ends(place: Path, version: tuple[int, ...]) -> None:
    """Both ends are shown, each in its role, and afterwards it is the destination that runs."""
    async with both_ends(place) as (source, destination):
        page = await source.exporter.page()
        assert page.vms() == {"vm", NEW}
        assert (page.status("vm"), page.status(NEW)) == ("running", "inmigrate")
        assert await migrate_between(source, destination) == "completed"
        await source.reads("qemu_vm_status", 1, status="postmigrate")
        page = await destination.reads("qemu_vm_running", 1)
        for end, role in ((source, "source"), (destination, "destination")):
            page = await end.reads("qemu_migrations_total", 1, role=role, outcome="completed")
            assert ended(page, end.vm) == {(role, "completed"): 1}
            assert page.value("qemu_migration_last_duration_seconds", vm=end.vm) is not None
            assert end.rows(page, "qemu_migration_status", "status") == {"completed": 1}
        assert source.rows(page, "qemu_vm_stops_total", "cause") == {"migration": 1}
        assert destination.rows(page, "qemu_vm_stops_total", "cause") == {}
        went = ["setup", "active", *(["device"] if version >= (10, 0) else []), "completed"]
        assert await source.statuses("completed") == went, "QEMU 10.0 and later tell of devices"
        (first, *_) = source.heard("MIGRATION_PASS")
        assert first == {"pass": 2 if version >= (11, 1) else 1}, "11.1 leaves out the first"


async def test_outcome_at_the_source(place: Path, version: tuple[int, ...]) -> None:
    """The source reads what QEMU says of the pause and the bytes; the destination does not."""
    transferred, downtime = (
        "qemu_migration_last_transferred_bytes",
        "qemu_migration_last_downtime_seconds",
    )
    async with both_ends(place) as (source, destination):
        await source.machine.qtest.write(1 << 20, bytes(range(256)) * 4096)
        assert await migrate_between(source, destination) == "completed"
        told = await source.machine.execute("query-migrate")
        assert told["ram"]["transferred"] > 1 << 20
        await source.reads(transferred, told["ram"]["transferred"])
        page = await source.reads(downtime, told["downtime"] / 1000)
        asked = page.value("qmp_exporter_command_duration_seconds_count", command="query-migrate")
        assert asked is not None
        # Each connect asks, and the outcome. 7.2 may not have reckoned it yet: it is asked again.
        assert asked == 3 or (version < (10, 0) and asked > 3)
        await destination.reads("qemu_migrations_total", 1, outcome="completed", role="destination")
        page = await source.exporter.page()
        assert [page.value(metric, vm=NEW) for metric in (transferred, downtime)] == [None, None]


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
    async with both_ends(place) as (source, destination):
        assert await migrate_between(source, destination) == "completed"
        await source.reads("qemu_vm_status", 1, status="postmigrate")
        await destination.reads("qemu_vm_running", 1)
        await source.machine.kill()
        page = await source.exporter.reads(lambda page: bool(page.rows(EXITS, "cause")))
        assert page.rows(EXITS, "cause") == {"migration": 1}
        assert (page.value("qemu_up", vm="vm"), page.value("qemu_up", vm=NEW)) == (0, 1)
        assert page.vms() == {"vm", NEW}


async def test_end_of_the_destination(place: Path) -> None:
    """A destination that ends before anything arrived was ended by its migration."""
    async with both_ends(place) as (source, destination):
        await destination.machine.kill()
        page = await destination.reads(EXITS, 1, cause="migration")
        assert destination.rows(page, EXITS, "cause") == {"migration": 1}
        assert source.rows(page, EXITS, "cause") == {}
        assert page.status("vm") == "running"


@shows("MIGRATION")
async def test_destination_killed(place: Path, version: tuple[int, ...]) -> None:
    """A destination killed under way ends a migration at both ends; the source runs on."""
    async with both_ends(place) as (source, destination):
        await source.machine.execute("migrate-set-parameters", **{"max-bandwidth": 1000})
        uri = f"unix:{place / 'dst.migration'}"
        await destination.machine.execute("migrate-incoming", uri=uri)
        await source.machine.execute("migrate", uri=uri)
        for end in (source, destination):
            await end.reads("qemu_migration_status", 1, status="active")
        await destination.machine.kill()
        page = await source.exporter.reads(lambda page: bool(ended(page) and ended(page, NEW)))
        assert ended(page) == {("source", "failed"): 1}
        assert ended(page, NEW) == {("destination", "failed"): 1}
        assert destination.rows(page, EXITS, "cause") == {"migration": 1}
        page = await source.reads("qemu_vm_running", 1)
        went = ["setup", "active", *(["failing"] if version >= (11, 1) else []), "failed"]
        assert await source.statuses("failed") == went, "11.1 says so before it cleans up"
