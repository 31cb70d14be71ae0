"""One name for a disk on every QEMU, and what state it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from builders import Watch, blocks, connected, drive, event, lost, reply, status
from qmp_exporter.model.disks import ASK_EVERY, MAX_DISKS, Disks
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import (
    BlockDevice,
    BlockDevices,
    BlockStats,
    DiskCounts,
    DiskStats,
    Node,
)


if TYPE_CHECKING:
    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Reply


ERRORS = "qemu_block_io_errors_total"
NOSPACE = "qemu_block_nospace_errors_total"
STATUS = "qemu_block_io_status"

DISK1 = "/machine/peripheral/disk1/virtio-backend"
ANONYMOUS = "/machine/peripheral-anon/device[3]/virtio-backend"


def asked(watch: Watch) -> list[Ask]:
    """Return what was asked, but for the failures that QEMU counts."""
    return [ask for ask in watch.asks if ask is not Ask.BLOCKSTATS]


def error(at: float = 0.0, *, late: float = 0.0, **data: object) -> Event:
    """Return a BLOCK_IO_ERROR that was reported to the guest, unless ``data`` says else."""
    found: dict[str, object] = {"device": "", "operation": "write", "action": "report"}
    found |= {key.replace("_", "-"): value for key, value in data.items()}
    return event("BLOCK_IO_ERROR", found, at, late=late)


def vm(*drives: BlockDevice) -> Watch:
    """Return a VM that runs, with these disks."""
    watch = Watch()
    watch.all(connected(), status("running"), blocks(*drives))
    return watch


def names(watch: Watch, metric: str = ERRORS) -> set[str]:
    """Return the disks of which something was counted."""
    return {values[0] for values in watch.risen(metric)}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"device": "ide0-hd1"}, "ide0-hd1"),
        ({"device": "ide0-hd1", "qom_path": DISK1, "node_name": "n"}, "ide0-hd1"),
        ({"qom_path": DISK1}, "disk1"),
        ({"qom_path": DISK1, "node_name": "node0"}, "disk1"),
        ({"qom_path": "/machine/peripheral/disk1"}, "disk1"),
        ({"qom_path": ANONYMOUS, "node_name": "node0"}, "node0"),
        ({"qom_path": "/machine/unattached/device[3]", "node_name": "#block12"}, "unknown"),
        ({"qdev": DISK1}, "disk1"),
        ({"qdev": "disk1"}, "disk1"),
        ({"node_name": "node0"}, "node0"),
        ({"node_name": "#block088"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_name_of_a_disk(data: dict[str, Any], name: str) -> None:
    """The device; the id in its path; the node's name if it is one that stays; `unknown`."""
    watch = vm()
    watch.feed(error(**data))
    assert names(watch) == {name}


@pytest.mark.parametrize("node", ["node0", "#block088"])
@pytest.mark.parametrize(
    ("device", "qdev", "name"),
    [("drive0", "", "drive0"), ("", DISK1, "disk1"), ("", "disk1", "disk1")],
)
def test_a_node_is_looked_up(node: str, device: str, qdev: str, name: str) -> None:
    """An old QEMU tells only the node: query-block told whose it is, and nothing is asked."""
    watch = vm(drive(device, qdev, node))
    assert watch.value(ERRORS, name, "write", "report") == 0
    watch.feed(error(node_name=node))
    assert watch.value(ERRORS, name, "write", "report") == 1
    assert asked(watch) == []


