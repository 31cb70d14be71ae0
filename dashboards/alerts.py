"""The alerts, one entry each; ``dashboards/build.py`` makes ``prometheus/alerts.yaml`` of them.

What each means and what to do is in ``docs/runbooks``. None is of ``qemu_up == 0`` alone: a VM that
was shut down or moved away is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from dashboards.rules import WATCHED_BEFORE, WINDOW, recorded


HOME: Final = "https://github.com/qmp-exporter/qmp-exporter"
RUNBOOKS: Final = f"{HOME}/blob/main/docs/runbooks"

VM: Final = "on (job, instance, vm)"
THE_VM: Final = "VM {{ $labels.vm }} on {{ $labels.instance }}"
THE_EXPORTER: Final = "qmp-exporter at {{ $labels.instance }}"


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes:
        name: in CamelCase; its runbook has that name, too.
        severity: ``critical`` wants somebody now, ``warning`` in working hours.
        expr: PromQL; whatever it returns fires.
        summary: one line.
        description: what happened, with the numbers.
        wait: how long it has to last first, as ``for`` of Prometheus; empty to fire at once.
    """

    name: str
    severity: Literal["critical", "warning"]
    expr: str
    summary: str
    description: str
    wait: str = ""

    @property
    def rule(self) -> dict[str, Any]:
        """It as a file of rules has it."""
        waiting = {"for": self.wait} if self.wait else {}
        return {
            "alert": self.name,
            "expr": self.expr,
            **waiting,
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}/{self.name}.md",
            },
        }


DISKS: Final = (
    Alert(
        "QemuStoppedOnIoError",
        "critical",
        'qemu_vm_status{status="io-error"} == 1',
        f"{THE_VM} stands still: a disk failed",
        "QEMU stopped the machine on an I/O error of a disk, and it stays stopped until somebody"
        " tells QEMU to go on.",
        "1m",
    ),
    Alert(
        "QemuIoErrorStop",
        "warning",
        f'{recorded("qemu_vm_stops_total")}{{cause="io-error"}} > 0',
        f"{THE_VM} was stopped by an I/O error",
        "QEMU stopped the machine on an I/O error of a disk {{ $value | printf `%.0f` }} times in"
        f" the last {WINDOW}, for however short.",
    ),
    Alert(
        "QemuNoSpace",
        "critical",
        f"{recorded('qemu_block_nospace_errors_total')} > 0",
        f"{THE_VM} cannot write to disk {{{{ $labels.device }}}}: no space is left",
        "Writes of disk {{ $labels.device }} failed with ENOSPC, {{ $value | printf `%.0f` }} in"
        f" the last {WINDOW}: the storage behind it is full.",
    ),
    Alert(
        "QemuIoErrors",
        "warning",
        f"sum without (operation, action) "
        f'({recorded("qemu_block_io_errors_total")}{{action!="stop"}}) > 0',
        f"{THE_VM} has I/O errors on disk {{{{ $labels.device }}}}",
        "Requests of disk {{ $labels.device }} failed without stopping the machine: the guest was"
        f" told, or not even that. At least {{{{ $value | printf `%.0f` }}}} in the last {WINDOW}.",
    ),
    Alert(
        "QemuQuorumMemberBad",
        "warning",
        f"sum without (operation) ({recorded('qemu_quorum_bad_reports_total')}) > 0",
        f"{THE_VM} has a bad quorum member, {{{{ $labels.node }}}}",
        "The block node {{ $labels.node }} of a quorum failed, or did not agree with the others,"
        f" {{{{ $value | printf `%.0f` }}}} times in the last {WINDOW}.",
    ),
    Alert(
        "QemuQuorumLost",
        "critical",
        f"{recorded('qemu_quorum_failures_total')} > 0",
        f"{THE_VM} has lost the quorum of {{{{ $labels.reference }}}}",
        "Requests to the quorum {{ $labels.reference }} failed, {{ $value | printf `%.0f` }} in the"
        f" last {WINDOW}: not enough members agreed.",
    ),
)

