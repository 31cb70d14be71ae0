"""Events of disks and what stands behind them.

They stand in QEMU's qapi/block-core.json, block-export.json and block.json.
"""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.spec import (
    NONE,
    Causes,
    Counter,
    EventSpec,
    Int,
    Label,
    LastValue,
    Payload,
    Severity,
)
from qmp_exporter.catalog.states import (
    BOOLEANS,
    IO_ERROR_ACTIONS,
    IO_OPERATIONS,
    QUORUM_OPERATIONS,
    UNKNOWN,
)


SOURCE: Final = "block-core.json"


class IoError(Payload, frozen=True):
    """Data of BLOCK_IO_ERROR; ``reason`` is text for people and not kept.

    Attributes:
        operation: a QAPI IoOperationType.
        action: a QAPI BlockErrorAction.
        device: the name of the drive; empty with -blockdev.
        node_name: the node's name, if it has one.
        qom_path: the guest's device (QEMU 9.2 and later).
        qdev: the same in ``query-block``.
        nospace: whether the host's disk is full; only where QEMU keeps an I/O status.
    """

    operation: str
    action: str
    device: str = ""
    node_name: str = ""
    qom_path: str = ""
    qdev: str = ""
    nospace: bool = False

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "nospace" if self.nospace else "io-error"


class QuorumFailure(Payload, frozen=True):
    """Data of QUORUM_FAILURE.

    Attributes:
        reference: the drive's name if it has one, else the node's.
        sectors_count: sectors of the failed request, of 512 bytes.
    """

    reference: str
    sectors_count: Int = 0

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "quorum-failure"

    @property
    def sectors(self) -> int:
        """Sectors, never negative."""
        return max(0, self.sectors_count)


class QuorumReport(Payload, frozen=True):
    """Data of QUORUM_REPORT_BAD; ``error`` is text for people and not kept."""

    node_name: str
    type: str | None = None
    sectors_count: Int = 0

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "quorum-report-bad"

    @property
    def sectors(self) -> int:
        """Sectors of 512 bytes, never negative."""
        return max(0, self.sectors_count)


class ImageCorrupted(Payload, frozen=True):
    """Data of BLOCK_IMAGE_CORRUPTED; ``msg`` is text for people and not kept.

    Attributes:
        device: the name of the drive; empty with -blockdev.
        fatal: whether the image cannot be used any more.
        node_name: the node's name, if it has one.
    """

    device: str
    fatal: bool
    node_name: str = ""
    qom_path: str = ""
    qdev: str = ""

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "image-corrupted"


class WriteThreshold(Payload, frozen=True):
    """Data of BLOCK_WRITE_THRESHOLD; its numbers are not kept."""

    node_name: str


class TrayMoved(Payload, frozen=True):
    """Data of DEVICE_TRAY_MOVED.

    Attributes:
        id: of the device, or its QOM path.
        tray_open: whether it is open now.
        device: the name of the drive; empty with -blockdev.
    """

    id: str
    tray_open: bool
    device: str = ""

    @property
    def drive(self) -> str:
        """The name of the drive, else the id of the device; ``unknown`` for one without."""
        named = self.device or self.id.removeprefix("/machine/peripheral/")
        return UNKNOWN if "/" in named else named


class PrManager(Payload, frozen=True):
    """Data of PR_MANAGER_STATUS_CHANGED: a helper for persistent reservations."""

    id: str
    connected: bool


DEVICE: Final = Label("device", known="disks", disk=True)
REFERENCE: Final = Label("reference", known="quorums")
NODE: Final = Label("node", field="node_name")
QUORUM_OPERATION: Final = Label("operation", QUORUM_OPERATIONS, field="type")

