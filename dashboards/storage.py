"""The dashboard of disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards import states
from dashboards.panels import (
    ORANGE,
    Query,
    board,
    counts,
    during,
    fill,
    levels,
    number,
    of,
    ranking,
    rise,
    rows,
    state_of,
    timeline,
)


if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard


BY_DISK: Final = 'cause="io-error"'
STOPPED: Final = 'status="io-error"'
FAULTY: Final = 'status!="ok"'
DISK: Final = ("instance", "vm", "device")


def build() -> Dashboard:
    """Return it."""
    tiles = (
        number(
            "Stopped by a disk",
            "VMs that stand still because of an I/O error.",
            f"sum({of('qemu_vm_status', STOPPED)})",
        ),
        number(
            "Disks in error",
            "Disks whose error keeps their VM stopped, for lack of space or another reason.",
            f"sum({of('qemu_block_io_status', FAULTY)})",
        ),
        number(
            "I/O errors",
            "I/O errors in the time shown; newer QEMUs tell at most one a second for a disk.",
            during(of("qemu_block_io_errors_total")),
            bad=ORANGE,
        ),
        number(
            "No space",
            "Writes that failed with ENOSPC in the time shown.",
            during(of("qemu_block_nospace_errors_total")),
        ),
        number(
            "Failed requests",
            "Requests that failed and were reported to guests in the time shown, all of them.",
            during(of("qemu_block_failed_operations_total")),
            bad=ORANGE,
        ),
        number(
            "Time stopped",
            "How long machines stood still because of I/O errors in the time shown, added up.",
            during(of("qemu_vm_stopped_seconds_total", BY_DISK)),
            bad=ORANGE,
            unit="s",
        ),
        number(
            "Bad quorum members",
            "Reports of quorum members that failed or did not agree, in the time shown.",
            during(of("qemu_quorum_bad_reports_total")),
            bad=ORANGE,
        ),
        number(
            "Quorums lost",
            "Requests that failed for want of a quorum, in the time shown.",
            during(of("qemu_quorum_failures_total")),
        ),
    )
    return fill(
        board("storage", "QEMU / Storage", "Which disks fail, how, and what that did to VMs."),
        {
            "": (
                *tiles,
                timeline(
                    "I/O status",
                    "Failed or nospace while an error keeps the VM stopped.",
                    Query(
                        state_of("qemu_block_io_status", "status", states.DISK, *DISK),
                        "{{vm}}: {{device}}",
                    ),
                    states.DISK,
                    "unknown",
                ),
            ),
            "Errors": (
                counts(
                    "I/O errors by what QEMU did",
                    "I/O errors: stop halts the machine, report tells the guest, ignore neither.",
                    Query(
                        rise(of("qemu_block_io_errors_total"), "operation", "action"),
                        "{{operation}}, {{action}}",
                    ),
                ),
                counts(
                    "I/O errors by disk",
                    "I/O errors of each disk; a point of it leads to the trace.",
                    Query(
                        f"{rise(of('qemu_block_io_errors_total'), 'vm', 'device')} > 0",
                        "{{vm}}: {{device}}",
                    ),
                ),
                counts(
                    "No space",
                    "Writes that failed with ENOSPC.",
                    Query(
                        f"{rise(of('qemu_block_nospace_errors_total'), 'vm', 'device')} > 0",
                        "{{vm}}: {{device}}",
                    ),
                ),
                counts(
                    "Failed requests",
                    "Requests that failed and were reported to the guest, all of them, as QEMU"
                    " counts.",
                    Query(
                        f"{rise(of('qemu_block_failed_operations_total'), 'vm', 'device')} > 0",
                        "{{vm}}: {{device}}",
                    ),
                ),
                ranking(
                    "Disks with the most errors",
                    "I/O errors in the time shown.",
                    during(of("qemu_block_io_errors_total"), *DISK),
                    legend="{{vm}}: {{device}}",
                ),
                ranking(
                    "VMs stopped longest",
                    "Time that VMs stood still because of I/O errors, in the time shown.",
                    during(of("qemu_vm_stopped_seconds_total", BY_DISK), "instance", "vm"),
                    unit="s",
                ),
                rows(
                    "Disks in error now",
                    "Disks whose error keeps their VM stopped.",
                    f"{of('qemu_block_io_status', FAULTY)} == 1",
                    {"vm": "VM", "device": "Disk", "status": "I/O status"},
                ),
            ),
            "Quorum": (
                counts(
                    "Bad members",
                    "Quorum members that failed or did not agree, by node.",
                    Query(
                        rise(of("qemu_quorum_bad_reports_total"), "vm", "node", "operation"),
                        "{{vm}}: {{node}}, {{operation}}",
                    ),
                ),
                counts(
                    "Quorum lost",
                    "Requests that failed for want of a quorum.",
                    Query(
                        rise(of("qemu_quorum_failures_total"), "vm", "reference"),
                        "{{vm}}: {{reference}}",
                    ),
                ),
            ),
            "Jobs": (
                counts(
                    "Block jobs that ended",
                    "Backups, mirrors, commits and streams, by type and outcome.",
                    Query(
                        rise(of("qemu_block_jobs_total"), "type", "outcome"),
                        "{{type}}: {{outcome}}",
                    ),
                ),
                levels(
                    "Block jobs now",
                    "Jobs that QEMUs know, by status.",
                    Query(f"sum by (status) ({of('qemu_jobs')}) > 0", "{{status}}"),
                ),
                levels(
                    "How long block jobs took",
                    "The last block job of each type.",
                    Query(of("qemu_block_job_last_duration_seconds"), "{{vm}}: {{type}}"),
                    unit="s",
                ),
            ),
        },
    )
