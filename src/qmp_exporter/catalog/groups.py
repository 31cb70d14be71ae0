"""The groups of metrics, by which a scrape can ask for some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS


if TYPE_CHECKING:
    from collections.abc import Iterable


class Group(msgspec.Struct, frozen=True):
    """A group.

    Attributes:
        name: as ``collect[]`` and ``exclude[]`` take it.
        help: what is in it, as a phrase.
        prefixes: of the names of its metrics; where several fit, the longest decides.
    """

    name: str
    help: str
    prefixes: tuple[str, ...]


GROUPS: Final = (
    Group("events", "events received, by name", ("qemu_events_", "qemu_last_event_")),
    Group(
        "state",
        "whether a VM is there and runs; its stops, resets and ends",
        (
            *("qemu_up", "qemu_vm_", "qemu_process_", "qemu_rtc_", "qemu_colo_"),
            *("qemu_watchdog_", "qemu_guest_"),
        ),
    ),
    Group(
        "block",
        "disks and quorums, and jobs on them",
        ("qemu_block_", "qemu_quorum_", "qemu_jobs", "qemu_pr_manager_"),
    ),
    Group("migration", "migrations", ("qemu_migration", "qemu_spice_migrations_", "qemu_vfio_")),
    Group("display", "VNC and SPICE", ("qemu_display_",)),
    Group(
        "memory",
        "balloon, hot-unplug of memory, dumps",
        ("qemu_balloon_", "qemu_hv_balloon_", "qemu_memory_", "qemu_dump"),
    ),
    Group(
        "devices",
        "hot-unplug, serial ports and networks",
        ("qemu_acpi_", "qemu_device", "qemu_virtio_", "qemu_netdev_", "qemu_failover_"),
    ),
    Group("fleet", "sums over all VMs", ("qmp_exporter_fleet_",)),
    Group("exporter", "the exporter itself, and its connections", ("qmp_exporter_",)),
    Group("process", "the exporter's process and Python", ("process_", "python_")),
)

_SAMPLES: Final = {"histogram": ("_bucket", "_sum", "_count")}


def group_of(metric: str) -> str:
    """Return the group of a metric; empty if it has none."""
    fits = [
        (len(p), group.name) for group in GROUPS for p in group.prefixes if metric.startswith(p)
    ]
    return max(fits, default=(0, ""))[1]


def names_by_group(further: Iterable[str] = ()) -> dict[str, frozenset[str]]:
    """Return the names of the series of each group.

    Args:
        further: names of series that the catalog does not have.
    """
    found: dict[str, set[str]] = {group.name: set() for group in GROUPS}
    own = (spec.name + end for spec in OWN_METRICS for end in _SAMPLES.get(spec.kind, ("",)))
    for name in (*(metric.name for metric in ALL_VM_METRICS), *FLEET_METRICS, *own, *further):
        if group := group_of(name):
            found[group].add(name)
    return {group: frozenset(names) for group, names in found.items()}