def test_the_series_that_is_preset_is_the_one_that_rises() -> None:
    """Old and new QEMU, drive and blockdev: the events of a disk raise rows that were at 0."""
    watch = vm(drive("drive0"), drive("", DISK1, "#block1"), drive("", ANONYMOUS, "node2"))
    preset = watch.rows(ERRORS)
    assert set(preset.values()) == {0}
    told: list[dict[str, Any]] = [
        {"device": "drive0"},
        {"device": "drive0"},
        {"qom_path": DISK1},
        {"node_name": "#block1"},
        {"qom_path": ANONYMOUS, "node_name": "node2"},
        {"node_name": "node2"},
    ]
    for data in told:
        watch.feed(error(nospace=True, **data))
    assert watch.rows(ERRORS).keys() == preset.keys()
    assert watch.risen(ERRORS) == {
        (disk, "write", "report"): 2 for disk in ("drive0", "disk1", "node2")
    }
    assert watch.risen(NOSPACE) == {(disk,): 2 for disk in ("drive0", "disk1", "node2")}
    assert {values[0] for values in watch.rows(STATUS)} == {"drive0", "disk1", "node2"}


def test_an_unknown_node_is_asked_for_at_most_once_in_ten_seconds() -> None:
    """A storm of errors of a disk plugged in later costs one query-block."""
    watch = vm()
    for tenth in range(50):
        watch.feed(error(tenth / 10, node_name="#block7"))
    assert asked(watch) == [Ask.BLOCK]
    watch.feed(blocks(drive("", "disk7", "#block8"), at=6))
    watch.feed(error(ASK_EVERY - 0.25, node_name="#block7"))
    assert asked(watch) == [Ask.BLOCK]
    watch.feed(error(ASK_EVERY, node_name="#block7"))
    assert asked(watch) == [Ask.BLOCK] * 2
    watch.feed(blocks(drive("", "disk7", "#block7"), at=11))
    watch.feed(error(60, node_name="#block7"))
    assert asked(watch) == [Ask.BLOCK] * 2
    assert names(watch) == {"unknown", "disk7"}


def test_the_last_query_is_not_repeated_before_its_answer() -> None:
    """One query-block is outstanding at most, however long it takes."""
    watch = vm()
    watch.feed(error(0, node_name="#block7"))
    watch.feed(error(30, node_name="#block7"))
    assert asked(watch) == [Ask.BLOCK]
    watch.feed(reply(Ask.BLOCK, None, 31))
    watch.feed(error(60, node_name="#block7"))
    assert asked(watch) == [Ask.BLOCK] * 2


def test_a_named_disk_is_not_asked_for() -> None:
    """Who tells its device or its path tells enough."""
    watch = vm()
    watch.feed(error(device="new"))
    watch.feed(error(qom_path=DISK1, node_name="#block7"))
    assert asked(watch) == []


@pytest.mark.parametrize("nospace", [True, False])
def test_an_error_that_stops_the_vm_is_the_disks_state(nospace: bool) -> None:  # noqa: FBT001
    """Failed, or no space; the first one sticks until the VM is resumed."""
    watch = vm(drive("disk0"), drive("disk1"))
    state = "nospace" if nospace else "failed"
    watch.feed(error(1, device="disk0", action="stop", nospace=nospace))
    watch.feed(error(2, device="disk0", action="stop", nospace=not nospace))
    assert watch.risen(STATUS) == {("disk0", state): 1, ("disk1", "ok"): 1}
    watch.feed(event("RESUME", at=3))
    assert watch.risen(STATUS) == {("disk0", "ok"): 1, ("disk1", "ok"): 1}


@pytest.mark.parametrize("action", ["report", "ignore", "a new one"])
def test_other_errors_are_not(action: str) -> None:
    """What QEMU reports to the guest or ignores leaves the disk's state."""
    watch = vm(drive("disk0"))
    watch.feed(error(1, device="disk0", action=action))
    assert watch.risen(STATUS) == {("disk0", "ok"): 1}


def test_a_disk_that_is_new_gets_a_state() -> None:
    """An error of a disk that no query told of makes its rows."""
    watch = vm()
    watch.feed(error(1, device="new", action="stop"))
    assert watch.risen(STATUS) == {("new", "failed"): 1}
    assert watch.value(NOSPACE, "new") == 0


