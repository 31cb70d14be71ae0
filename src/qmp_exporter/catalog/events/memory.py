"""Events of memory: failures of the host's, and devices that have it.

They stand in QEMU's qapi/run-state.json and machine.json.
"""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.spec import (
    Counter,
    EventSpec,
    Int,
    Label,
    LastValue,
    Payload,
    Severity,
)
from qmp_exporter.catalog.states import (
    MEMORY_FAILURE_ACTIONS,
    MEMORY_FAILURE_RECIPIENTS,
    UNKNOWN,
)


class MemoryFailure(Payload, frozen=True):
    """Data of MEMORY_FAILURE; its flags are not kept.

    Attributes:
        recipient: whose memory it was: QEMU's own or the guest's.
        action: a QAPI MemoryFailureAction.
    """

    recipient: str
    action: str

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "memory-failure"


class MemoryDeviceSize(Payload, frozen=True):
    """Data of MEMORY_DEVICE_SIZE_CHANGE.

    Attributes:
        size: of the memory that the device gives, in bytes.
        id: the device's, if it has one.
    """

    size: Int
    id: str = ""

    @property
    def device(self) -> str:
        """The device's id; ``unknown`` for one without."""
        return self.id or UNKNOWN


class HyperVBalloon(Payload, frozen=True):
    """Data of HV_BALLOON_STATUS_REPORT, in bytes.

    Attributes:
        committed: memory that the guest has committed.
        available: memory that it could give.
    """

    committed: Int
    available: Int


EVENTS: Final = (
    EventSpec(
        "MEMORY_FAILURE",
        "The host's memory failed, where QEMU or the guest has it.",
        "run-state.json",
        rare=True,
        payload=MemoryFailure,
        samples=(
            {
                "recipient": "guest",
                "action": "inject",
                "flags": {"action-required": True, "recursive": False},
            },
        ),
        severity=Severity.ERROR,
        counters=(
            Counter(
                "qemu_memory_failures_total",
                "Failures of the host's memory, by who had it and what QEMU did: ignore, tell the"
                " guest, or end. QMP event MEMORY_FAILURE.",
                (
                    Label("recipient", MEMORY_FAILURE_RECIPIENTS),
                    Label("action", MEMORY_FAILURE_ACTIONS),
                ),
                preset=(("hypervisor", "ignore"), ("guest", "inject"), ("guest", "fatal")),
            ),
        ),
    ),
    EventSpec(
        "MEMORY_DEVICE_SIZE_CHANGE",
        "A memory device (virtio-mem) gives the guest more memory or less.",
        "machine.json",
        rare=True,
        payload=MemoryDeviceSize,
        samples=({"id": "vm0", "size": 1073741824, "qom-path": "/machine/unattached/device[2]"},),
        limited="qom-path",
        gauges=(
            LastValue(
                "qemu_memory_device_size_bytes",
                "Memory that the memory device gives the guest. QMP event"
                " MEMORY_DEVICE_SIZE_CHANGE.",
                "size",
                (Label("device"),),
            ),
        ),
    ),
    EventSpec(
        "HV_BALLOON_STATUS_REPORT",
        "The guest told its Hyper-V balloon how much memory it needs. From QEMU 8.2 on.",
        "machine.json",
        rare=True,
        payload=HyperVBalloon,
        samples=({"committed": 816640000, "available": 3333054464},),
        limited="the machine",
        gauges=(
            LastValue(
                "qemu_hv_balloon_committed_bytes",
                "Memory that the guest has committed. QMP event HV_BALLOON_STATUS_REPORT.",
                "committed",
            ),
            LastValue(
                "qemu_hv_balloon_available_bytes",
                "Memory that the guest could do without. QMP event HV_BALLOON_STATUS_REPORT.",
                "available",
            ),
        ),
    ),
)
