"""What happens to a real QEMU as traces, span by span, held against what a witness heard of it.

The times of all spans and events are QEMU's, to the microsecond: see ``outline`` and ``stage``.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from e2e import scenes
from e2e.lab.power import sleep
from e2e.lab.scenario import NEW, UUID
from e2e.stage import stage
from outline import compare, written
from qmp_exporter.demo import devices, operations


PAGE = Path(__file__).parents[2] / "docs/tracing.md"

# What the page shows


async def test_stop_by_an_io_error(place: Path) -> None:
    """The stop is linked to the error that caused it, and lasts until the machine goes on."""
    found = await scenes.io_error(place)
    (expected,) = written(PAGE, "An I/O-error stop")
    found.expect(expected)


async def test_migration(place: Path) -> None:
    """Each end has a trace of its own; the source's stop is a part of its migration."""
    found = await scenes.migration(place)
    source, destination = written(PAGE, "A migration")
    found.expect(source)
    found.expect(destination, NEW)
    (moved,) = (span for span in found.story() if not span.parent_id)
    said = found.told
    assert moved.attributes["qemu.migration.downtime"] == said["downtime"] / 1000
    assert moved.attributes["qemu.migration.transferred"] == said["ram"]["transferred"]
    there = {span.trace_id for span in found.story(NEW)}
    assert moved.trace_id not in there
    assert [span.resource["host.id"] for span in found.receiver.spans].count(UUID) == len(
        found.receiver.spans
    )


async def test_reset_by_the_watchdog(place: Path) -> None:
    """The reset names the watchdog as its cause."""
    found = await scenes.watchdog_reset(place)
    (expected,) = written(PAGE, "A watchdog reset")
    found.expect(expected)


# Connecting


async def test_connecting(place: Path) -> None:
    """A span of its own, from the dial until the state was read."""
    async with stage(place) as found, found.exporting():
        await found.spans("qmp.connect")
    (connect,) = found.all("vm")
    found.check("vm")
    assert (connect.name, connect.status, connect.parent_id) == ("qmp.connect", "unset", "")
    assert (connect.attributes, connect.events, connect.links) == ({}, (), ())
    assert connect.start < connect.end


# Watchdog and panic


async def test_pause_by_the_watchdog(place: Path) -> None:
    """It causes the stop, which is a failure."""
    async with stage(place, *devices.WATCHDOG) as found, found.exporting():
        await devices.fire_watchdog(found.machine, "pause")
        await found.machine.until("watchdog")
        await found.machine.execute("cont")
        await found.spans("qemu.stop")
    found.expect("""
qemu.activity: WATCHDOG
    * qemu.watchdog  error.type=watchdog, qemu.action=pause
qemu.stop: STOP to RESUME
    error.type=watchdog, qemu.stop.cause=watchdog
    cause -> qemu.activity
    * qemu.stop  qemu.cause=qemu.watchdog
    * qemu.resume
""")


async def test_shutdown_by_the_watchdog(place: Path) -> None:
    """It asks the guest to power down, which the guest does; QEMU stays, and stops for it."""
    async with stage(place, *devices.WATCHDOG, "-no-shutdown") as found, found.exporting():
        await devices.fire_watchdog(found.machine, "shutdown")
        await found.hear("POWERDOWN")
        await sleep(found.machine, "off")
        await found.machine.until("shutdown")
        await found.machine.execute("system_reset")
        await found.machine.execute("cont")
        await found.spans("qemu.stop")
    found.expect("""
qemu.activity: WATCHDOG
    * qemu.watchdog  error.type=watchdog, qemu.action=shutdown
qemu.guest.shutdown: POWERDOWN to SHUTDOWN
    cause -> qemu.activity
    * qemu.powerdown  qemu.cause=qemu.watchdog
    * qemu.shutdown  qemu.guest=true, qemu.reason=guest-shutdown
qemu.stop: STOP to RESUME
    qemu.stop.cause=guest-shutdown
    cause -> qemu.guest.shutdown
    * qemu.stop  qemu.cause=qemu.shutdown
    * qemu.reset  qemu.guest=false, qemu.reason=host-qmp-system-reset
    * qemu.resume
""")


async def test_panic_that_pauses(place: Path) -> None:
    """It causes the stop, which lasts over the reset until the machine executes again."""
    async with stage(place, *devices.PVPANIC) as found, found.exporting():
        await devices.panic(found.machine)
        await found.machine.until("guest-panicked")
        await found.machine.execute("system_reset")
        await found.machine.execute("cont")
        await found.spans("qemu.stop")
    found.expect("""
qemu.activity: GUEST_PANICKED
    * qemu.guest_panicked  error.type=guest-panic, qemu.action=pause, qemu.kind=unknown
qemu.stop: STOP to RESUME
    error.type=guest-panic, qemu.stop.cause=guest-panic
    cause -> qemu.activity
    * qemu.stop  qemu.cause=qemu.guest_panicked
    * qemu.reset  qemu.guest=false, qemu.reason=host-qmp-system-reset
    * qemu.resume
""")


