"""Events of devices: clock, balloon, serial ports, hot-plug, memory dumps.

They stand in QEMU's qapi/misc-target.json, machine.json, char.json, acpi.json, qdev.json and
dump.json.
"""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.acpi import SOURCE_NAMES, STATUS_NAMES, source_name, status_name
from qmp_exporter.catalog.operations import DUMP
from qmp_exporter.catalog.spec import (
    NONE,
    Counter,
    EventSpec,
    Int,
    Label,
    LastValue,
    Payload,
    Severity,
    Tells,
)
from qmp_exporter.catalog.states import ACPI_SLOT_TYPES, DUMP_STATUSES, UNKNOWN


class RtcChange(Payload, frozen=True):
    """Data of RTC_CHANGE.

    Attributes:
        offset: seconds that the guest's clock is ahead of the one that ``-rtc base`` gave it.
    """

    offset: Int


class BalloonChange(Payload, frozen=True):
    """Data of BALLOON_CHANGE.

    Attributes:
        actual: memory that the guest has, in bytes.
    """

    actual: Int


class PortChange(Payload, frozen=True):
    """Data of VSERPORT_CHANGE."""

    id: str
    open: bool


class OstInfo(Payload, frozen=True):
    """QAPI ACPIOSTInfo; the device's name is not kept."""

    slot_type: str
    source: Int
    status: Int


class Ost(Payload, frozen=True):
    """Data of ACPI_DEVICE_OST: under ``info``, or flat as documents of old QEMUs have it."""

    info: OstInfo | None = None
    slot_type: str = ""
    source: Int = -1
    status: Int = -1

    @property
    def slot(self) -> str:
        """The kind of slot: a QAPI ACPISlotType."""
        return self.info.slot_type if self.info else self.slot_type

    @property
    def source_text(self) -> str:
        """The source event by its name in the ACPI specification."""
        return source_name(self.info.source if self.info else self.source)

    @property
    def status_text(self) -> str:
        """The status by its name in the ACPI specification."""
        if self.info:
            return status_name(self.info.source, self.info.status)
        return status_name(self.source, self.status)


class MemUnplugError(Payload, frozen=True):
    """Data of MEM_UNPLUG_ERROR; ``msg`` is text for people and not kept."""

    device: str

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "memory-unplug-error"


class UnplugGuestError(Payload, frozen=True):
    """Data of DEVICE_UNPLUG_GUEST_ERROR.

    Attributes:
        device: the device's id, if it has one.
        path: its QOM path.
    """

    device: str = ""
    path: str = ""

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "device-unplug-error"

    @property
    def name(self) -> str:
        """The device's id; ``unknown`` for one without, whose path may be anonymous."""
        return self.device or UNKNOWN


class DumpResult(Payload, frozen=True):
    """QAPI DumpQueryResult; sizes in bytes."""

    status: str
    completed: Int
    total: Int


class DumpCompleted(Payload, frozen=True):
    """Data of DUMP_COMPLETED; ``error`` is text for people and not kept."""

    result: DumpResult

    @property
    def status(self) -> str:
        """A QAPI DumpStatus."""
        return self.result.status

    @property
    def failure(self) -> str:
        """What kind of failure it is, if it is one."""
        return "dump-failed" if self.status == "failed" else ""

    @property
    def written(self) -> int:
        """Bytes written."""
        return self.result.completed

    @property
    def size(self) -> int:
        """Bytes that the whole dump has."""
        return self.result.total


