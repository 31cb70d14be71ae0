"""What events mean beyond their catalog entry, one function each.

An event that only counts, or only sets a gauge, needs none.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, cast

import msgspec

from qmp_exporter.catalog.states import ExitCause, Protocol, Role, StopCause
from qmp_exporter.model.changes import (
    ClientConnected,
    ClientIncomplete,
    Overflowed,
    Rebooted,
    SessionOpened,
    Suspended,
)
from qmp_exporter.model.display import SPICE_MAIN, Clients, Peer
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.vm import VM, Reading, Step, asking, doubting


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.catalog.events.block import IoError
    from qmp_exporter.catalog.events.jobs import BlockJob, JobStatus
    from qmp_exporter.catalog.events.migration import Migration
    from qmp_exporter.catalog.events.run_state import Halt, Panic, Watchdog
    from qmp_exporter.catalog.events.ui import SpiceEvent, VncEvent
    from qmp_exporter.model.event import Event


REBOOT_BURST: Final = 1.0
"""Seconds, by QEMU's stamps, in which further RESETs belong to the same reboot."""

_PASSES: Final = "qemu_migration_pass"
_NEVER: Final = float("-inf")
_TRAYS: Final = "qemu_block_tray_open"
_NOBODY: Final = Peer()
_ASKS: Final = {Protocol.VNC: Ask.VNC, Protocol.SPICE: Ask.SPICE}
_ARRIVING: Final = frozenset({"inmigrate", ""})  # or not known yet
_NO_REBOOT: Final = frozenset({"snapshot-load", "subsystem-reset"})
_EXITS: Final = {
    "guest-shutdown": ExitCause.GUEST_SHUTDOWN,
    "guest-reset": ExitCause.GUEST_SHUTDOWN,
    "guest-panic": ExitCause.PANIC,
    "host-error": ExitCause.CRASH,
    "host-signal": ExitCause.SIGNAL,
}
_RUN_STATES: Final = {
    StopCause.IO_ERROR: "io-error",
    StopCause.WATCHDOG: "watchdog",
    StopCause.GUEST_PANIC: "guest-panicked",
    StopCause.GUEST_SHUTDOWN: "shutdown",
    StopCause.HOST_SHUTDOWN: "shutdown",
}


def _stop(vm: VM, event: Event) -> Step:
    migrating = vm.migration.open and vm.migration.role is Role.SOURCE
    stops, changes = vm.stops.hold(event.time, event.now, migrating=migrating)
    expected = stops.expected(event.time)
    status = _RUN_STATES.get(expected, "paused") if expected else "paused"
    vm = msgspec.structs.replace(vm, status=status, stops=stops)
    return asking(vm, changes, Ask.STATUS)


def _resume(vm: VM, event: Event) -> Step:
    stops, changes = vm.stops.settle(None, event.now, migrating=False)
    # The firmware of a machine that was reset while it was stopped resets once more when it runs.
    booting = vm.status == "prelaunch" and vm.reset_at != _NEVER
    vm = msgspec.structs.replace(
        doubting(vm, Ask.STATUS),
        # From QEMU 9.0 on, what slept when it was stopped sleeps again.
        status="suspended" if vm.asleep else "running",
        stops=msgspec.structs.replace(stops.ended(event.now), shutdown=None, announced=None),
        ending=None,
        reset_at=event.time if booting else vm.reset_at,
        disks=vm.disks.resumed(),
    )
    return asking(vm, changes, Ask.STATUS) if vm.asleep else Step(vm, changes)


def _reset(vm: VM, event: Event) -> Step:
    data = cast("Halt", event.data)
    stops = msgspec.structs.replace(vm.stops, shutdown=None)
    vm = msgspec.structs.replace(vm, ending=None, stops=stops)
    if _TRAYS in vm.readings:  # a CD drive closes its tray, without an event
        known = {name: rows for name, rows in vm.readings.items() if name != _TRAYS}
        vm = msgspec.structs.replace(vm, readings=known)
    changes: tuple[Rebooted, ...] = ()
    burst = abs(event.time - vm.reset_at) <= REBOOT_BURST
    if data.reason not in _NO_REBOOT and not burst:
        vm = msgspec.structs.replace(vm, reset_at=event.time)
        changes = (Rebooted(data.guest),)
    # A reset of a machine that does not run leaves it in prelaunch, without an event.
    return Step(vm, changes) if vm.status == "running" else asking(vm, changes, Ask.STATUS)


def _shutdown(vm: VM, event: Event) -> Step:
    data = cast("Halt", event.data)
    if vm.powerdown:
        vm = msgspec.structs.replace(vm, powerdown=False)
    by_guest = data.guest is not False  # QEMU before 4.2 did not say: mostly the guest
    unnamed = ExitCause.GUEST_SHUTDOWN if by_guest else ExitCause.HOST_QUIT
    cause = StopCause.GUEST_SHUTDOWN if by_guest else StopCause.HOST_SHUTDOWN
    if vm.stops.shutdown is not None:
        # The first one says why: libvirt starts QEMU with -no-shutdown, and once the guest is down
        # ends it by a signal.
        return Step(vm)
    moved = vm.status == "postmigrate" and not by_guest  # its manager ends what is left
    ending = ExitCause.MIGRATION if moved else _EXITS.get(data.reason or "", unnamed)
    stops = vm.stops.announce(cause, event.time)
    stops = msgspec.structs.replace(stops, shutdown=cause)
    return Step(msgspec.structs.replace(vm, ending=ending, stops=stops))


