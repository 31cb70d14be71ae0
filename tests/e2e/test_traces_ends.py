"""The end of QEMU, of the exporter and of a connection, in the middle of what a trace shows."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from e2e.stage import Stage, stage
from qmp_exporter.demo import Machine, devices, operations


if TYPE_CHECKING:
    from pathlib import Path

    from e2e.page import Exporter
    from otlp_data import Span


SLOW = {"max-bandwidth": 1000}
FAST = {"max-bandwidth": 1 << 30}


async def ended(found: Stage, exporter: Exporter) -> None:
    """Wait until the exporter knows that QEMU has ended."""
    await found.machine.wait()
    await exporter.reads(lambda page: bool(page.rows("qemu_vm_exits_total", "cause")))


async def migrating(found: Stage) -> None:
    """Begin a migration that does not come to an end by itself."""
    await found.machine.execute("migrate-set-parameters", **SLOW)
    await found.machine.execute("migrate", uri=operations.NOWHERE)
    await found.hear("MIGRATION", "MIGRATION")


async def migrated(found: Stage) -> None:
    """Let it come to its end."""
    await found.machine.execute("migrate-set-parameters", **FAST)
    await found.machine.until("postmigrate")


def one(found: Stage, name: str, **attributes: Any) -> Span:
    """Return the only span of that name and with this attribute."""
    wanted = {f"qmp_exporter.{key}": value for key, value in attributes.items()}
    (span,) = (
        span
        for span in found.story()
        if span.name == name and wanted.items() <= span.attributes.items()
    )
    return span


# The end of QEMU


async def test_panic_that_ends_qemu(place: Path) -> None:
    """Stop and shutdown follow from the panic; the end of QEMU is told of all that it ended."""
    async with stage(place, *devices.PVPANIC) as found, found.exporting() as exporter:
        await devices.set_action(found.machine, panic="shutdown")
        await devices.panic(found.machine)
        await ended(found, exporter)
    found.expect("""
qemu.activity: GUEST_PANICKED to the end of QEMU
    qemu.exit.cause=panic
    * qemu.guest_panicked  error.type=guest-panic, qemu.action=poweroff, qemu.kind=unknown
qemu.stop: STOP to the end of QEMU
    error.type=guest-panic, qemu.exit.cause=panic, qemu.stop.cause=guest-panic
    cause -> qemu.activity
    * qemu.stop  qemu.cause=qemu.guest_panicked
    * qemu.shutdown  qemu.cause=qemu.guest_panicked, qemu.guest=true, qemu.reason=guest-panic
""")


async def test_watchdog_that_ends_qemu(place: Path) -> None:
    """There is nothing but the activity, which says how it ended."""
    async with stage(place, *devices.WATCHDOG) as found, found.exporting() as exporter:
        await devices.fire_watchdog(found.machine, "poweroff")
        await ended(found, exporter)
    found.expect("""
qemu.activity: WATCHDOG to the end of QEMU
    qemu.exit.cause=watchdog
    * qemu.watchdog  error.type=watchdog, qemu.action=poweroff
""")


async def test_end_in_the_middle_of_a_stop(place: Path) -> None:
    """QEMU was killed: whatever was under way has failed."""
    async with stage(place) as found, found.exporting() as exporter:
        await found.machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")
        await found.machine.kill()
        await ended(found, exporter)
    found.expect("""
qemu.stop: STOP to the end of QEMU
    error.type=crash, qemu.exit.cause=crash, qemu.stop.cause=host
    * qemu.stop
""")


async def test_end_in_the_middle_of_a_migration(place: Path) -> None:
    """It has failed, as is told of one that QEMU said so of."""
    async with stage(place) as found, found.exporting() as exporter:
        await migrating(found)
        await exporter.until("qemu_migration_status", 1, status="active")
        await found.machine.kill()
        await ended(found, exporter)
    found.expect("""
qemu.migration: MIGRATION to the end of QEMU
    error.type=migration-failed, qemu.exit.cause=crash, qemu.migration.outcome=failed, qemu.migration.role=source
    * qemu.migration  qemu.status=setup
    * qemu.migration_pass  qemu.pass=1 (some QEMUs)
    * qemu.migration  qemu.status=active
""")  # noqa: E501 - a line of an outline


@pytest.mark.parametrize(
    ("end", "cause"), [(Machine.quit, "host-quit"), (Machine.terminate, "signal")]
)
async def test_end_that_somebody_wanted(place: Path, end: Any, cause: str) -> None:
    """What QEMU says last is exported; nothing has failed."""
    async with stage(place) as found, found.exporting() as exporter:
        await end(found.machine)
        await ended(found, exporter)
    found.expect(f"""
qemu.activity: SHUTDOWN to the end of QEMU
    qemu.exit.cause={cause}
    * qemu.shutdown  qemu.guest=false, qemu.reason=…