EVENTS: Final = (
    EventSpec(
        "BLOCK_IO_ERROR",
        "A read or write of the guest's disk failed.",
        SOURCE,
        payload=IoError,
        samples=(
            {
                "qom-path": "/machine/peripheral/disk0",
                "device": "",
                "node-name": "node0",
                "operation": "write",
                "action": "stop",
                "nospace": True,
                "reason": "No space left on device",
            },
            {"device": "ide0-hd1", "operation": "write", "action": "stop"},
        ),
        severity=Severity.ERROR,
        causes=(Causes("STOP", "action", ("stop",)),),
        limited="qom-path, from QEMU 9.2 on",
        counters=(
            Counter(
                "qemu_block_io_errors_total",
                "Failed reads and writes of the guest's disks, by what QEMU did: stop the machine,"
                " report to the guest, or ignore. At least so many: QEMU 9.2 and later send at most"
                " one a second for a disk; qemu_block_failed_operations_total has all that were"
                " reported. QMP event BLOCK_IO_ERROR.",
                (
                    DEVICE,
                    Label("operation", IO_OPERATIONS),
                    Label("action", IO_ERROR_ACTIONS),
                ),
            ),
            Counter(
                "qemu_block_nospace_errors_total",
                "Failed writes because the host's disk is full. QMP event BLOCK_IO_ERROR with"
                " nospace.",
                (DEVICE,),
                when="nospace",
            ),
        ),
    ),
    EventSpec(
        "QUORUM_FAILURE",
        "The quorum driver could not establish a quorum: the guest's request failed.",
        SOURCE,
        payload=QuorumFailure,
        samples=({"reference": "usr1", "sector-num": 345435, "sectors-count": 5},),
        severity=Severity.ERROR,
        limited="the machine",
        counters=(
            Counter(
                "qemu_quorum_failures_total",
                "Requests without a quorum; at least so many, since QEMU sends at most one a"
                " second. QMP event QUORUM_FAILURE.",
                (REFERENCE,),
            ),
            Counter(
                "qemu_quorum_failure_sectors_total",
                "Sectors of 512 bytes of the requests without a quorum. QMP event QUORUM_FAILURE.",
                (REFERENCE,),
                add="sectors",
            ),
        ),
    ),
    EventSpec(
        "QUORUM_REPORT_BAD",
        "A member of a quorum failed or disagrees with the others.",
        SOURCE,
        payload=QuorumReport,
        samples=(
            {
                "type": "read",
                "error": "Broken pipe",
                "node-name": "node0",
                "sector-num": 345435,
                "sectors-count": 5,
            },
            {"node-name": "node0", "sector-num": 0, "sectors-count": 2097120},
        ),
        severity=Severity.WARN,
        limited="node-name",
        counters=(
            Counter(
                "qemu_quorum_bad_reports_total",
                "Reports of a bad quorum member; at least so many, since QEMU sends at most one a"
                " second for a member. QMP event QUORUM_REPORT_BAD.",
                (NODE, QUORUM_OPERATION),
                preset=NONE,
            ),
            Counter(
                "qemu_quorum_bad_sectors_total",
                "Sectors of 512 bytes in the reports of a bad quorum member. QMP event"
                " QUORUM_REPORT_BAD.",
                (NODE, QUORUM_OPERATION),
                add="sectors",
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "BLOCK_IMAGE_CORRUPTED",
        "The image of a disk was found to be corrupt.",
        SOURCE,
        rare=True,
        payload=ImageCorrupted,
        samples=(
            {
                "device": "",
                "node-name": "node0",
                "fatal": True,
                "msg": "Prevented active L1 table overwrite",
                "offset": 196608,
                "size": 65536,
            },
            {"device": "ide0-hd0", "msg": "Table unaligned", "fatal": False},
        ),
        severity=Severity.FATAL,
        counters=(
            Counter(
                "qemu_block_image_corruptions_total",
                "Corruptions found in images of disks; fatal: it cannot be used any more. QMP event"
                " BLOCK_IMAGE_CORRUPTED.",
                (DEVICE, Label("fatal", BOOLEANS)),
            ),
        ),
    ),
    EventSpec(
        "BLOCK_WRITE_THRESHOLD",
        "A write went beyond the threshold that was set, so that the image can be made larger.",
        SOURCE,
        rare=True,
        payload=WriteThreshold,
        samples=({"node-name": "node0", "amount-exceeded": 1024, "write-threshold": 17179869184},),
        severity=Severity.WARN,
        counters=(
            Counter(
                "qemu_block_write_threshold_exceeded_total",
                "Writes beyond the threshold that was set for a node; QEMU sends one and forgets"
                " the threshold. QMP event BLOCK_WRITE_THRESHOLD.",
                (NODE,),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "BLOCK_EXPORT_DELETED",
        "An export of a disk, to NBD or vhost-user clients, is gone.",
        "block-export.json",
        rare=True,
        samples=({"id": "export0"},),
    ),
    EventSpec(
        "DEVICE_TRAY_MOVED",
        "The tray of a removable disk was opened or closed.",
        "block.json",
        rare=True,
        payload=TrayMoved,
        samples=(
            {"device": "", "id": "/machine/unattached/device[22]", "tray-open": True},
            {"device": "ide1-cd0", "id": "cd0", "tray-open": False},
        ),
        gauges=(
            LastValue(
                "qemu_block_tray_open",
                "Whether the tray of the removable disk is open; not known after a reset, which"
                " closes those of CD drives. QMP event DEVICE_TRAY_MOVED.",
                "tray_open",
                (Label("device", field="drive"),),
            ),
        ),
    ),
    EventSpec(
        "PR_MANAGER_STATUS_CHANGED",
        "The helper for persistent reservations of SCSI disks was lost, or is back.",
        "block.json",
        rare=True,
        payload=PrManager,
        samples=({"id": "pr-helper0", "connected": True},),
        severity=Severity.WARN,
        gauges=(
            LastValue(
                "qemu_pr_manager_connected",
                "Whether the helper for persistent reservations is connected. QMP event"
                " PR_MANAGER_STATUS_CHANGED.",
                "connected",
                (Label("manager", field="id"),),
            ),
        ),
    ),
)
