"""The dashboard of all VMs: what is broken now, and which VMs have the most of it."""

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
    lines,
    number,
    of,
    own,
    ranking,
    rise,
    rows,
    state_of,
    timeline,
)


if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard


BY_DISK: Final = 'status="io-error"'
STANDING: Final = 'status!="running"'
TROUBLE: Final = 'state=~"unresponsive|busy|denied|not-qmp"'
UNWATCHED: Final = 'state!="connected"'


def build() -> Dashboard:
    """Return it."""
    tiles = (
        number(
            "VMs watched",
            "VMs whose monitor is connected and answers.",
            f"sum({of('qemu_up')})",
            bad="",
        ),
        number(
            "Stopped by a disk",
            "VMs that stand still because of an I/O error, until somebody lets them go on.",
            f"sum({of('qemu_vm_status', BY_DISK)})",
        ),
        number(
            "Monitors in trouble",
            "VMs whose monitor does not answer, is taken by another client, refuses us or is none.",
            f"sum({of('qmp_exporter_target_state', TROUBLE)})",
            bad=ORANGE,
        ),
        number(
            "QEMU crashes",
            "QEMU processes that crashed or were killed in the time shown.",
            during(own("qmp_exporter_fleet_exits_total", 'cause="crash"')),
        ),
        number(
            "Guest panics",
            "Panics of guests in the time shown.",
            during(own("qmp_exporter_fleet_events_total", 'event="GUEST_PANICKED"')),
        ),
        number(
            "Watchdogs fired",
            "Watchdogs that guests did not serve in the time shown, at most one a second for a VM.",
            during(own("qmp_exporter_fleet_events_total", 'event="WATCHDOG"')),
        ),
        number(
            "I/O errors",
            "I/O errors of disks in the time shown; newer QEMUs tell at most one a second for a"
            " disk.",
            during(own("qmp_exporter_fleet_events_total", 'event="BLOCK_IO_ERROR"')),
            bad=ORANGE,
        ),
        number(
            "Migrations failed",
            "Migrations that failed in the time shown, counted at their source.",
            during(of("qemu_migrations_total", 'role="source"', 'outcome="failed"')),
            bad=ORANGE,
        ),
    )
    return fill(
        board("fleet", "QEMU / Fleet", "What is broken now, over all VMs, and where."),
        {
            "": tiles,
            "What is broken now": (
                rows(
                    "VMs that do not run",
                    "Every VM that is connected and whose machine does not execute, and why.",
                    f"{of('qemu_vm_status', STANDING)} == 1"
                    f" and on (instance, vm) {of('qemu_up')} == 1",
                    {"vm": "VM", "status": "Run state", "instance": "Exporter"},
                ),
                rows(
                    "VMs that are not watched",
                    "Every VM whose monitor is not connected: gone or refused where QEMU has"
                    " ended.",
                    f"{of('qmp_exporter_target_state', UNWATCHED)} == 1",
                    {"vm": "VM", "state": "Monitor", "instance": "Exporter"},
                ),
                rows(
                    "Alerts that fire",
                    "Alerts of qmp-exporter that fire now, if Prometheus has the rules.",
                    own("ALERTS", 'alertstate="firing"', 'alertname=~"Qemu.+|Qmp.+"'),
                    {"severity": "Severity", "alertname": "Alert", "vm": "VM"},
                ),
                counts(
                    "Stops by cause",
                    "How often machines were stopped, by cause, those that went on at once, too.",
                    Query(rise(own("qmp_exporter_fleet_stops_total"), "cause"), "{{cause}}"),
                ),
                timeline(
                    "Run state of all VMs",
                    "Each VM's run state over time; a click leads to the VM.",
                    Query(
                        state_of("qemu_vm_status", "status", states.RUN, "instance", "vm"),
                        "{{vm}}",
                    ),
                    states.RUN,
                    "ended",
                ),
            ),
            "Who has the most": (
                ranking(
                    "I/O errors",
                    "VMs with the most I/O errors in the time shown.",
                    during(of("qemu_block_io_errors_total"), "instance", "vm"),
                ),
                ranking(
                    "Time stopped",
                    "VMs that stood still longest in the time shown, whatever the cause.",
                    during(of("qemu_vm_stopped_seconds_total"), "instance", "vm"),
                    unit="s",
                ),
                ranking(
                    "Reboots",
                    "VMs that were rebooted most often in the time shown.",
                    during(of("qemu_vm_reboots_total"), "instance", "vm"),
                ),
                ranking(
                    "Panics and watchdogs",
                    "VMs whose guests panicked or did not serve their watchdog, in the time shown.",
                    during(
                        of("qemu_events_total", 'event=~"GUEST_PANICKED|WATCHDOG"'),
                        "instance",
                        "vm",
                    ),
                ),
            ),
            "All events": (
                counts(
                    "Events by name",
                    "QMP events of all VMs.",
                    Query(
                        f"{rise(own('qmp_exporter_fleet_events_total'), 'event')} > 0", "{{event}}"
                    ),
                ),
                lines(
                    "VMs by run state",
                    "How many VMs are in each run state.",
                    Query(f"sum by (status) ({of('qemu_vm_status')}) > 0", "{{status}}"),
                    stacked=True,
                ),
                counts(
                    "Ends of QEMU by cause",
                    "How often QEMU processes ended, by cause.",
                    Query(rise(own("qmp_exporter_fleet_exits_total"), "cause"), "{{cause}}"),
                ),
                lines(
                    "Display sessions",
                    "Authenticated VNC and SPICE sessions that are open.",
                    Query(f"sum by (protocol) ({of('qemu_display_sessions')})", "{{protocol}}"),
                ),
            ),
        },
    )