def _powerdown(vm: VM, _: Event) -> Step:
    return Step(msgspec.structs.replace(vm, powerdown=True))


def _dump_completed(vm: VM, _: Event) -> Step:
    # While QEMU dumps it may answer nothing, and afterwards the machine runs again.
    return Step(msgspec.structs.replace(vm, stops=vm.stops.explained(StopCause.SNAPSHOT)))


def _suspend(vm: VM, _: Event) -> Step:
    vm = msgspec.structs.replace(doubting(vm, Ask.STATUS), status="suspended", asleep=True)
    return Step(vm, (Suspended("memory"),))


def _suspend_disk(vm: VM, _: Event) -> Step:
    return Step(vm, (Suspended("disk"),))


def _wakeup(vm: VM, _: Event) -> Step:
    if vm.status != "suspended":
        return Step(msgspec.structs.replace(vm, asleep=False)) if vm.asleep else Step(vm)
    vm = msgspec.structs.replace(doubting(vm, Ask.STATUS), status="running", asleep=False)
    return Step(vm)


def _watchdog(vm: VM, event: Event) -> Step:
    action = cast("Watchdog", event.data).action
    if action == "poweroff":  # QEMU exits at once, without SHUTDOWN
        return Step(msgspec.structs.replace(vm, ending=vm.ending or ExitCause.WATCHDOG))
    if action == "pause":
        return _announced(vm, event, StopCause.WATCHDOG)
    return Step(vm)


def _panicked(vm: VM, event: Event) -> Step:
    action = cast("Panic", event.data).action
    if action == "poweroff":
        vm = msgspec.structs.replace(vm, ending=vm.ending or ExitCause.PANIC)
    if action in {"pause", "poweroff"}:
        return _announced(vm, event, StopCause.GUEST_PANIC)
    return Step(vm)


def _announced(vm: VM, event: Event, cause: StopCause) -> Step:
    return Step(msgspec.structs.replace(vm, stops=vm.stops.announce(cause, event.time)))


def _io_error(vm: VM, event: Event) -> Step:
    error = cast("IoError", event.data)
    changes: tuple[Overflowed, ...] = ()
    if error.action == "stop":
        if vm.disks.crowded(vm.disk_of(error)):
            changes = (Overflowed("qemu_block_io_status"),)
        vm = msgspec.structs.replace(
            vm,
            stops=vm.stops.announce(StopCause.IO_ERROR, event.time),
            disks=vm.disks.failed(error, event.time),
        )
    step = Step(vm, changes)
    if event.now >= vm.disks.due(error):
        disks = msgspec.structs.replace(vm.disks, asked=event.now)
        step = asking(msgspec.structs.replace(vm, disks=disks), changes, Ask.BLOCK)
    if Ask.BLOCKSTATS in vm.asked:
        return step
    # Asked once, however many errors there are: the session does that at most once a second.
    vm = msgspec.structs.replace(step.vm, asked=step.vm.asked | {Ask.BLOCKSTATS})
    return Step(vm, changes, (*step.asks, Ask.BLOCKSTATS))


def _migration(vm: VM, event: Event) -> Step:
    status = cast("Migration", event.data).status
    known = vm.migration
    if known.begins(status) and vm.status not in _ARRIVING:
        known = msgspec.structs.replace(known, role=Role.SOURCE)  # its arrival was not seen
    migration, changes = known.went(status, event.time)
    vm = msgspec.structs.replace(vm, migration=migration)
    if migration.open and changes and migration.role is Role.SOURCE:
        # QEMU 11 does not send the first pass: do not show the last one of the migration before.
        vm = vm.reading(_PASSES, (), Reading(0, event.time))
    if migration.open or not changes:
        return Step(vm, changes)
    if migration.role is Role.DESTINATION:
        if status == "completed":  # it may be the source of the next one
            source = msgspec.structs.replace(migration, role=Role.SOURCE)
            vm = msgspec.structs.replace(vm, migration=source)
        return asking(vm, changes, Ask.STATUS)
    if status == "completed":
        vm = msgspec.structs.replace(vm, status="postmigrate")
        if vm.stops.held is None:
            vm = msgspec.structs.replace(vm, stops=vm.stops.ended(event.now))
    return asking(vm, changes, Ask.MIGRATE, Ask.STATUS)


def _opened(vm: VM, protocol: Protocol, key: str) -> Step:
    clients = vm.displays.get(protocol, Clients())
    changes = (ClientConnected(protocol),)
    if clients.full(key):
        return Step(vm, (*changes, Overflowed("qemu_display_connections")))
    return Step(_shown(vm, protocol, clients.connected(key)), changes)


