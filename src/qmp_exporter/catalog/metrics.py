"""Every metric of a VM that is not in the entry of an event, one entry each, and the list of all.

Metrics of a VM have the label ``vm`` besides those of their entry.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Final, TypeAlias

from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.spec import NONE, Counter, Label, LastValue, Sampled, Values
from qmp_exporter.catalog.states import (
    BOOLEANS,
    DISPLAY_AUTHS,
    IO_STATUSES,
    JOB_STATUSES,
    JOB_TYPES,
    MIGRATION_OUTCOMES,
    MIGRATION_STATUSES,
    OTHER,
    RUN_STATES,
    ExitCause,
    LostCause,
    Protocol,
    Role,
    StopCause,
    TargetState,
)
from qmp_exporter.catalog.text import label_text
from qmp_exporter.model.changes import (
    ClientConnected,
    ClientIncomplete,
    Connected,
    Disconnected,
    Exited,
    MigrationEnded,
    Rebooted,
    SessionOpened,
    Stopped,
    Suspended,
)
from qmp_exporter.model.jobs import FORGOTTEN


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qmp_exporter.model.vm import VM


Row: TypeAlias = tuple[Values, float]

PROTOCOL: Final = Label("protocol", tuple(Protocol), known="displays")
STATUS: Final = Label("status", (*RUN_STATES, OTHER))
JOB_STATUS: Final = Label("status", tuple(s for s in JOB_STATUSES if s != FORGOTTEN))
OPERATION: Final = Label("operation", ("read", "write", "flush"))


def _value(value: float | None) -> Iterable[Row]:
    return () if value is None else (((), value),)


def _one_of(values: Sequence[str], current: str, *before: str) -> Iterable[Row]:
    """Yield a row of 0 or 1 for each value, and for ``other`` only where it is the current one."""
    for value in values:
        yield (*before, value), float(value == current)
    if current == OTHER:
        yield (*before, OTHER), 1.0


def _info(vm: VM, _: float) -> Iterable[Row]:
    identity = vm.identity
    if identity is not None:
        texts = (identity.name, identity.uuid, identity.qemu_version, identity.arch)
        yield tuple(map(label_text, (*texts, identity.monitor))), 1.0


def _configured(vm: VM) -> tuple[tuple[str, str], ...]:
    labels = vm.identity.labels if vm.identity is not None else ()
    return tuple((name, label_text(value)) for name, value in labels)


def _started(vm: VM, _: float) -> Iterable[Row]:
    return _value(vm.identity.started if vm.identity is not None and vm.alive else None)


def _status(vm: VM, _: float) -> Iterable[Row]:
    return _one_of(RUN_STATES, vm.status) if vm.identity is not None else ()


def _running(vm: VM, _: float) -> Iterable[Row]:
    return _value(float(vm.status == "running") if vm.identity is not None else None)


def _stopped(vm: VM, now: float) -> Iterable[Row]:
    if vm.identity is not None:
        for cause, seconds in vm.stops.seconds(now):
            yield (cause,), seconds


def _io_status(vm: VM, _: float) -> Iterable[Row]:
    for disk, status in vm.disks.status.items():
        yield from _one_of(IO_STATUSES, status, disk)


def _failed(vm: VM, _: float) -> Iterable[Row]:
    for disk, failures in vm.disks.failures.items():
        for operation, number in zip(OPERATION.values, failures, strict=True):
            yield (disk, operation), number


def _migration_status(vm: VM, _: float) -> Iterable[Row]:
    return _one_of(MIGRATION_STATUSES, vm.migration.status) if vm.migration.status else ()


def _connections(vm: VM, _: float) -> Iterable[Row]:
    for protocol, clients in vm.displays.items():
        yield (protocol,), clients.connections


def _sessions(vm: VM, _: float) -> Iterable[Row]:
    for protocol, clients in vm.displays.items():
        yield (protocol,), clients.sessions


def _jobs(vm: VM, _: float) -> Iterable[Row]:
    if vm.jobs.seen:
        found = Tally(job.status for job in vm.jobs.known.values())
        shown = dict.fromkeys(JOB_STATUS.values, 0) | found
        for status, number in shown.items():
            yield (status,), number


VM_METRICS: Final[tuple[Counter | Sampled, ...]] = (
    Sampled(
        "qemu_up",
        "Whether the VM's monitor is connected and answers.",
        lambda vm, _: (((), float(vm.up)),),
    ),
    Sampled(
        "qemu_vm_info",
        "About the VM; always 1. Labels that the configuration gives it join here. QMP commands"
        " query-name, query-uuid, query-target.",
        _info,
        tuple(map(Label, ("name", "uuid", "qemu_version", "arch", "monitor"))),
        further=_configured,
    ),
    Sampled(
        "qemu_process_start_time_seconds",
        "When the QEMU process started, in Unix time, where its pid can be read.",
        _started,
    ),
    Sampled(
        "qemu_vm_status",
        "The VM's run state: 1 for the present one. QMP command query-status and events.",
        _status,
        (STATUS,),
    ),
    Sampled(
        "qemu_vm_running",
        "Whether the VM executes. QMP command query-status and events STOP and RESUME.",
        _running,
    ),
    Counter(
        "qemu_vm_exits_total",
        "Ends of the QEMU process; crash: killed, out of memory or crashed, which cannot be told"
        " apart.",
        (Label("cause", tuple(ExitCause)),),
        on=Exited,
        fleet="qmp_exporter_fleet_exits_total",
    ),
    Counter(
        "qemu_vm_stops_total",
        "Stops of the machine by cause; host: somebody told QEMU to. QMP event STOP, and"
        " query-status for the cause.",
        (Label("cause", tuple(StopCause)),),
        on=Stopped,
        fleet="qmp_exporter_fleet_stops_total",
    ),
    Sampled(
        "qemu_vm_stopped_seconds_total",
        "Seconds that the machine was stopped, by cause, while it was watched. QMP events STOP and"
        " RESUME.",
        _stopped,
        (Label("cause", tuple(StopCause)),),
        ticks=True,
    ),
    Counter(
        "qemu_vm_reboots_total",
        "Reboots of the machine: RESETs within 1 s count as one. QMP event RESET.",
        (Label("guest", BOOLEANS),),
        on=Rebooted,
    ),
    Counter(
        "qemu_vm_suspends_total",
        "Times the guest went to sleep. QMP events SUSPEND (memory) and SUSPEND_DISK (disk).",
        (Label("state", ("memory", "disk")),),
        on=Suspended,
    ),
    Sampled(
        "qemu_block_io_status",
        "State of the disk: failed or nospace while an error keeps the VM stopped. QMP command"
        " query-block and event BLOCK_IO_ERROR.",
        _io_status,
        (Label("device"), Label("status", IO_STATUSES)),
    ),
    Sampled(
        "qemu_block_failed_operations_total",
        "Requests of the guest that failed and were reported to it, all of them, as QEMU counts"
        " itself; not those that stopped the machine or were ignored, which only"
        " qemu_block_io_errors_total has. It begins anew with QEMU. QMP command query-blockstats.",
        _failed,
        (Label("device"), OPERATION),
    ),
    Sampled(
        "qemu_migration_status",
        "Status of the migration under way or of the last one: 1 for the present one. QMP event"
        " MIGRATION.",
        _migration_status,
        (Label("status", MIGRATION_STATUSES),),
    ),
    Counter(
        "qemu_migrations_total",
        "Migrations that ended. Both ends count: sum over role=source. QMP event MIGRATION.",
        (Label("role", tuple(Role)), Label("outcome", MIGRATION_OUTCOMES)),
        on=MigrationEnded,
    ),
    Sampled(
        "qemu_migration_last_duration_seconds",
        "How long the last migration took, if its begin was seen. QMP event MIGRATION.",
        lambda vm, _: _value(vm.migration.seconds),
    ),
    Sampled(
        "qemu_migration_last_downtime_seconds",
        "How long the guest did not run in the last migration. QMP command query-migrate.",
        lambda vm, _: _value(vm.migration.downtime),
    ),
    Sampled(
        "qemu_migration_last_transferred_bytes",
        "Memory that the last migration moved. QMP command query-migrate.",
        lambda vm, _: _value(vm.migration.transferred),
    ),
    Sampled(
        "qemu_display_connections",
        "Open connections (VNC) or channels (SPICE). QMP events VNC_* and SPICE_*.",
        _connections,
        (PROTOCOL,),
    ),
    Sampled(
        "qemu_display_sessions",
        "Authenticated display sessions. QMP events VNC_* and SPICE_*.",
        _sessions,
        (PROTOCOL,),
    ),
    Counter(
        "qemu_display_connects_total",
        "Connections (VNC) or channels (SPICE) opened. QMP events VNC_CONNECTED and"
        " SPICE_CONNECTED.",
        (PROTOCOL,),
        on=ClientConnected,
    ),
    Counter(
        "qemu_display_logins_total",
        "Display sessions that became active, by how they were authenticated. QMP events"
        " VNC_INITIALIZED and SPICE_INITIALIZED.",
        (PROTOCOL, Label("auth", DISPLAY_AUTHS)),
        on=SessionOpened,
        preset=NONE,
    ),
    Counter(
        "qemu_display_incomplete_connects_total",
        "Connections closed before they were authenticated: a refused login or a port probe. QMP"
        " events VNC_DISCONNECTED and SPICE_DISCONNECTED.",
        (PROTOCOL,),
        on=ClientIncomplete,
    ),
    Sampled(
        "qemu_jobs",
        "Jobs that QEMU knows, by status, once there was one. QMP event JOB_STATUS_CHANGE and"
        " command query-jobs.",
        _jobs,
        (JOB_STATUS,),
    ),
    Sampled(
        "qemu_block_job_last_duration_seconds",
        "How long the last block job of its type took, from created to its end. QMP events"
        " JOB_STATUS_CHANGE, BLOCK_JOB_COMPLETED and BLOCK_JOB_CANCELLED.",
        lambda vm, _: (((kind,), seconds) for kind, seconds in vm.jobs.seconds.items()),
        (Label("type", JOB_TYPES),),
    ),
    Sampled(
        "qmp_exporter_target_state",
        "What is known of the VM's monitor: 1 for the present state.",
        lambda vm, _: _one_of(tuple(TargetState), vm.target),
        (Label("state", tuple(TargetState)),),
    ),
    Counter(
        "qmp_exporter_connects_total",
        "Sessions established with the VM's monitor.",
        on=Connected,
    ),
    Counter(
        "qmp_exporter_disconnects_total",
        "Established sessions that ended.",
        (Label("reason", tuple(LostCause)),),
        on=Disconnected,
    ),
    Sampled(
        "qmp_exporter_unobserved_seconds_total",
        "Seconds in which the VM was known and not watched: events may have been missed.",
        lambda vm, now: (((), vm.unwatched(now)),),
        ticks=True,
    ),
)

EVENTS_TOTAL: Final = Counter(
    "qemu_events_total",
    "QMP events received; other: an event that is not in the catalog.",
    (Label("event", tuple(spec.name for spec in EVENTS)),),
    preset=(*((spec.name,) for spec in EVENTS if not spec.rare), (OTHER,)),
    fleet="qmp_exporter_fleet_events_total",
)
LAST_EVENT: Final = LastValue(
    "qemu_last_event_timestamp_seconds",
    "When the VM's newest event was sent, in Unix time by QEMU's clock.",
    "time",
)
DECODE_ERRORS: Final = Counter(
    "qmp_exporter_decode_errors_total",
    "Lines of the monitor that are not the event they claim to be.",
    (Label("event", tuple(spec.name for spec in EVENTS)),),
    preset=((OTHER,),),
)

VmMetric: TypeAlias = Counter | LastValue | Sampled

ALL_VM_METRICS: Final[tuple[VmMetric, ...]] = (
    EVENTS_TOTAL,
    LAST_EVENT,
    # Once, also those that several events raise or set.
    *dict.fromkeys(counter for spec in EVENTS for counter in spec.counters),
    *dict.fromkeys(gauge for spec in EVENTS for gauge in spec.gauges),
    *VM_METRICS,
    DECODE_ERRORS,
)
"""All metrics that have the label ``vm``, in the order in which they are shown."""

FLEET_METRICS: Final = {
    metric.fleet: metric
    for metric in ALL_VM_METRICS
    if isinstance(metric, Counter) and metric.fleet
}
"""Counters over all VMs, by name, and the counters of a VM that they add up."""
