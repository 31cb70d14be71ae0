"""The disks of a VM, each under one name on every QEMU."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.catalog.states import IO_STATUSES, OTHER, UNKNOWN
from qmp_exporter.catalog.text import label_text


if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmp_exporter.catalog.events.block import IoError
    from qmp_exporter.model.replies import BlockDevices, BlockStats


MAX_DISKS: Final = 85
"""Disks of one VM whose state is told apart, in 3 rows each; the rest are the disk ``other``."""

ASK_EVERY: Final = 10.0
"""Seconds between two ``query-block`` for a node that is not known."""


class Disks(msgspec.Struct, frozen=True):
    """What ``query-block`` and the events since then say.

    Attributes:
        nodes: from node names to names of disks.
        status: from names of disks to a QAPI BlockDeviceIoStatus.
        quorums: references of the quorums, as QUORUM_FAILURE names them.
        read: Unix seconds of the last reply; -inf before the first.
        asked: monotonic seconds of the last question of ours; -inf before the first.
        failures: from names of disks to the failed reads, writes and flushes that QEMU counts.
    """

    nodes: Mapping[str, str] = {}
    status: Mapping[str, str] = {}
    quorums: tuple[str, ...] = ()
    read: float = float("-inf")
    asked: float = float("-inf")
    failures: Mapping[str, tuple[int, int, int]] = {}

    def name_of(self, error: IoError) -> str:
        """Return the name of the disk that an event speaks of, ``unknown`` for none."""
        return _name(
            error.device,
            error.qom_path or error.qdev,
            self.nodes.get(error.node_name, error.node_name),
        )

    def counted(self, reply: BlockStats) -> Disks:
        """Return the disks with what ``query-blockstats`` counts."""
        found: dict[str, tuple[int, int, int]] = {}
        for disk in reply.disks:
            name = _name(disk.device, disk.qdev, self.nodes.get(disk.node_name, disk.node_name))
            name = name if name in found or len(found) < MAX_DISKS else OTHER
            stats = disk.stats
            failed = (
                stats.failed_rd_operations,
                stats.failed_wr_operations,
                stats.failed_flush_operations,
            )
            rd, wr, flush = found.get(name, (0, 0, 0))
            found[name] = (rd + failed[0], wr + failed[1], flush + failed[2])
        return msgspec.structs.replace(self, failures=found)

    def due(self, error: IoError) -> float:
        """Return when another ``query-block`` may tell the disk's name, in monotonic seconds."""
        named = error.device or _id(error.qom_path or error.qdev) or error.node_name in self.nodes
        return inf if named else self.asked + ASK_EVERY

    def crowded(self, name: str) -> bool:
        """Whether there is no room to tell the state of one more disk apart."""
        return name not in self.status and len(self.status) >= MAX_DISKS

    def failed(self, error: IoError, time: float) -> Disks:
        """Return the disks after an error that stopped the machine; the first one sticks.

        Source: blk_iostatus_set_err() in QEMU's block/block-backend.c.
        """
        name = self.name_of(error)
        name = OTHER if self.crowded(name) else name
        if error.action != "stop" or time < self.read or self.status.get(name, "ok") != "ok":
            return self
        status = "nospace" if error.nospace else "failed"
        return msgspec.structs.replace(self, status={**self.status, name: status})

    def resumed(self) -> Disks:
        """Return the disks after RESUME: QEMU forgets the errors and tries again."""
        if all(status == "ok" for status in self.status.values()):
            return self
        return msgspec.structs.replace(self, status=dict.fromkeys(self.status, "ok"))


def disks(reply: BlockDevices, time: float, asked: float, *, running: bool) -> Disks:
    """Return the disks that ``query-block`` tells of.

    Args:
        reply: what it told.
        time: when, in Unix seconds.
        asked: when an unknown node was last asked for, in monotonic seconds.
        running: whether the VM runs. Then no error stops it, though QEMU keeps the error of a disk
            of -blockdev for ever: cont resets that of named drives only.
    """
    nodes: dict[str, str] = {}
    status: dict[str, str] = {}
    quorums: list[str] = []
    for device in reply.devices:
        node = device.inserted.node_name if device.inserted else ""
        name = _name(device.device, device.qdev, node)
        if node:
            nodes[node] = name
        if device.inserted and device.inserted.drv == "quorum":
            quorums.append(label_text(device.device or node))
        # Absent where the device keeps none, such as an empty CD drive.
        found = "ok" if running else device.io_status or "ok"
        name = name if name in status or len(status) < MAX_DISKS else OTHER
        if status.get(name, "ok") == "ok":
            status[name] = found if found in IO_STATUSES else OTHER
    return Disks(nodes, status, tuple(quorums), time, asked)


@lru_cache(maxsize=1024)
def _name(device: str, path: str, node: str) -> str:
    named = device or _id(path)
    if not named and not node.startswith("#"):  # '#block123' changes at every start
        named = node
    return label_text(named) or UNKNOWN


def _id(path: str) -> str:
    """Return the id in a QOM path, or the path itself if it is an id; empty if it has none."""
    if "/" not in path:
        return path
    _, _, rest = path.partition("/peripheral/")
    return rest.partition("/")[0]
