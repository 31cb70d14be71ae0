"""The closed sets of values: QEMU's own enums, and the exporter's.

QEMU's are those of its QAPI schema, the union over 7.2, 10.0 and 11.1. A value outside its set is
shown as ``other``, so that a new QEMU cannot make a new series.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


OTHER: Final = "other"
UNKNOWN: Final = "unknown"

# QAPI RunState, run-state.json
RUN_STATES: Final = (
    "colo",
    "debug",
    "finish-migrate",
    "guest-panicked",
    "inmigrate",
    "internal-error",
    "io-error",
    "paused",
    "postmigrate",
    "prelaunch",
    "restore-vm",
    "running",
    "save-vm",
    "shutdown",
    "suspended",
    "watchdog",
)

# QAPI ShutdownCause, run-state.json
SHUTDOWN_CAUSES: Final = (
    "none",
    "host-error",
    "host-qmp-quit",
    "host-qmp-system-reset",
    "host-signal",
    "host-ui",
    "guest-shutdown",
    "guest-reset",
    "guest-panic",
    "subsystem-reset",
    "snapshot-load",
)

# QAPI WatchdogAction, run-state.json
WATCHDOG_ACTIONS: Final = (
    "reset",
    "shutdown",
    "poweroff",
    "pause",
    "debug",
    "none",
    "inject-nmi",
)

# QAPI GuestPanicAction and GuestPanicInformationType, run-state.json
PANIC_ACTIONS: Final = ("pause", "poweroff", "run")
PANIC_KINDS: Final = ("hyper-v", "s390", "tdx", "sev", UNKNOWN)

# QAPI IoOperationType, BlockErrorAction and BlockDeviceIoStatus, block-core.json
IO_OPERATIONS: Final = ("read", "write")
IO_ERROR_ACTIONS: Final = ("ignore", "report", "stop")
IO_STATUSES: Final = ("ok", "failed", "nospace")
QUORUM_OPERATIONS: Final = ("read", "write", "flush")

# QAPI MigrationStatus, migration.json
MIGRATION_STATUSES: Final = (
    "none",
    "setup",
    "cancelling",
    "cancelled",
    "active",
    "postcopy-device",
    "postcopy-active",
    "postcopy-paused",
    "postcopy-recover-setup",
    "postcopy-recover",
    "completed",
    "failing",
    "failed",
    "colo",
    "pre-switchover",
    "device",
    "wait-unplug",
)
# Ends of a migration, and the statuses that are no migration at all.
MIGRATION_OUTCOMES: Final = ("completed", "failed", "cancelled")
MIGRATION_IDLE: Final = frozenset({"none", *MIGRATION_OUTCOMES})
# The guest is stopped here, or runs at the destination only.
MIGRATION_SWITCHED: Final = frozenset(
    {
        "pre-switchover",
        "device",
        "postcopy-device",
        "postcopy-active",
        "postcopy-paused",
        "postcopy-recover-setup",
        "postcopy-recover",
    }
)

# QAPI DumpStatus, dump.json: those that DUMP_COMPLETED can carry
DUMP_STATUSES: Final = ("completed", "failed")

# QAPI ACPISlotType, acpi.json
ACPI_SLOT_TYPES: Final = ("DIMM", "CPU")

# QAPI VncPrimaryAuth and VncVencryptSubAuth as ui/vnc.c joins them; spice: ui/spice-core.c
DISPLAY_AUTHS: Final = (
    "none",
    "vnc",
    "ra2",
    "ra2ne",
    "tight",
    "ultra",
    "tls",
    "vencrypt",
    "vencrypt+plain",
    "vencrypt+tls+none",
    "vencrypt+tls+vnc",
    "vencrypt+tls+plain",
    "vencrypt+tls+sasl",
    "vencrypt+x509+none",
    "vencrypt+x509+vnc",
    "vencrypt+x509+plain",
    "vencrypt+x509+sasl",
    "sasl",
    "spice",
)

# QAPI JobType and JobStatus, job.json
JOB_TYPES: Final = (
    "commit",
    "stream",
    "mirror",
    "backup",
    "create",
    "amend",
    "snapshot-load",
    "snapshot-save",
    "snapshot-delete",
)
JOB_STATUSES: Final = (
    "undefined",
    "created",
    "running",
    "paused",
    "ready",
    "standby",
    "waiting",
    "pending",
    "aborting",
    "concluded",
    "null",
)

# QAPI MemoryFailureRecipient and MemoryFailureAction, run-state.json
MEMORY_FAILURE_RECIPIENTS: Final = ("hypervisor", "guest")
MEMORY_FAILURE_ACTIONS: Final = ("ignore", "inject", "fatal", "reset")

# QAPI COLOMode and COLOExitReason, migration.json
COLO_MODES: Final = ("none", "primary", "secondary")
COLO_EXIT_REASONS: Final = ("none", "request", "error", "processing")

# QAPI QapiVfioMigrationState, vfio.json
VFIO_STATES: Final = (
    "stop",
    "running",
    "stop-copy",
    "resuming",
    "running-p2p",
    "pre-copy",
    "pre-copy-p2p",
    "pre-copy-p2p-prepare",
)

BOOLEANS: Final = ("true", "false")


class Protocol(StrEnum):
    """The display protocols of QEMU that send events."""

    VNC = "vnc"
    SPICE = "spice"


class Role(StrEnum):
    """Which end of a migration a VM is."""

    SOURCE = "source"
    DESTINATION = "destination"


class StopCause(StrEnum):
    """Why a VM was stopped."""

    IO_ERROR = "io-error"
    WATCHDOG = "watchdog"
    GUEST_PANIC = "guest-panic"
    GUEST_SHUTDOWN = "guest-shutdown"
    HOST_SHUTDOWN = "host-shutdown"
    MIGRATION = "migration"
    SNAPSHOT = "snapshot"
    INTERNAL_ERROR = "internal-error"
    HOST = "host"
    OTHER = "other"


FAILED_STOPS: Final = frozenset(
    {StopCause.IO_ERROR, StopCause.WATCHDOG, StopCause.GUEST_PANIC, StopCause.INTERNAL_ERROR}
)
"""Causes of a stop that are failures."""


class ExitCause(StrEnum):
    """Why a QEMU process ended."""

    GUEST_SHUTDOWN = "guest-shutdown"
    HOST_QUIT = "host-quit"
    SIGNAL = "signal"
    WATCHDOG = "watchdog"
    PANIC = "panic"
    MIGRATION = "migration"
    CRASH = "crash"


FAILED_EXITS: Final = frozenset({ExitCause.CRASH, ExitCause.PANIC, ExitCause.WATCHDOG})
"""Ends of a QEMU process that are failures."""


class TargetState(StrEnum):
    """What is known of a monitor."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    BUSY = "busy"
    DENIED = "denied"
    REFUSED = "refused"
    UNRESPONSIVE = "unresponsive"
    NOT_QMP = "not-qmp"
    GONE = "gone"


class LostCause(StrEnum):
    """How an established connection ended."""

    EOF = "eof"
    RESET = "reset"
    PROTOCOL = "protocol"
    LONG_LINE = "long-line"
    ERROR = "error"
    RELOAD = "reload"