EVENTS: Final = (
    EventSpec(
        "RTC_CHANGE",
        "The guest set its real-time clock.",
        "misc-target.json",
        payload=RtcChange,
        samples=(
            {"offset": 78, "qom-path": "/machine/unattached/device[3]/rtc"},
            {"offset": -3600},
        ),
        limited="the machine",
        gauges=(
            LastValue(
                "qemu_rtc_offset_seconds",
                "How far the guest's clock is ahead of the one that -rtc base gave it, as last set."
                " QMP event RTC_CHANGE.",
                "offset",
            ),
        ),
    ),
    EventSpec(
        "BALLOON_CHANGE",
        "The guest gave memory back to the host, or took it.",
        "machine.json",
        payload=BalloonChange,
        samples=({"actual": 944766976},),
        limited="the machine",
        gauges=(
            LastValue(
                "qemu_balloon_actual_bytes",
                "Memory that the guest has left, the balloon taken off. QMP event BALLOON_CHANGE"
                " and query-balloon.",
                "actual",
            ),
        ),
    ),
    EventSpec(
        "VSERPORT_CHANGE",
        "The guest opened or closed a virtio-serial port.",
        "char.json",
        payload=PortChange,
        samples=({"id": "channel0", "open": True},),
        limited="id",
        gauges=(
            LastValue(
                "qemu_virtio_serial_port_open",
                "Whether the guest has the virtio-serial port open. QMP event VSERPORT_CHANGE.",
                "open",
                (Label("port", field="id"),),
            ),
        ),
    ),
    EventSpec(
        "ACPI_DEVICE_OST",
        "The guest reported how it got on with a device plugged in or out (ACPI method _OST).",
        "acpi.json",
        payload=Ost,
        samples=(
            {
                "info": {
                    "device": "d1",
                    "slot": "0",
                    "slot-type": "DIMM",
                    "source": 3,
                    "status": 132,
                }
            },
            {"device": "d1", "slot": "0", "slot-type": "DIMM", "source": 1, "status": 0},
        ),
        counters=(
            Counter(
                "qemu_acpi_device_ost_total",
                "Reports of the guest on hot-plug and hot-unplug, with the names of the ACPI"
                " specification. QMP event ACPI_DEVICE_OST.",
                (
                    Label("slot_type", ACPI_SLOT_TYPES, field="slot"),
                    Label("source", SOURCE_NAMES, field="source_text"),
                    Label("status", STATUS_NAMES, field="status_text"),
                ),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "MEM_UNPLUG_ERROR",
        "Memory could not be unplugged. QEMU 9.1 removed this event.",
        "machine.json",
        payload=MemUnplugError,
        samples=({"device": "dimm1", "msg": "acpi: device unplug for unsupported device"},),
        severity=Severity.WARN,
        counters=(
            Counter(
                "qemu_memory_unplug_errors_total",
                "Memory devices that could not be unplugged. QMP event MEM_UNPLUG_ERROR, until"
                " QEMU 9.1.",
                (Label("device"),),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "DEVICE_UNPLUG_GUEST_ERROR",
        "The guest refused to let a device go.",
        "qdev.json",
        payload=UnplugGuestError,
        samples=({"device": "core1", "path": "/machine/peripheral/core1"}, {"path": "/machine"}),
        severity=Severity.WARN,
        counters=(
            Counter(
                "qemu_device_unplug_errors_total",
                "Devices that the guest refused to let go. QMP event DEVICE_UNPLUG_GUEST_ERROR.",
                (Label("device", field="name"),),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "DUMP_COMPLETED",
        "A dump of the guest's memory ended.",
        "dump.json",
        payload=DumpCompleted,
        samples=(
            {"result": {"total": 1090650112, "status": "completed", "completed": 1090650112}},
            {
                "result": {"total": 67371008, "status": "failed", "completed": 0},
                "error": "dump: failed to write elf header: No space left on device",
            },
        ),
        operation=DUMP,
        tells=Tells(
            DUMP,
            {
                "qemu.dump.status": "status",
                "qemu.dump.written": "written",
                "qemu.dump.size": "size",
            },
            {"failed": "dump-failed"},
        ),
        counters=(
            Counter(
                "qemu_dumps_total",
                "Dumps of the guest's memory that ended. QMP event DUMP_COMPLETED.",
                (Label("status", DUMP_STATUSES),),
            ),
        ),
        gauges=(
            LastValue(
                "qemu_dump_written_bytes",
                "Bytes written by the last dump of the guest's memory. QMP event DUMP_COMPLETED.",
                "written",
            ),
            LastValue(
                "qemu_dump_size_bytes",
                "Bytes of the whole last dump of the guest's memory. QMP event DUMP_COMPLETED.",
                "size",
            ),
        ),
    ),
    EventSpec(
        "DEVICE_DELETED",
        "A device was unplugged, and is gone.",
        "qdev.json",
        rare=True,
        samples=(
            {"device": "disk1", "path": "/machine/peripheral/disk1"},
            {"path": "/machine/peripheral/disk1/virtio-backend"},
        ),
        counters=(
            Counter(
                "qemu_devices_deleted_total",
                "Devices, and parts of devices, that were unplugged and are gone. QMP event"
                " DEVICE_DELETED.",
            ),
        ),
    ),
    EventSpec(
        "VFU_CLIENT_HANGUP",
        "The client of a device that QEMU serves to others (vfio-user) went away.",
        "misc.json",
        rare=True,
        samples=(
            {
                "vfu-id": "vfu1",
                "vfu-qom-path": "/objects/vfu1",
                "dev-id": "sas1",
                "dev-qom-path": "/machine/peripheral/sas1",
            },
        ),
        severity=Severity.WARN,
    ),
    EventSpec(
        "CPU_POLARIZATION_CHANGE",
        "The guest asked for another polarization of its CPUs (s390). Unstable in QEMU 11.",
        "machine-s390x.json",
        rare=True,
        samples=({"polarization": "horizontal"},),
    ),
    EventSpec(
        "SCLP_CPI_INFO_AVAILABLE",
        "The guest told what it is (s390). Unstable in QEMU 11.",
        "machine-s390x.json",
        rare=True,
        samples=(None,),
    ),
)
