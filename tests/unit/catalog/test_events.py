"""Every event of the catalog, from its sample to the page.

What is here follows from the entries: an event that is added is tested without a line of code.
The table of effects at the end holds what people have read in QEMU's documentation.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from builders import (
    BOOT,
    START,
    Series,
    Watch,
    blocks,
    connected,
    decode,
    drive,
    event,
    line,
    reply,
    samples,
    spice_channels,
    status,
    vnc_clients,
)
from qmp_exporter.catalog.events import BY_NAME, EVENTS, UNCATALOGUED
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, EVENTS_TOTAL
from qmp_exporter.catalog.spec import Counter, EventSpec, Label
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import BlockDevice, BlockDevices, Node
from spec_examples import SPEC_EVENTS


if TYPE_CHECKING:
    from collections.abc import Iterator


SAMPLES = [
    pytest.param(spec, data, id=f"{spec.name}-{number}")
    for spec in EVENTS
    for number, data in enumerate(spec.samples)
]
FLEET_EVENTS = "qmp_exporter_fleet_events_total"
LAST = "qemu_last_event_timestamp_seconds"


def vm() -> Watch:
    """Return a VM that runs, with disks, a quorum, and both displays."""
    watch = Watch()
    quorum = BlockDevice("usr1", "", "ok", Node("quorum0", "quorum"))
    disks = (drive("disk0"), drive("ide0-hd1"), quorum)
    watch.all(connected(), status("running"), reply(Ask.BLOCK, BlockDevices(disks)))
    watch.all(vnc_clients(), spice_channels())
    return watch


def risen(before: dict[Series, float], after: dict[Series, float]) -> dict[Series, float]:
    """Return by how much the counters rose, without those of events."""
    assert before.keys() <= after.keys()
    ups = {s: after[s] - before.get(s, 0) for s in after if s[0].endswith("_total")}
    assert all(up >= 0 for up in ups.values())
    return {s: up for s, up in ups.items() if up and s[0] not in (EVENTS_TOTAL.name, FLEET_EVENTS)}


def shown(label: Label, found: Any) -> str:
    """Return how a value of a closed set is shown."""
    text = str(found).lower() if isinstance(found, bool) else str(found)
    return text if text in label.values else "other"


def expected(counter: Counter, data: Any, watch: Watch) -> Iterator[tuple[Series, float]]:
    """Yield the row that an event raises, read from the entry without the code that counts."""
    if counter.when and not attrgetter(counter.when)(data):
        return
    values = ["web"]
    for label in counter.labels:
        if label.disk:
            values.append(watch.vm.disk_of(data))
        elif label.values:
            values.append(shown(label, attrgetter(label.source)(data)))
        else:
            values.append(attrgetter(label.source)(data))
    up = attrgetter(counter.add)(data) if counter.add else 1
    if up:
        yield (counter.name, tuple(values)), up


@pytest.mark.parametrize(("spec", "data"), SAMPLES)
def test_its_counters_rise_and_no_others(spec: EventSpec, data: object) -> None:
    """One row of each of its counters, those of the changes it makes, and nothing else."""
    watch = vm()
    before = samples(watch.page(9))
    given = event(spec.name, data, 5)
    step = watch.feed(given)
    found = risen(before, samples(watch.page(9)))
    changed = {type(change) for change in step.changes}
    by_change = {m.name for m in ALL_VM_METRICS if isinstance(m, Counter) and m.on in changed}
    by_event = dict(
        pair for counter in spec.counters for pair in expected(counter, given.data, watch)
    )
    of_changes = {s: up for s, up in found.items() if s[0] in by_change}
    assert {s: up for s, up in found.items() if s not in of_changes} == by_event
    assert {name for name, _ in of_changes} == by_change


@pytest.mark.parametrize(("spec", "data"), SAMPLES)
def test_it_is_counted_as_an_event(spec: EventSpec, data: object) -> None:
    """Once, for the VM and for the fleet; no other kind of event rises."""
    watch = vm()
    watch.feed(event(spec.name, data, 5))
    assert watch.risen(EVENTS_TOTAL.name) == {(spec.name,): 1}
    page = samples(watch.page()).items()
    fleet = {values: n for (name, values), n in page if name == FLEET_EVENTS}
    assert {values for values, n in fleet.items() if n} == {(spec.name,)}
    assert watch.value(LAST) == START + 5


@pytest.mark.parametrize(("spec", "data"), SAMPLES)
def test_its_gauges_are_set(spec: EventSpec, data: object) -> None:
    """Each to the value of its member."""
    watch = vm()
    given = event(spec.name, data, 5)
    watch.feed(given)
    for gauge in spec.gauges:
        values = tuple(str(attrgetter(label.source)(given.data)) for label in gauge.labels)
        assert watch.value(gauge.name, *values) == float(attrgetter(gauge.field)(given.data))


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_its_entry_is_complete(spec: EventSpec) -> None:
    """A sentence, a schema file, a sample; HELP of what it counts and sets names the event."""
    assert spec.help.endswith(".")
    assert spec.source.endswith(".json")
    assert spec.samples
    assert spec.name.isupper()
    helps = [counter.help for counter in spec.counters] + [gauge.help for gauge in spec.gauges]
    family = f"{spec.name.partition('_')[0]}_*"
    assert all("QMP event" in text for text in helps)
    assert all(spec.name in text or family in text for text in helps)


NAMED = [spec for spec in EVENTS if not spec.rare or spec.counters or spec.gauges]


@pytest.mark.parametrize("spec", NAMED, ids=lambda spec: spec.name)
def test_it_is_named_in_the_help_of_some_metric(spec: EventSpec) -> None:
    """Who looks for an event on the page finds it, if only as a family such as VNC_*."""
    family = f"{spec.name.partition('_')[0]}_*"
    assert any(spec.name in metric.help or family in metric.help for metric in ALL_VM_METRICS)


def test_the_events_of_the_documents_are_all_here() -> None:
    """The 24 that the project began with, and no name twice."""
    assert set(BY_NAME) >= SPEC_EVENTS
    assert len(BY_NAME) == len(EVENTS)


def test_an_event_without_an_entry_is_other() -> None:
    """Its name is no label; nothing else rises."""
    watch = vm()
    before = samples(watch.page(9))
    watch.feed(event("VCPU_MELTED", {"device-id": "x", "device-state": "stop"}, 5))
    assert risen(before, samples(watch.page(9))) == {}
    assert watch.risen(EVENTS_TOTAL.name) == {("other",): 1}
    assert watch.vm.migration.status == ""
    assert UNCATALOGUED.name == "other"


def poisoned(value: object) -> object:
    """Return JSON with each text in it replaced by one that is in no closed set."""
    match value:
        case str():
            return "POISON"
        case dict():
            return {key: poisoned(inner) for key, inner in value.items()}
        case list():
            return [poisoned(inner) for inner in value]
        case _:
            return value


@pytest.mark.parametrize(("spec", "data"), SAMPLES)
def test_text_of_the_payload_is_in_no_closed_set(spec: EventSpec, data: object) -> None:
    """Whatever QEMU or the guest writes, labels of closed sets show their sets and `other`."""
    watch = vm()
    poison = json.loads(line(spec.name, data, 5)) | {"data": poisoned(data or {})}
    watch.feed(decode(json.dumps(poison).encode(), START + 5, BOOT + 5))
    closed = {m.name: [label.values for label in m.labels] for m in ALL_VM_METRICS}
    for name, (_, *values) in samples(watch.page(9)):
        for value, known in zip(values, closed.get(name, [()] * len(values)), strict=True):
            assert not known or value in {*known, "other"}


@pytest.mark.parametrize(("spec", "data"), SAMPLES)
def test_nothing_else_of_the_guest_is_shown(spec: EventSpec, data: object) -> None:
    """Only ids that the host gives are labels: never error text, arguments, or client addresses."""
    watch = vm()
    watch.feed(event(spec.name, data, 5))
    ids = {"device", "node-name", "qom-path", "reference", "id", "netdev-id", "device-id"}
    secret = set(_texts(data, ids))
    free = {m.name: [not label.values for label in m.labels] for m in ALL_VM_METRICS}
    for name, (_, *values) in samples(watch.page(9)):
        shown_free = {v for v, f in zip(values, free.get(name, []), strict=False) if f}
        assert not shown_free & secret


def _texts(value: object, but: set[str]) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                if key not in but:
                    yield from _texts(inner, but)


IO = ("disk0", "write", "stop")
EFFECTS: dict[str, list[dict[tuple[str, ...], float]]] = {
    "STOP": [{("qemu_vm_status", "paused"): 1}],
    "RESUME": [{("qemu_vm_resumes_total",): 1, ("qemu_vm_running",): 1}],
    "RESET": [
        {
            ("qemu_vm_resets_total", "guest-reset", "true"): 1,
            ("qemu_vm_reboots_total", "true"): 1,
        },
        {("qemu_vm_resets_total", "other", "other"): 1, ("qemu_vm_reboots_total", "other"): 1},
    ],
    "SHUTDOWN": [
        {("qemu_vm_shutdowns_total", "host-qmp-quit", "false"): 1},
        {("qemu_vm_shutdowns_total", "other", "other"): 1},
    ],
    "POWERDOWN": [{("qemu_vm_powerdown_requests_total",): 1}],
    "SUSPEND": [
        {("qemu_vm_suspends_total", "memory"): 1, ("qemu_vm_status", "suspended"): 1},
    ],
    "SUSPEND_DISK": [{("qemu_vm_suspends_total", "disk"): 1}],
    "WAKEUP": [{("qemu_vm_wakeups_total",): 1}],
    "WATCHDOG": [
        {("qemu_watchdog_actions_total", "reset"): 1},
        {("qemu_watchdog_actions_total", "inject-nmi"): 1},
    ],
    "GUEST_PANICKED": [
        {("qemu_guest_panics_total", "pause", "hyper-v"): 1},
        {("qemu_guest_panics_total", "poweroff", "unknown"): 1},
    ],
    "GUEST_CRASHLOADED": [{("qemu_guest_crashloads_total", "run"): 1}],
    "BLOCK_IO_ERROR": [
        {
            ("qemu_block_io_errors_total", *IO): 1,
            ("qemu_block_nospace_errors_total", "disk0"): 1,
            ("qemu_block_io_status", "disk0", "nospace"): 1,
            ("qemu_block_io_status", "disk0", "ok"): 0,
            ("qemu_block_io_status", "ide0-hd1", "ok"): 1,
        },
        {
            ("qemu_block_io_errors_total", "ide0-hd1", "write", "stop"): 1,
            ("qemu_block_nospace_errors_total", "ide0-hd1"): 0,
            ("qemu_block_io_status", "ide0-hd1", "failed"): 1,
        },
    ],
    "QUORUM_FAILURE": [
        {
            ("qemu_quorum_failures_total", "usr1"): 1,
            ("qemu_quorum_failure_sectors_total", "usr1"): 5,
        },
    ],
    "QUORUM_REPORT_BAD": [
        {
            ("qemu_quorum_bad_reports_total", "node0", "read"): 1,
            ("qemu_quorum_bad_sectors_total", "node0", "read"): 5,
        },
        {
            ("qemu_quorum_bad_reports_total", "node0", "other"): 1,
            ("qemu_quorum_bad_sectors_total", "node0", "other"): 2097120,
        },
    ],
    "MIGRATION": [
        {("qemu_migration_status", "active"): 1, ("qemu_migration_status", "completed"): 0},
        {
            ("qemu_migration_status", "completed"): 1,
            ("qemu_migrations_total", "source", "completed"): 1,
            ("qemu_migrations_total", "destination", "completed"): 0,
        },
    ],
    "MIGRATION_PASS": [{("qemu_migration_passes_total",): 1, ("qemu_migration_pass",): 2}],
    "SPICE_MIGRATE_COMPLETED": [{("qemu_spice_migrations_total",): 1}],
    "VNC_CONNECTED": [
        {
            ("qemu_display_connects_total", "vnc"): 1,
            ("qemu_display_connections", "vnc"): 1,
            ("qemu_display_sessions", "vnc"): 0,
        },
    ],
    "VNC_INITIALIZED": [
        {("qemu_display_logins_total", "vnc", "sasl"): 1, ("qemu_display_sessions", "vnc"): 1},
    ],
    "SPICE_CONNECTED": [
        {
            ("qemu_display_connects_total", "spice"): 1,
            ("qemu_display_connections", "spice"): 1,
            ("qemu_display_sessions", "spice"): 0,
        },
    ],
    "SPICE_INITIALIZED": [
        {
            ("qemu_display_logins_total", "spice", "spice"): 1,
            ("qemu_display_sessions", "spice"): 1,
        },
    ],
    "RTC_CHANGE": [{("qemu_rtc_offset_seconds",): 78}, {("qemu_rtc_offset_seconds",): -3600}],
    "BALLOON_CHANGE": [{("qemu_balloon_actual_bytes",): 944766976}],
    "VSERPORT_CHANGE": [{("qemu_virtio_serial_port_open", "channel0"): 1}],
    "ACPI_DEVICE_OST": [
        {("qemu_acpi_device_ost_total", "DIMM", "eject-request", "ejection-in-progress"): 1},
        {("qemu_acpi_device_ost_total", "DIMM", "device-check", "success"): 1},
    ],
    "MEM_UNPLUG_ERROR": [{("qemu_memory_unplug_errors_total", "dimm1"): 1}],
    "DEVICE_UNPLUG_GUEST_ERROR": [
        {("qemu_device_unplug_errors_total", "core1"): 1},
        {("qemu_device_unplug_errors_total", "unknown"): 1},
    ],
    "DUMP_COMPLETED": [
        {
            ("qemu_dumps_total", "completed"): 1,
            ("qemu_dump_written_bytes",): 1090650112,
            ("qemu_dump_size_bytes",): 1090650112,
        },
        {
            ("qemu_dumps_total", "failed"): 1,
            ("qemu_dump_written_bytes",): 0,
            ("qemu_dump_size_bytes",): 67371008,
        },
    ],
    "GUEST_PVSHUTDOWN": [{("qemu_guest_pvshutdowns_total",): 1}],
    "MEMORY_FAILURE": [{("qemu_memory_failures_total", "guest", "inject"): 1}],
    "MEMORY_DEVICE_SIZE_CHANGE": [{("qemu_memory_device_size_bytes", "vm0"): 1073741824}],
    "HV_BALLOON_STATUS_REPORT": [
        {
            ("qemu_hv_balloon_committed_bytes",): 816640000,
            ("qemu_hv_balloon_available_bytes",): 3333054464,
        }
    ],
    "BLOCK_IMAGE_CORRUPTED": [
        {("qemu_block_image_corruptions_total", "node0", "true"): 1},
        {("qemu_block_image_corruptions_total", "ide0-hd0", "false"): 1},
    ],
    "BLOCK_WRITE_THRESHOLD": [{("qemu_block_write_threshold_exceeded_total", "node0"): 1}],
    "DEVICE_TRAY_MOVED": [
        {("qemu_block_tray_open", "unknown"): 1},
        {("qemu_block_tray_open", "ide1-cd0"): 0},
    ],
    "PR_MANAGER_STATUS_CHANGED": [{("qemu_pr_manager_connected", "pr-helper0"): 1}],
    "JOB_STATUS_CHANGE": [
        {("qemu_jobs", "running"): 1, ("qemu_jobs", "ready"): 0},
    ],
    "BLOCK_JOB_COMPLETED": [
        {("qemu_block_jobs_total", "mirror", "completed"): 1},
        {("qemu_block_jobs_total", "mirror", "failed"): 1},
    ],
    "BLOCK_JOB_CANCELLED": [{("qemu_block_jobs_total", "mirror", "cancelled"): 1}],
    "BLOCK_JOB_ERROR": [{("qemu_block_job_errors_total", "write", "stop"): 1}],
    "DEVICE_DELETED": [{("qemu_devices_deleted_total",): 1}, {("qemu_devices_deleted_total",): 1}],
    "NETDEV_STREAM_CONNECTED": [{("qemu_netdev_connected", "netdev0"): 1}],
    "NETDEV_STREAM_DISCONNECTED": [{("qemu_netdev_connected", "netdev0"): 0}],
    "NETDEV_VHOST_USER_CONNECTED": [{("qemu_netdev_connected", "netdev0"): 1}],
    "NETDEV_VHOST_USER_DISCONNECTED": [{("qemu_netdev_connected", "netdev0"): 0}],
    "FAILOVER_NEGOTIATED": [{("qemu_failover_negotiations_total", "net1"): 1}],
    "UNPLUG_PRIMARY": [{("qemu_failover_primary_unplugs_total", "hostdev0"): 1}],
    "VFIO_MIGRATION": [{("qemu_vfio_migration_changes_total", "hostdev0", "stop"): 1}],
    "COLO_EXIT": [{("qemu_colo_exits_total", "primary", "request"): 1}],
}


@pytest.mark.parametrize(
    ("spec", "number"),
    [(BY_NAME[name], n) for name, found in EFFECTS.items() for n in range(len(found))],
    ids=[f"{name}-{n}" for name, found in EFFECTS.items() for n in range(len(found))],
)
def test_it_means_what_people_read_in_it(spec: EventSpec, number: int) -> None:
    """The rows of the table, written down by hand, are on the page after its sample."""
    watch = vm()
    watch.feed(event(spec.name, spec.samples[number], 5))
    for (metric, *values), value in EFFECTS[spec.name][number].items():
        assert watch.value(metric, *values) == value, (metric, values)


@pytest.mark.parametrize("sectors", [-1, -(2**63)])
def test_sectors_never_lower_a_counter(sectors: int) -> None:
    """A negative number of sectors counts as none."""
    watch = vm()
    before = samples(watch.page(9))
    watch.feed(event("QUORUM_FAILURE", {"reference": "usr1", "sectors-count": sectors}, 5))
    watch.feed(event("QUORUM_REPORT_BAD", {"node-name": "n", "sectors-count": sectors}, 5))
    found = risen(before, samples(watch.page(9)))
    assert {name for name, _ in found} == {
        "qemu_quorum_failures_total",
        "qemu_quorum_bad_reports_total",
    }


def test_a_disk_of_an_event_is_one_that_is_known() -> None:
    """The label of a disk is the VM's name of it, whatever the event calls it."""
    watch = Watch()
    watch.all(connected(), status("running"), blocks(drive("", "disk7", "#block3")))
    data = {"device": "", "node-name": "#block3", "operation": "read", "action": "ignore"}
    watch.feed(event("BLOCK_IO_ERROR", data, 1))
    assert watch.risen("qemu_block_io_errors_total") == {("disk7", "read", "ignore"): 1}