GUESTS: Final = (
    Alert(
        "QemuGuestPanicked",
        "critical",
        f"sum without (action, kind) ({recorded('qemu_guest_panics_total')}) > 0\n"
        "or\n"
        f"sum without (action) ({recorded('qemu_guest_crashloads_total')}) > 0\n",
        f"The guest of {THE_VM} panicked",
        "The guest's kernel panicked {{ $value | printf `%.0f` }} times in the last"
        f" {WINDOW}, or loaded its crash kernel.",
    ),
    Alert(
        "QemuPanicLoop",
        "critical",
        "round(sum without (event) (increase(\n"
        '  qemu_events_total{event=~"GUEST_PANICKED|GUEST_CRASHLOADED"}[1h]\n'
        "))) >= 3\n",
        f"The guest of {THE_VM} panics again and again",
        "The guest's kernel panicked or loaded its crash kernel {{ $value }} times in the last"
        " hour.",
    ),
    Alert(
        "QemuWatchdogFired",
        "warning",
        f"{recorded('qemu_watchdog_actions_total')} > 0",
        f"The watchdog of {THE_VM} fired",
        "The guest did not serve its watchdog; QEMU did: {{ $labels.action }}.",
    ),
    Alert(
        "QemuStandsStill",
        "critical",
        'qemu_vm_status{status=~"guest-panicked|watchdog|internal-error"} == 1',
        f"{THE_VM} stands still: {{{{ $labels.status }}}}",
        "QEMU stopped the machine after a panic, a watchdog or an error of its own, and it stays"
        " stopped until somebody resets it.",
        "5m",
    ),
    Alert(
        "QemuRebootLoop",
        "warning",
        "round(sum without (guest) (increase(qemu_vm_reboots_total[30m]))) >= 5",
        f"{THE_VM} reboots again and again",
        "The machine was rebooted {{ $value }} times in the last 30 minutes.",
    ),
    Alert(
        "QemuGuestClockJumped",
        "warning",
        "abs(\n"
        "  qemu_rtc_offset_seconds - (\n"
        f"      last_over_time(qemu_rtc_offset_seconds[1d] offset {WINDOW})\n"
        "    or\n"
        f"      0 * qemu_rtc_offset_seconds and {WATCHED_BEFORE}\n"
        "  )\n"
        ") > 60\n",
        f"The guest of {THE_VM} set its clock by {{{{ $value | humanizeDuration }}}}",
        "The guest set its real-time clock, which is now {{ $value | humanizeDuration }} from where"
        f" it was {WINDOW} ago.",
    ),
    Alert(
        "QemuHotUnplugRefused",
        "warning",
        f"{recorded('qemu_device_unplug_errors_total')} > 0\n"
        "or\n"
        f"{recorded('qemu_memory_unplug_errors_total')} > 0\n"
        "or\n"
        f"{recorded('qemu_acpi_device_ost_total')}{{\n"
        '  source=~"eject-request|ejection", status!~"success|ejection-in-progress"\n'
        "} > 0\n",
        f"The guest of {THE_VM} refused to give up a device",
        "The guest did not let go of a device or of memory that was to be unplugged"
        "{{ with $labels.device }}: {{ . }}{{ end }}{{ with $labels.status }}, because of"
        " {{ . }}{{ end }}.",
    ),
    Alert(
        "QemuLoginsFail",
        "warning",
        "round(increase(qemu_display_incomplete_connects_total[10m])) >= 50",
        f"Clients of the {{{{ $labels.protocol }}}} display of {THE_VM} do not log in",
        "{{ $value }} connections to the {{ $labels.protocol }} display were closed before they"
        " were authenticated in the last 10 minutes: somebody tries passwords, or a check connects"
        " to the port.",
    ),
)

