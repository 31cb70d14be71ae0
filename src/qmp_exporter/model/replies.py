"""The replies to the commands that are sent, as far as they are used.

Source: QEMU's QAPI schema (run-state.json, block-core.json, migration.json, ui.json,
machine.json). Members that are not used, or are new, are ignored.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from qmp_exporter.catalog.spec import Int


class _Reply(msgspec.Struct, frozen=True, rename="kebab"):
    pass


class Status(_Reply, frozen=True):
    """``query-status``: a QAPI RunState."""

    status: str


class Node(_Reply, frozen=True):
    """What is inserted in a block device."""

    node_name: str = ""
    drv: str = ""


class BlockDevice(_Reply, frozen=True):
    """One member of ``query-block``."""

    device: str = ""
    qdev: str = ""
    io_status: str | None = None
    inserted: Node | None = None


class BlockDevices(_Reply, frozen=True):
    """``query-block``."""

    devices: tuple[BlockDevice, ...] = ()


class DiskStats(msgspec.Struct, frozen=True):
    """Requests of the guest that failed, of one disk; QEMU's names have underscores here."""

    failed_rd_operations: Int = 0
    failed_wr_operations: Int = 0
    failed_flush_operations: Int = 0


class DiskCounts(_Reply, frozen=True):
    """A member of ``query-blockstats``."""

    stats: DiskStats
    device: str = ""
    qdev: str = ""
    node_name: str = ""


class BlockStats(_Reply, frozen=True):
    """``query-blockstats``."""

    disks: tuple[DiskCounts, ...] = ()


class MigratedRam(_Reply, frozen=True):
    """Memory that a migration moved, in bytes."""

    transferred: Int = 0


class MigrationInfo(_Reply, frozen=True):
    """``query-migrate``; times in milliseconds."""

    status: str = "none"
    downtime: Int | None = None
    ram: MigratedRam | None = None
    total_time: Int | None = None

    @property
    def early(self) -> bool:
        """Whether QEMU says that it is completed, and has not reckoned yet how long it took.

        QEMU 7.2 sends the event, and only then sets these times (migration_calculate_complete in
        its migration/migration.c), until when they are 0; 10.0 does it the other way round. All
        else of the outcome then waits, so that it is told at once.
        """
        return self.status == "completed" and self.total_time == 0

    @property
    def downtime_seconds(self) -> float | None:
        """Seconds that the guest did not run, if that is told."""
        return None if self.downtime is None or self.early else self.downtime / 1000

    @property
    def transferred(self) -> int | None:
        """Bytes of memory moved, if that is told."""
        return None if self.ram is None or self.early else self.ram.transferred


class VncPeer(_Reply, frozen=True):
    """A client in ``query-vnc-servers``."""

    host: str
    service: str


class VncServer(_Reply, frozen=True):
    """A member of ``query-vnc-servers``."""

    clients: tuple[VncPeer, ...] = ()


class VncServers(_Reply, frozen=True):
    """``query-vnc-servers``."""

    servers: tuple[VncServer, ...] = ()


class SpiceChannel(_Reply, frozen=True):
    """A channel in ``query-spice``."""

    host: str
    port: str
    channel_type: Int


class Spice(_Reply, frozen=True):
    """``query-spice``."""

    enabled: bool = False
    channels: tuple[SpiceChannel, ...] = ()


class JobInfo(_Reply, frozen=True):
    """A member of ``query-jobs``."""

    id: str
    status: str


class JobInfos(_Reply, frozen=True):
    """``query-jobs``."""

    jobs: tuple[JobInfo, ...] = ()


class Balloon(_Reply, frozen=True):
    """``query-balloon``: bytes."""

    actual: Int


ReplyValue: TypeAlias = (
    Status | BlockDevices | BlockStats | MigrationInfo | VncServers | Spice | JobInfos | Balloon
)