def _active(vm: VM, protocol: Protocol, key: str, auth: str | None, *, session: bool) -> Step:
    clients = vm.displays.get(protocol, Clients())
    changes = (SessionOpened(protocol, auth),) if session else ()
    if clients.full(key):
        return Step(vm, changes)
    unpaired = clients.peers.get(key, _NOBODY).complete  # an earlier guess was wrong
    vm = _shown(vm, protocol, clients.initialized(key, session=session))
    return asking(vm, changes, _ASKS[protocol]) if unpaired else Step(vm, changes)


def _closed(vm: VM, protocol: Protocol, key: str) -> Step:
    clients = vm.displays.get(protocol, Clients())
    ambiguous = clients.peers.get(key, _NOBODY).ambiguous
    clients, incomplete = clients.disconnected(key)
    vm = _shown(vm, protocol, clients)
    changes = (ClientIncomplete(protocol),) if incomplete else ()
    return asking(vm, changes, _ASKS[protocol]) if ambiguous else Step(vm, changes)


def _shown(vm: VM, protocol: Protocol, clients: Clients) -> VM:
    vm = doubting(vm, _ASKS[protocol])
    return msgspec.structs.replace(vm, displays={**vm.displays, protocol: clients})


def _vnc_connected(vm: VM, event: Event) -> Step:
    return _opened(vm, Protocol.VNC, cast("VncEvent", event.data).client.key)


def _vnc_initialized(vm: VM, event: Event) -> Step:
    data = cast("VncEvent", event.data)
    return _active(vm, Protocol.VNC, data.client.key, data.server.auth, session=True)


def _vnc_disconnected(vm: VM, event: Event) -> Step:
    return _closed(vm, Protocol.VNC, cast("VncEvent", event.data).client.key)


def _spice_connected(vm: VM, event: Event) -> Step:
    return _opened(vm, Protocol.SPICE, cast("SpiceEvent", event.data).client.key)


def _spice_initialized(vm: VM, event: Event) -> Step:
    data = cast("SpiceEvent", event.data)
    main = data.client.channel_type == SPICE_MAIN
    return _active(vm, Protocol.SPICE, data.client.key, data.server.auth, session=main)


def _spice_disconnected(vm: VM, event: Event) -> Step:
    return _closed(vm, Protocol.SPICE, cast("SpiceEvent", event.data).client.key)


def _job_status(vm: VM, event: Event) -> Step:
    data = cast("JobStatus", event.data)
    if vm.jobs.full(data.id):
        return Step(vm, (Overflowed("qemu_jobs"),))
    jobs = vm.jobs.went(data.id, data.status, event.time)
    return Step(msgspec.structs.replace(doubting(vm, Ask.JOBS), jobs=jobs))


def _job_ended(vm: VM, event: Event) -> Step:
    data = cast("BlockJob", event.data)
    jobs = vm.jobs.ended(data.device, data.type, event.time)
    return Step(msgspec.structs.replace(vm, jobs=jobs))


def same_until(vm: VM, event: Event) -> float:
    """Return until when an event that changed nothing of a VM will not if it comes again.

    That is said of events that come by the thousand; of others it is not asked.

    Returns:
        Monotonic seconds; -inf where each may mean something else.
    """
    name = event.spec.name
    if name in TRANSITIONS:
        return _SAME[name](vm, event) if name in _SAME else -inf
    return -inf if event.spec.gauges else inf


def _same_error(vm: VM, event: Event) -> float:
    error = cast("IoError", event.data)
    return -inf if error.action == "stop" else vm.disks.due(error)


def _same_action(_: VM, event: Event) -> float:
    action = cast("Watchdog | Panic", event.data).action
    return -inf if action in {"pause", "poweroff"} else inf


_SAME: Final[dict[str, Callable[[VM, Event], float]]] = {
    "BLOCK_IO_ERROR": _same_error,
    "GUEST_PANICKED": _same_action,
    "WATCHDOG": _same_action,
}

TRANSITIONS: Final[dict[str, Callable[[VM, Event], Step]]] = {
    "BLOCK_IO_ERROR": _io_error,
    "BLOCK_JOB_CANCELLED": _job_ended,
    "BLOCK_JOB_COMPLETED": _job_ended,
    "DUMP_COMPLETED": _dump_completed,
    "GUEST_PANICKED": _panicked,
    "JOB_STATUS_CHANGE": _job_status,
    "MIGRATION": _migration,
    "POWERDOWN": _powerdown,
    "RESET": _reset,
    "RESUME": _resume,
    "SHUTDOWN": _shutdown,
    "SPICE_CONNECTED": _spice_connected,
    "SPICE_DISCONNECTED": _spice_disconnected,
    "SPICE_INITIALIZED": _spice_initialized,
    "STOP": _stop,
    "SUSPEND": _suspend,
    "SUSPEND_DISK": _suspend_disk,
    "VNC_CONNECTED": _vnc_connected,
    "VNC_DISCONNECTED": _vnc_disconnected,
    "VNC_INITIALIZED": _vnc_initialized,
    "WAKEUP": _wakeup,
    "WATCHDOG": _watchdog,
}
