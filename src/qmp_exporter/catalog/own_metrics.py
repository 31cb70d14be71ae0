"""Every metric of the exporter as a whole, one entry each."""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.spec import Own


MIGRATION_SECONDS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

OWN_METRICS: Final[tuple[Own, ...]] = (
    Own(
        "qmp_exporter_build_info",
        "gauge",
        "Versions of the exporter, of Python and of the qemu.qmp library; always 1.",
        ("version", "python_version", "qemu_qmp_version"),
    ),
    Own("qmp_exporter_targets", "gauge", "Monitors by state.", ("state",)),
    Own(
        "qmp_exporter_sink_errors_total",
        "counter",
        "Errors of a sink, which were logged and did not stop the others.",
        ("sink",),
    ),
    Own(
        "qmp_exporter_label_overflows_total",
        "counter",
        "Rows that a limit kept from being shown under their own labels.",
        ("metric",),
    ),
    Own(
        "qmp_exporter_event_delay_seconds",
        "histogram",
        "Time from QEMU's stamp of an event until it was applied; QEMU itself delays some by up"
        " to a second.",
        buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1.1, 5.0),
    ),
    Own(
        "qmp_exporter_command_duration_seconds",
        "histogram",
        "Time that a VM took to answer a command.",
        ("command",),
        (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
    ),
    Own(
        "qmp_exporter_event_loop_lag_seconds",
        "histogram",
        "How late the event loop woke up.",
        buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5),
    ),
    Own(
        "qmp_exporter_fleet_migration_duration_seconds",
        "histogram",
        "How long migrations took, over all VMs. QMP event MIGRATION.",
        ("role", "outcome"),
        MIGRATION_SECONDS,
    ),
    Own(
        "qmp_exporter_discovery_skipped_total",
        "counter",
        "Paths that a glob matches and that are not watched.",
        ("reason",),
    ),
    Own(
        "qmp_exporter_listen_rejected_total",
        "counter",
        "Connections of those who dialled in that were not kept.",
        ("reason",),
    ),
    Own(
        "qmp_exporter_vms_forgotten_early_total",
        "counter",
        "VMs that ended and were forgotten before their grace was over, as there were too many.",
    ),
    Own(
        "qmp_exporter_reads_deferred_total",
        "counter",
        "Times a monitor that sent too much at once had to wait for the others.",
    ),
    Own(
        "qmp_exporter_config_last_reload_successful",
        "gauge",
        "Whether the last attempt to read the configuration succeeded.",
    ),
    Own(
        "qmp_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration was last read with success, in Unix time.",
    ),
    Own(
        "qmp_exporter_http_rejected_total",
        "counter",
        "HTTP requests refused, by status code; none: an idle connection that gave way to another.",
        ("code",),
    ),
    Own(
        "qmp_exporter_tls_handshake_failures_total",
        "counter",
        "Connections over TLS that failed before a request.",
        ("reason",),
    ),
    Own(
        "qmp_exporter_web_config_last_reload_successful",
        "gauge",
        "Whether the web configuration file, its certificates and keys could be read when they last"
        " changed.",
    ),
    Own(
        "qmp_exporter_log_events_dropped_total",
        "counter",
        "Events without a line on stdout: too many in a second (rate), or it is too slow (queue).",
        ("reason",),
    ),
    Own(
        "qmp_exporter_log_lines_suppressed_total",
        "counter",
        "Log lines not written, because there were too many of their kind.",
    ),
    Own(
        "qmp_exporter_otel_queued",
        "gauge",
        "Spans or log records that OpenTelemetry has not exported yet.",
        ("signal",),
    ),
    Own(
        "qmp_exporter_otel_exported_total",
        "counter",
        "Spans, log records or data points that OpenTelemetry sent and a collector took.",
        ("signal",),
    ),
    Own(
        "qmp_exporter_otel_failed_total",
        "counter",
        "Spans, log records or data points that could not be sent, or were not taken.",
        ("signal",),
    ),
    Own(
        "qmp_exporter_otel_dropped_total",
        "counter",
        "Spans, log records or data points given up: too many waited, or the exporter stopped.",
        ("signal",),
    ),
    Own(
        "qmp_exporter_otel_last_success_timestamp_seconds",
        "gauge",
        "When a collector last took what it was sent, in Unix time; 0 before the first time.",
        ("signal",),
    ),
)