""")


# The end of the exporter


async def test_restart_in_the_middle_of_a_stop(place: Path) -> None:
    """What one exporter leaves incomplete, the next finds under way, in a trace of its own."""
    async with stage(place) as found:
        async with found.exporting() as exporter:
            await found.machine.execute("stop")
            await exporter.until("qemu_vm_stops_total", 1, cause="host")
        first = one(found, "qemu.stop", incomplete=True)
        async with found.exporting():
            await found.machine.execute("cont")
            await found.spans("qemu.stop", "qemu.stop")
    found.expect("""
qemu.stop: STOP to out of sight
    qemu.stop.cause=host, qmp_exporter.incomplete=true
    * qemu.stop
qemu.stop: found to RESUME
    qemu.stop.cause=host, qmp_exporter.resumed=true
    * qemu.resume
""")
    second = one(found, "qemu.stop", resumed=True)
    assert first.trace_id != second.trace_id
    assert first.end < second.start


async def test_restart_in_the_middle_of_a_migration(place: Path) -> None:
    """Likewise; the second tells which end it is of, and all that is known at the end."""
    async with stage(place) as found:
        async with found.exporting() as exporter:
            await migrating(found)
            await exporter.until("qemu_migration_status", 1, status="active")
        first = one(found, "qemu.migration", incomplete=True)
        async with found.exporting():
            await migrated(found)
            await found.spans("qemu.migration", "qemu.migration", "qemu.stop")
            said = await found.machine.execute("query-migrate")
    found.expect("""
qemu.migration: MIGRATION to out of sight
    qemu.migration.role=source, qmp_exporter.incomplete=true
    * qemu.migration  qemu.status=setup
    * qemu.migration_pass  qemu.pass=1 (some QEMUs)
    * qemu.migration  qemu.status=active
qemu.migration: found to MIGRATION
    qemu.migration.downtime=…, qemu.migration.outcome=completed, qemu.migration.role=source, qemu.migration.transferred=…, qmp_exporter.resumed=true
    * qemu.migration_pass  qemu.pass=… (each pass)
    * qemu.migration  qemu.status=device (some QEMUs)
    * qemu.migration_pass  qemu.pass=… (each pass)
    * qemu.migration  qemu.status=completed
    qemu.stop: STOP to MIGRATION
        qemu.stop.cause=migration
        * qemu.stop
""")  # noqa: E501 - a line of an outline
    second = one(found, "qemu.migration", resumed=True)
    assert first.trace_id != second.trace_id
    assert second.attributes["qemu.migration.transferred"] == said["ram"]["transferred"]


# The end of a connection


async def lose(wire: list[socket.socket], exporter: Exporter) -> None:
    """Cut the exporter's connection; wait until there is another and the state is read."""
    wire[-1].shutdown(socket.SHUT_RDWR)
    await exporter.until("qmp_exporter_connects_total", 2)
    asked = "qmp_exporter_command_duration_seconds_count"
    await exporter.until(asked, 2, command="query-migrate-capabilities")


async def test_lost_connection_in_the_middle_of_a_stop(
    place: Path, wire: list[socket.socket]
) -> None:
    """What is still under way when the connection is back goes on in the same span."""
    async with stage(place) as found, found.exporting() as exporter:
        await found.machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")
        await lose(wire, exporter)
        await found.machine.execute("cont")
        await found.spans("qemu.stop")
    found.expect("""
qemu.stop: STOP to RESUME
    qemu.stop.cause=host
    * qemu.stop
    * qemu.resume
""")
    assert [span.name for span in found.all("vm")].count("qmp.connect") == 2


async def test_lost_connection_in_the_middle_of_a_migration(
    place: Path, wire: list[socket.socket]
) -> None:
    """Likewise."""
    async with stage(place) as found, found.exporting() as exporter:
        await migrating(found)
        await exporter.until("qemu_migration_status", 1, status="active")
        await lose(wire, exporter)
        await migrated(found)
        await found.spans("qemu.migration", "qemu.stop")
    found.expect("""
qemu.migration: MIGRATION to MIGRATION
    qemu.migration.downtime=…, qemu.migration.outcome=completed, qemu.migration.role=source, qemu.migration.transferred=…
    * qemu.migration  qemu.status=setup
    * qemu.migration_pass  qemu.pass=1 (some QEMUs)
    * qemu.migration  qemu.status=active
    * qemu.migration_pass  qemu.pass=… (each pass)
    * qemu.migration  qemu.status=device (some QEMUs)
    * qemu.migration_pass  qemu.pass=… (each pass)
    * qemu.migration  qemu.status=completed
    qemu.stop: STOP to MIGRATION
        qemu.stop.cause=migration
        * qemu.stop
""")  # noqa: E501 - a line of an outline