def test_a_late_error_does_not_undo_what_was_read() -> None:
    """An event stamped before query-block was answered is counted, and moves no state."""
    watch = Watch()
    watch.all(connected(), status("paused", 1), blocks(drive("disk0"), at=5))
    late = error(4.5, late=1, device="disk0", action="stop")
    watch.feed(late)
    assert watch.risen(STATUS) == {("disk0", "ok"): 1}
    assert names(watch) == {"disk0"}
    watch.feed(error(5, device="disk0", action="stop"))
    assert watch.risen(STATUS) == {("disk0", "failed"): 1}


@pytest.mark.parametrize(
    ("io", "shown"),
    [("ok", "ok"), ("failed", "failed"), ("nospace", "nospace"), (None, "ok"), ("new", "other")],
)
def test_the_state_is_read_of_a_stopped_vm(io: str | None, shown: str) -> None:
    """query-block seeds the state; one that is not known is `other`."""
    watch = Watch()
    watch.all(connected(), status("io-error"), blocks(drive("disk0", io=io)))
    assert watch.risen(STATUS) == {("disk0", shown): 1}


def test_the_state_of_a_running_vm_is_ok() -> None:
    """QEMU keeps an old error of a -blockdev disk for ever: no error stops a VM that runs."""
    assert vm(drive("", "disk0", "n", io="nospace")).risen(STATUS) == {("disk0", "ok"): 1}


def test_a_quorum_is_known_by_the_name_its_events_have() -> None:
    """QUORUM_FAILURE names the drive, or the node where it has none: both are preset at 0."""
    watch = Watch()
    devices = (
        BlockDevice("drive0", "", "ok", Node("node0", "quorum")),
        BlockDevice("", "disk1", "ok", Node("node1", "quorum")),
        BlockDevice("", "disk2", "ok", Node("node2", "qcow2")),
    )
    watch.all(connected(), status("running"), reply(Ask.BLOCK, BlockDevices(devices)))
    failures = "qemu_quorum_failures_total"
    assert watch.rows(failures) == {("drive0",): 0, ("node1",): 0}
    watch.feed(event("QUORUM_FAILURE", {"reference": "node1", "sectors-count": 8}, 1))
    assert watch.risen(failures) == {("node1",): 1}
    assert watch.risen("qemu_quorum_failure_sectors_total") == {("node1",): 8}


def test_a_drive_without_medium_has_no_node() -> None:
    """An empty CD drive is a disk that is well."""
    watch = vm(BlockDevice("ide1-cd0"))
    assert watch.risen(STATUS) == {("ide1-cd0", "ok"): 1}
    assert watch.vm.disks.nodes == {}


def test_hostile_names_become_text() -> None:
    """What a QEMU calls its disks is cut and cleaned before it is a label."""
    watch = vm(drive("a\nb" + "x" * 300))
    (name,) = {values[0] for values in watch.rows(STATUS)}
    assert name.startswith("a?bxx")
    assert len(name) == 128


def test_the_disks_survive_a_reconnection() -> None:
    """Counts and rows go on when the same process answers again."""
    watch = vm(drive("disk0"))
    watch.feed(error(1, device="disk0"))
    watch.all(lost(2), connected(3), status("running", 3), blocks(drive("disk0"), at=3))
    assert names(watch) == {"disk0"}
    assert watch.risen(STATUS) == {("disk0", "ok"): 1}


def test_disks_that_are_well_are_left_as_they_are() -> None:
    """RESUME makes nothing new of disks without an error."""
    disks = Disks(status={"disk0": "ok"})
    assert disks.resumed() is disks


