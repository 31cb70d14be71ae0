"""The dashboard of the exporter itself: whether it sees everything, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import (
    ORANGE,
    Query,
    board,
    counts,
    during,
    fill,
    lately,
    levels,
    lines,
    number,
    of,
    own,
    quantiles,
    ranking,
    rise,
    rows,
)


if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard


CONNECTED: Final = 'state="connected"'


def _rises(counter: str, label: str, legend: str = "") -> Query:
    return Query(rise(own(counter), label), legend or f"{{{{{label}}}}}")


def build() -> Dashboard:
    """Return it."""
    tiles = (
        number(
            "Exporters",
            "Exporters that are scraped.",
            f"count({own('qmp_exporter_build_info')})",
            bad="",
        ),
        number(
            "Monitors connected",
            "Monitors that are connected and answer.",
            f"sum({own('qmp_exporter_targets', CONNECTED)})",
            bad="",
        ),
        number(
            "Time not watched",
            "How long VMs were there and not watched in the time shown, added up: their events"
            " were missed.",
            during(of("qmp_exporter_unobserved_seconds_total")),
            bad=ORANGE,
            unit="s",
        ),
        number(
            "Lines not understood",
            "Lines of monitors that were not the event they claim to be, in the time shown.",
            during(of("qmp_exporter_decode_errors_total")),
            bad=ORANGE,
        ),
        number(
            "Faults of sinks",
            "Errors inside the exporter, which were logged, in the time shown.",
            during(own("qmp_exporter_sink_errors_total")),
        ),
        number(
            "Rows not shown",
            "Rows that a limit kept from being shown under their own labels, in the time shown.",
            during(own("qmp_exporter_label_overflows_total")),
            bad=ORANGE,
        ),
        number(
            "Telemetry lost",
            "Spans, log records and data points that did not reach a collector, in the time shown.",
            f"{during(own('qmp_exporter_otel_failed_total'))}"
            f" + {during(own('qmp_exporter_otel_dropped_total'))}",
            bad=ORANGE,
        ),
        number(
            "Old configuration",
            "Exporters whose configuration could not be read again, and which go on with the old.",
            f"count({own('qmp_exporter_config_last_reload_successful')} == 0)",
            bad=ORANGE,
        ),
    )
    return fill(
        board("exporter", "QEMU / Exporter", "Whether the exporter sees everything."),
        {
            "": tiles,
            "Monitors": (
                lines(
                    "Monitors by state",
                    "How many monitors are in each state.",
                    Query(f"sum by (state) ({own('qmp_exporter_targets')}) > 0", "{{state}}"),
                    stacked=True,
                ),
                counts(
                    "Connections lost",
                    "Established sessions that ended, by reason: eof where QEMU has ended.",
                    Query(rise(of("qmp_exporter_disconnects_total"), "reason"), "{{reason}}"),
                ),
                ranking(
                    "Not watched",
                    "VMs that were there and not watched for the longest in the time shown.",
                    during(of("qmp_exporter_unobserved_seconds_total"), "instance", "vm"),
                    unit="s",
                ),
                ranking(
                    "Most events",
                    "VMs that sent the most events in the time shown.",
                    during(of("qemu_events_total"), "instance", "vm"),
                ),
                counts(
                    "Lines not understood",
                    "Lines of monitors that were not the event they claim to be.",
                    Query(rise(of("qmp_exporter_decode_errors_total"), "event"), "{{event}}"),
                ),
            ),
            "Speed": (
                lines(
                    "Events",
                    "QMP events a second, all VMs together.",
                    Query(
                        f"sum by (instance) ({lately(own('qmp_exporter_fleet_events_total'))})",
                        "{{instance}}",
                    ),
                    unit="cps",
                ),
                lines(
                    "Delay of events",
                    "From QEMU's stamp until an event was counted; QEMU itself delays some by up"
                    " to a second.",
                    *quantiles(lately(own("qmp_exporter_event_delay_seconds_bucket"))),
                    unit="s",
                ),
                lines(
                    "Lag of the event loop",
                    "How late the exporter wakes up.",
                    *quantiles(lately(own("qmp_exporter_event_loop_lag_seconds_bucket"))),
                    unit="s",
                ),
                lines(
                    "Answers of VMs",
                    "How long QEMU takes to answer a command.",
                    *quantiles(lately(own("qmp_exporter_command_duration_seconds_bucket"))),
                    unit="s",
                ),
            ),
            "OpenTelemetry": (
                lines(
                    "Waiting",
                    "Spans and log records that are not exported yet.",
                    Query(f"sum by (signal) ({own('qmp_exporter_otel_queued')})", "{{signal}}"),
                ),
                counts(
                    "Exported, failed, dropped",
                    "What became of spans, log records and data points.",
                    _rises("qmp_exporter_otel_exported_total", "signal"),
                    _rises("qmp_exporter_otel_failed_total", "signal", "{{signal}}: failed"),
                    _rises("qmp_exporter_otel_dropped_total", "signal", "{{signal}}: dropped"),
                ),
            ),
            "The process": (
                lines(
                    "Memory",
                    "Resident memory of the exporter.",
                    Query(own("process_resident_memory_bytes"), "{{instance}}"),
                    unit="bytes",
                ),
                lines(
                    "CPU",
                    "How much of a core the exporter uses.",
                    Query(
                        lately(own("process_cpu_seconds_total")),
                        "{{instance}}",
                    ),
                    unit="percentunit",
                ),
                lines(
                    "File descriptors",
                    "Open file descriptors, of which each VM takes one.",
                    Query(own("process_open_fds"), "{{instance}}: open"),
                    Query(own("process_max_fds"), "{{instance}}: limit"),
                ),
                counts(
                    "Refused",
                    "HTTP requests refused, by status; connections of QEMUs that dialled in and"
                    " were not kept; paths that are not watched.",
                    _rises("qmp_exporter_http_rejected_total", "code", "HTTP: {{code}}"),
                    _rises(
                        "qmp_exporter_listen_rejected_total", "reason", "dialled in: {{reason}}"
                    ),
                    _rises("qmp_exporter_discovery_skipped_total", "reason", "path: {{reason}}"),
                ),
                levels(
                    "Log lines held back",
                    "Log lines that were not written, as there were too many of their kind.",
                    Query(
                        rise(own("qmp_exporter_log_lines_suppressed_total"), "instance"),
                        "{{instance}}",
                    ),
                ),
                rows(
                    "Versions",
                    "Which exporters there are.",
                    own("qmp_exporter_build_info"),
                    {
                        "instance": "Exporter",
                        "version": "Version",
                        "python_version": "Python",
                        "qemu_qmp_version": "qemu.qmp",
                    },
                ),
            ),
        },
    )
