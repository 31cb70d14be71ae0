"""The dashboard of one VM, or of a few: all that was seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards import states
from dashboards.panels import (
    GRAY,
    GREEN,
    ORANGE,
    Query,
    State,
    board,
    counts,
    during,
    fill,
    levels,
    number,
    of,
    rise,
    rows,
    state_of,
    timeline,
)


if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard


PORT: Final = {"closed": State("closed", GRAY), "open": State("open", GREEN)}


def build() -> Dashboard:
    """Return it."""
    tiles = (
        number(
            "Stops",
            "How often the machine was stopped in the time shown.",
            during(of("qemu_vm_stops_total")),
            bad=ORANGE,
        ),
        number(
            "Time stopped",
            "How long the machine stood still in the time shown, as far as it was watched.",
            during(of("qemu_vm_stopped_seconds_total")),
            bad=ORANGE,
            unit="s",
        ),
        number(
            "I/O errors",
            "I/O errors of its disks in the time shown; newer QEMUs tell at most one a second.",
            during(of("qemu_block_io_errors_total")),
        ),
        number(
            "Guest panics",
            "Panics of the guest in the time shown.",
            during(of("qemu_guest_panics_total")),
        ),
        number(
            "Watchdogs fired",
            "How often the guest did not serve its watchdog in the time shown.",
            during(of("qemu_watchdog_actions_total")),
        ),
        number(
            "Reboots",
            "Reboots in the time shown: resets within one second count as one.",
            during(of("qemu_vm_reboots_total")),
            bad=ORANGE,
        ),
        number(
            "QEMU crashes",
            "How often its QEMU process crashed or was killed in the time shown.",
            during(of("qemu_vm_exits_total", 'cause="crash"')),
        ),
        number(
            "Display sessions",
            "Authenticated VNC and SPICE sessions that are open now.",
            f"sum({of('qemu_display_sessions')})",
            bad="",
        ),
    )
    return fill(
        board("vm", "QEMU / VM", "What happened to a VM, when, and why."),
        {
            "": (
                *tiles,
                timeline(
                    "Run state",
                    "The run state over time.",
                    Query(
                        state_of("qemu_vm_status", "status", states.RUN, "instance", "vm"),
                        "{{vm}}",
                    ),
                    states.RUN,
                    "ended",
                ).height(5),
                rows(
                    "About the VM",
                    "Who it is, and where its monitor is.",
                    of("qemu_vm_info"),
                    {
                        "vm": "VM",
                        "name": "Name",
                        "uuid": "UUID",
                        "qemu_version": "QEMU",
                        "arch": "Architecture",
                        "monitor": "Monitor",
                    },
                )
                .span(24)
                .height(4),
            ),
            "Run state": (
                counts(
                    "Stops by cause",
                    "How often the machine was stopped, by cause; a point of it leads to the"
                    " trace.",
                    Query(rise(of("qemu_vm_stops_total"), "cause"), "{{cause}}"),
                ),
                counts(
                    "Time stopped by cause",
                    "Seconds that the machine stood still, by cause.",
                    Query(rise(of("qemu_vm_stopped_seconds_total"), "cause"), "{{cause}}"),
                    unit="s",
                ),
                counts(
                    "Resets and shutdowns by reason",
                    "Resets, raw: firmware makes two or three of one reboot; and shutdowns.",
                    Query(rise(of("qemu_vm_resets_total"), "reason"), "reset: {{reason}}"),
                    Query(rise(of("qemu_vm_shutdowns_total"), "reason"), "shutdown: {{reason}}"),
                ),
                counts(
                    "Panics and watchdogs",
                    "Panics and crash kernels of the guest, and watchdogs that fired, by what QEMU"
                    " did.",
                    Query(rise(of("qemu_guest_panics_total"), "action"), "panic: {{action}}"),
                    Query(
                        rise(of("qemu_guest_crashloads_total"), "action"),
                        "crash kernel: {{action}}",
                    ),
                    Query(
                        rise(of("qemu_watchdog_actions_total"), "action"), "watchdog: {{action}}"
                    ),
                ),
            ),
            "Disks": (
                counts(
                    "I/O errors",
                    "I/O errors of disks, by operation and what QEMU did; a point of it leads to"
                    " the trace.",
                    Query(
                        rise(of("qemu_block_io_errors_total"), "device", "operation", "action"),
                        "{{device}}: {{operation}}, {{action}}",
                    ),
                ),
                counts(
                    "Failed requests",
                    "Requests that failed and were reported to the guest, all of them, as QEMU"
                    " counts.",
                    Query(
                        rise(of("qemu_block_failed_operations_total"), "device", "operation"),
                        "{{device}}: {{operation}}",
                    ),
                ),
                timeline(
                    "I/O status of disks",
                    "Failed or nospace while an error keeps the machine stopped.",
                    Query(
                        state_of("qemu_block_io_status", "status", states.DISK, "vm", "device"),
                        "{{device}}",
                    ),
                    states.DISK,
                    "unknown",
                )
                .span(12)
                .height(8),
                levels(
                    "Jobs",
                    "Block jobs that QEMU knows, by status.",
                    Query(f"sum by (status) ({of('qemu_jobs')}) > 0", "{{status}}"),
                ),
            ),
            "Guest": (
                levels(
                    "Balloon",
                    "Memory that the balloon leaves the guest.",
                    Query(of("qemu_balloon_actual_bytes"), "{{vm}}"),
                    unit="bytes",
                ),
                levels(
                    "Clock",
                    "How far the guest's real-time clock is from where it was at the start; a"
                    " constant offset is mostly a time zone.",
                    Query(of("qemu_rtc_offset_seconds"), "{{vm}}"),
                    unit="s",
                ),
                timeline(
                    "Serial ports",
                    "Whether the guest has opened its virtio-serial ports: what its agents do.",
                    Query(f"1 + {of('qemu_virtio_serial_port_open')}", "{{port}}"),
                    PORT,
                    "unknown",
                )
                .span(12)
                .height(8),
                counts(
                    "Sleep",
                    "How often the guest went to sleep and woke up.",
                    Query(rise(of("qemu_vm_suspends_total"), "state"), "to {{state}}"),
                    Query(rise(of("qemu_vm_wakeups_total"), "vm"), "woke up"),
                ),
                counts(
                    "Hot-unplug",
                    "Devices and memory that the guest did not let go of, and what it said of"
                    " ejections.",
                    Query(
                        rise(of("qemu_device_unplug_errors_total"), "device"), "refused: {{device}}"
                    ),
                    Query(
                        rise(of("qemu_acpi_device_ost_total"), "source", "status"),
                        "{{source}}: {{status}}",
                    ),
                ),
                counts(
                    "Memory dumps",
                    "Dumps of the guest's memory, by outcome.",
                    Query(rise(of("qemu_dumps_total"), "status"), "{{status}}"),
                ),
            ),
            "Display": (
                levels(
                    "Connections and sessions",
                    "Open connections (VNC) or channels (SPICE), and authenticated sessions.",
                    Query(
                        f"sum by (protocol) ({of('qemu_display_connections')})",
                        "{{protocol}}: connections",
                    ),
                    Query(
                        f"sum by (protocol) ({of('qemu_display_sessions')})",
                        "{{protocol}}: sessions",
                    ),
                ),
                counts(
                    "Logins",
                    "Sessions that became active, by authentication, and connections that were"
                    " closed before.",
                    Query(
                        rise(of("qemu_display_logins_total"), "protocol", "auth"),
                        "{{protocol}}: {{auth}}",
                    ),
                    Query(
                        rise(of("qemu_display_incomplete_connects_total"), "protocol"),
                        "{{protocol}}: not logged in",
                    ),
                ),
            ),
            "Events": (
                counts(
                    "Events by name",
                    "All its QMP events.",
                    Query(f"{rise(of('qemu_events_total'), 'event')} > 0", "{{event}}"),
                ),
                timeline(
                    "Monitor",
                    "What is known of its monitor: only while it is connected events are seen.",
                    Query(
                        state_of(
                            "qmp_exporter_target_state", "state", states.MONITOR, "instance", "vm"
                        ),
                        "{{vm}}",
                    ),
                    states.MONITOR,
                    "unknown",
                )
                .span(12)
                .height(8),
            ),
        },
    )