def test_more_disks_than_there_is_room_for() -> None:
    """query-block may tell of thousands: the rest share the disk `other`, and that is counted."""
    watch = Watch(label_sets=10**6)
    many = (drive(f"disk{n}", io="failed" if n == 900 else "ok") for n in range(1000))
    watch.all(connected(), status("io-error"), blocks(*many))
    shown = watch.rows(STATUS)
    assert len(shown) == (MAX_DISKS + 1) * 3
    assert watch.value(STATUS, "other", "failed") == 1
    assert watch.overflows == [STATUS]
    watch.feed(blocks(*(drive(f"disk{n}") for n in range(MAX_DISKS)), at=5))
    assert len(watch.rows(STATUS)) == MAX_DISKS * 3
    assert watch.overflows == [STATUS]


def test_more_disks_fail_than_there_is_room_for() -> None:
    """Events of disks that are made up cost no more than a limit either."""
    watch = Watch(label_sets=10**6)
    watch.all(connected(), status("running"))
    for number in range(MAX_DISKS + 3):
        watch.feed(error(number, device=f"disk{number}", action="stop"))
    assert len(watch.rows(STATUS)) == (MAX_DISKS + 1) * 3
    assert watch.value(STATUS, "other", "failed") == 1
    assert watch.overflows == [STATUS] * 3
    assert watch.value(ERRORS, f"disk{MAX_DISKS + 2}", "write", "stop") == 1


def test_of_two_disks_of_one_name_the_failed_one_is_shown() -> None:
    """One that is well does not hide another that is not."""
    watch = Watch()
    watch.all(connected(), status("io-error"), blocks(drive(io="failed"), drive(io="ok")))
    assert watch.risen(STATUS) == {("unknown", "failed"): 1}


def counts(*disks: tuple[str, int, int, int], at: float = 0.0) -> Reply:
    """Return the answer to query-blockstats: names of devices, and their failures."""
    found = tuple(DiskCounts(DiskStats(*failed), device=name) for name, *failed in disks)
    return reply(Ask.BLOCKSTATS, BlockStats(found), at)


def watched(*disks: BlockDevice) -> Watch:
    """Return a VM that runs, with these disks."""
    watch = Watch()
    watch.all(connected(), status("running"), blocks(*disks))
    return watch


FAILED = "qemu_block_failed_operations_total"


def test_failures_are_those_that_qemu_counts() -> None:
    """By disk and operation, at 0 from the first reading; they begin anew with QEMU."""
    watch = watched(drive("disk0"))
    watch.feed(counts(("disk0", 0, 0, 0)))
    assert watch.rows(FAILED) == {("disk0", op): 0 for op in ("read", "write", "flush")}
    watch.feed(counts(("disk0", 200, 3, 1), at=2))
    assert watch.rows(FAILED) == {
        ("disk0", "read"): 200,
        ("disk0", "write"): 3,
        ("disk0", "flush"): 1,
    }
    watch.feed(blocks(drive("disk0")))
    assert watch.value(FAILED, "disk0", "read") == 200
    watch.all(connected(5, pid=2), counts(("disk0", 0, 0, 0), at=5))
    assert watch.value(FAILED, "disk0", "read") == 0


def test_failures_are_asked_for_once_until_the_answer() -> None:
    """However many errors there are, and again with the next one after it."""
    watch = watched(drive("disk0"))
    data = {"device": "disk0", "operation": "read", "action": "report"}
    watch.all(*(event("BLOCK_IO_ERROR", data, 1 + n / 10) for n in range(5)))
    assert watch.asks.count(Ask.BLOCKSTATS) == 1
    watch.all(counts(("disk0", 5, 0, 0), at=2), event("BLOCK_IO_ERROR", data, 3))
    assert watch.asks.count(Ask.BLOCKSTATS) == 2


def test_failures_of_very_many_disks_share_a_row() -> None:
    """As their states do."""
    watch = watched()
    watch.feed(counts(*((f"disk{n}", 1, 0, 0) for n in range(MAX_DISKS + 4))))
    assert len(watch.rows(FAILED)) == 3 * (MAX_DISKS + 1)
    assert watch.value(FAILED, "other", "read") == 4