async def test_request_to_power_down_that_is_ignored(place: Path) -> None:
    """It has failed after five minutes, here by the exporter's clock put forward."""
    async with stage(place) as found, found.exporting() as exporter:
        await found.machine.execute("system_powerdown")
        await found.hear("POWERDOWN")
        await found.settle(exporter)
        assert exporter.app.otel is not None
        exporter.app.otel.tick(monotonic() + 301)
        await found.spans("qemu.guest.shutdown")
    found.expect("""
qemu.guest.shutdown: POWERDOWN to the time-out
    error.type=timeout
    * qemu.powerdown
""")


# Migrations and dumps

SETUP = """
    * qemu.migration  qemu.status=setup
    * qemu.migration_pass  qemu.pass=… (some QEMUs)
    * qemu.migration  qemu.status=active
    * qemu.migration_pass  qemu.pass=… (each pass)
"""


async def test_failed_migration(place: Path) -> None:
    """It is an error, and stops nothing."""
    async with stage(place) as found, found.exporting():
        assert await operations.migrate(found.machine, "exec:false") == "failed"
        await found.spans("qemu.migration")
    found.expect(f"""
qemu.migration: MIGRATION to MIGRATION
    error.type=migration-failed, qemu.migration.outcome=failed, qemu.migration.role=source, …
{SETUP}
    * qemu.migration  qemu.status=failing (some QEMUs)
    * qemu.migration  error.type=migration-failed, qemu.status=failed
""")


async def test_cancelled_migration(place: Path) -> None:
    """It is no error."""
    async with stage(place) as found, found.exporting():
        assert await operations.migrate_cancelled(found.machine) == "cancelled"
        await found.spans("qemu.migration")
    found.expect(f"""
qemu.migration: MIGRATION to MIGRATION
    qemu.migration.outcome=cancelled, qemu.migration.role=source, …
{SETUP}
    * qemu.migration  qemu.status=cancelling
    * qemu.migration  qemu.status=cancelled
""")


DUMPED = "qemu.result.total=…, qemu.result.status=…, qemu.result.completed=…"


async def test_dump(place: Path) -> None:
    """QEMU stops the machine for it: the dump is a part of that stop, and begins with it."""
    async with stage(place) as found, found.exporting():
        assert await operations.dump(found.machine) == "completed"
        await found.spans("qemu.dump", "qemu.stop")
    found.expect(f"""
qemu.stop: STOP to RESUME
    qemu.stop.cause=snapshot
    * qemu.stop
    * qemu.resume
    qemu.dump: STOP to DUMP_COMPLETED
        qemu.dump.size=…, qemu.dump.status=completed, qemu.dump.written=…
        * qemu.dump_completed  {DUMPED}, qemu.status=completed
""")
    (dump,) = (span for span in found.story() if span.parent_id)
    said = found.ear.heard[-2]["data"]["result"]
    assert dump.attributes["qemu.dump.size"] == said["total"]
    assert dump.attributes["qemu.dump.written"] == said["completed"]


@pytest.mark.parametrize(
    ("path", "told", "event"),
    [
        ("/dev/null", "qemu.dump.status=completed", "qemu.status=completed"),
        (
            "/dev/full",
            "error.type=dump-failed, qemu.dump.status=failed",
            "error.type=dump-failed, qemu.error=…, qemu.status=failed",
        ),
    ],
)
async def test_dump_of_a_stopped_machine(place: Path, path: str, told: str, event: str) -> None:
    """Only its end is to be seen; what stopped the machine was something else."""
    async with stage(place) as found, found.exporting() as exporter:
        await found.machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")
        await operations.dump(found.machine, path)
        await found.hear("STOP", "DUMP_COMPLETED")
        await found.machine.execute("cont")
        await found.spans("qemu.dump", "qemu.stop")
    found.expect(f"""
qemu.stop: STOP to RESUME
    qemu.stop.cause=host
    * qemu.stop
    * qemu.resume
qemu.dump: DUMP_COMPLETED
    {told}, qemu.dump.size=…, qemu.dump.written=…, qmp_exporter.resumed=true
    * qemu.dump_completed  {event}, {DUMPED}
""")


def test_an_outline_that_differs_is_told() -> None:
    """What is written down fits itself, with any number of passes, and nothing else."""
    text = "a: X to Y\n    k=1, l=two, three\n    * e\n    * f  p=2 (each pass)\n    * g  q=3, …"
    found = "a: X to Y\n    k=1, l=two, three\n    * e\n    * g  q=3, r=4"
    compare(text, found)
    compare(text, found.replace("    * g", "    * f  p=2\n    * f  p=2\n    * g"))
    compare(text.replace("q=3", "q=…"), found)
    for old, new in (
        ("k=1", "k=2"),
        ("X", "Z"),
        ("    * e\n", ""),
        ("q=3, ", ""),
        ("* e", "* e  s=1"),
    ):
        with pytest.raises(AssertionError, match=r"[-+] "):
            compare(text, found.replace(old, new))
    with pytest.raises(AssertionError):
        compare(text, found + "\nb: X")
