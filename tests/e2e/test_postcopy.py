"""Migrations in which the VM runs at the destination before its memory is there (postcopy).

The source is stopped from then on. Where the connection breaks, both ends pause and can recover.
Source: QEMU's docs/devel/migration/postcopy.rst.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from e2e.lab.generation import shows
from e2e.lab.scenario import NEW, both_ends
from e2e.page import PATIENCE
from qmp_exporter.demo import CommandError
from support import missing


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from e2e.lab.scenario import Scenario
    from qmp_exporter.demo import Machine


SLOWLY = 20_000
"""Bytes per second: all of `MEMORY` takes longer than any test, unless it takes the limit away."""

MEMORY = bytes(range(256)) * (2 << 20 >> 8)
"""What the guest has in its memory besides zeros, of which little is sent."""

POSTCOPY = {"capabilities": [{"capability": "postcopy-ram", "state": True}]}


@asynccontextmanager
async def switched(place: Path) -> AsyncIterator[tuple[Scenario, Scenario]]:
    """Run both ends of a migration that has just gone over to postcopy."""
    async with both_ends(place) as (source, destination):
        for end in (destination, source):
            try:
                await end.machine.execute("migrate-set-capabilities", **POSTCOPY)
            except CommandError as error:  # userfaultfd(2) may be forbidden here
                missing(str(error))
        await source.machine.qtest.write(1 << 20, MEMORY)
        limits = {"max-bandwidth": SLOWLY, "max-postcopy-bandwidth": SLOWLY}
        await source.machine.execute("migrate-set-parameters", **limits)
        uri = f"unix:{place / 'dst.migration'}"
        await destination.machine.execute("migrate-incoming", uri=uri)
        await source.machine.execute("migrate", uri=uri)
        await source.statuses("active")
        await source.machine.execute("migrate-start-postcopy")
        for end in (source, destination):
            await end.statuses("postcopy-active")
        await destination.hears("RESUME")
        async with asyncio.timeout(PATIENCE):
            while not await pages_after(source.machine):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        yield source, destination


async def pages_after(machine: Machine) -> int:
    """Return how many bytes of memory were sent after the switch.

    Before the first QEMU has not left the switch behind: a connection that breaks fails it then.
    """
    reply = await machine.execute("query-migrate")
    return int(reply["ram"]["postcopy-bytes"])


@shows("MIGRATION", "STOP")
async def test_postcopy(place: Path) -> None:
    """The source is stopped by its migration, the VM runs at the destination; then it is over."""
    async with switched(place) as (source, destination):
        await source.reads("qemu_migration_status", 1, status="postcopy-active")
        page = await destination.reads("qemu_vm_running", 1)
        assert page.rows("qemu_migrations_total", "role") == {}
        await source.machine.execute("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        for end, role in ((source, "source"), (destination, "destination")):
            page = await end.reads("qemu_migrations_total", 1, role=role, outcome="completed")
        assert source.rows(page, "qemu_vm_stops_total", "cause") == {"migration": 1}
        assert destination.rows(page, "qemu_vm_stops_total", "cause") == {}
        page = await source.reads("qemu_vm_status", 1, status="postmigrate")
        assert page.status(NEW) == "running"


@shows("MIGRATION")
async def test_pause_and_recovery(place: Path, version: tuple[int, ...]) -> None:
    """A connection that breaks pauses the migration at both ends; it goes on where it was."""
    async with switched(place) as (source, destination):
        await source.machine.execute("migrate-pause")
        for end in (source, destination):
            page = await end.reads("qemu_migration_status", 1, status="postcopy-paused")
            assert end.rows(page, "qemu_migrations_total", "outcome") == {}
        uri = f"unix:{place / 'dst.again'}"
        await destination.machine.execute("migrate-recover", uri=uri)
        await source.machine.execute("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        await source.machine.execute("migrate", uri=uri, resume=True)
        for end, role in ((source, "source"), (destination, "destination")):
            page = await end.reads("qemu_migrations_total", 1, role=role, outcome="completed")
        assert source.rows(page, "qemu_vm_stops_total", "cause") == {"migration": 1}
        went = await source.statuses("completed")
        assert "postcopy-recover" in went
        assert ("postcopy-recover-setup" in went) == (version >= (9, 1)), "it came with 9.1"
        assert ("postcopy-device" in went) == (version >= (11, 0)), "it came after 10.0"


@shows("MIGRATION")
async def test_destination_killed(place: Path) -> None:
    """A destination killed while memory is missing is a VM that crashed; the source waits."""
    async with switched(place) as (source, destination):
        await destination.reads("qemu_vm_running", 1)
        await destination.machine.kill()
        page = await destination.reads("qemu_vm_exits_total", 1, cause="crash")
        assert destination.rows(page, "qemu_migrations_total", "role", "outcome") == {
            ("destination", "failed"): 1
        }
        page = await source.reads("qemu_migration_status", 1, status="postcopy-paused")
        assert source.rows(page, "qemu_migrations_total", "outcome") == {}
        assert page.value("qemu_vm_running", vm="vm") == 0