OPERATIONS: Final = (
    Alert(
        "QemuMigrationFailed",
        "warning",
        f'{recorded("qemu_migrations_total")}{{role="source", outcome="failed"}} > 0',
        f"The migration of {THE_VM} failed",
        "The machine was not moved; as a rule it goes on where it was.",
    ),
    Alert(
        "QemuMigrationNotConverging",
        "warning",
        "qemu_migration_pass > 20\n"
        f"and {VM} changes(qemu_migration_pass[{WINDOW}]) > 0\n"
        f'and {VM} qemu_migration_status{{status="active"}} == 1\n',
        f"The migration of {THE_VM} does not converge",
        "It is in pass {{ $value }} over the guest's memory and begins another: the guest writes"
        " faster than the network takes it.",
    ),
    Alert(
        "QemuMigrationStuck",
        "warning",
        "(\n"
        "    qemu_migration_status{\n"
        '      status=~"setup|wait-unplug|cancelling|failing|postcopy-(device|active|recover.*)"\n'
        "    } == 1\n"
        "  or\n"
        '    qemu_migration_status{status="active"} == 1\n'
        f"    unless {VM} changes(qemu_migration_passes_total[5m]) > 0\n"
        ")\n"
        f'unless {VM} qemu_vm_status{{status="inmigrate"}} == 1\n',
        f"The migration of {THE_VM} is stuck in {{{{ $labels.status }}}}",
        "The migration has been {{ $labels.status }} for 30 minutes, without a new pass.",
        "30m",
    ),
    Alert(
        "QemuMigrationHoldsGuest",
        "critical",
        "qemu_migration_status{\n"
        '  status=~"pre-switchover|device|postcopy-paused"\n'
        "} == 1\n"
        f'unless {VM} qemu_vm_status{{status="inmigrate"}} == 1\n',
        f"{THE_VM} stands still in the middle of its migration",
        "The migration is {{ $labels.status }}, in which the guest does not run, and does not go"
        " on.",
        "5m",
    ),
    Alert(
        "QemuDumpFailed",
        "warning",
        f'{recorded("qemu_dumps_total")}{{status="failed"}} > 0',
        f"The memory dump of {THE_VM} failed",
        "dump-guest-memory did not finish; what it wrote is not whole.",
    ),
    Alert(
        "QemuCrashed",
        "critical",
        f'{recorded("qemu_vm_exits_total")}{{cause="crash"}} > 0',
        f"QEMU of {THE_VM} crashed or was killed",
        "The QEMU process ended without a word: it crashed, was killed, or the host ran out of"
        " memory.",
    ),
    Alert(
        "QemuMonitorUnresponsive",
        "critical",
        'qmp_exporter_target_state{state="unresponsive"} == 1',
        f"QEMU of {THE_VM} does not answer",
        "Its monitor has not answered for 10 seconds and more: QEMU's main loop hangs, and with it"
        " mostly the guest's I/O.",
        "1m",
    ),
)

EXPORTER: Final = (
    Alert(
        "QmpMonitorBusy",
        "warning",
        'qmp_exporter_target_state{state="busy"} == 1',
        f"The monitor of {THE_VM} is taken",
        "Another client holds the only place of this monitor, so nothing is known of the machine.",
        "15m",
    ),
    Alert(
        "QmpExporterBlind",
        "warning",
        "increase(qmp_exporter_unobserved_seconds_total[10m]) > 300\n"
        f'unless {VM} max_over_time(qmp_exporter_target_state{{state="busy"}}[10m]) == 1\n',
        f"{THE_VM} is not watched",
        "The machine was there and not watched for {{ $value | humanizeDuration }} of the last 10"
        " minutes: its events were missed.",
    ),
    Alert(
        "QmpExporterDecodeErrors",
        "warning",
        f"{recorded('qmp_exporter_decode_errors_total')} > 0",
        f"{THE_VM} sends events that cannot be read",
        "{{ $value | printf `%.0f` }} lines of its monitor were not the event {{ $labels.event }}"
        " that they claim to be.",
    ),
    Alert(
        "QmpExporterReloadFailed",
        "warning",
        "qmp_exporter_config_last_reload_successful == 0\n"
        "or\n"
        "qmp_exporter_web_config_last_reload_successful == 0\n",
        f"{THE_EXPORTER} goes on with an old configuration",
        "A configuration file, or a certificate or key that it names, is wrong; the log says what.",
        "5m",
    ),
    Alert(
        "QmpExporterTelemetryLost",
        "warning",
        "increase(qmp_exporter_otel_dropped_total[5m]) > 0\n"
        "or\n"
        "increase(qmp_exporter_otel_failed_total[5m]) > 0\n",
        f"{THE_EXPORTER} loses {{{{ $labels.signal }}}}",
        "{{ $value | printf `%.0f` }} items of {{ $labels.signal }} did not reach the OpenTelemetry"
        " collector in 5 minutes.",
        "10m",
    ),
    Alert(
        "QmpExporterDown",
        "critical",
        "up == 0 and on (job, instance) last_over_time(qmp_exporter_build_info[7d])",
        f"{THE_EXPORTER} cannot be scraped",
        "Prometheus knows the target and does not reach it; what happens to its machines is not"
        " seen.",
        "5m",
    ),
    Alert(
        "QmpExporterAbsent",
        "critical",
        "absent(qmp_exporter_build_info)",
        "No qmp-exporter is scraped",
        "Prometheus has no series of any qmp-exporter: no alert of these can fire.",
        "10m",
    ),
)

GROUPS: Final = {
    "qmp-exporter-disks": DISKS,
    "qmp-exporter-guests": GUESTS,
    "qmp-exporter-operations": OPERATIONS,
    "qmp-exporter-itself": EXPORTER,
}
ALERTS: Final = tuple(alert for alerts in GROUPS.values() for alert in alerts)
