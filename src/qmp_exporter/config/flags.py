"""The flags: one entry is a flag, its variable, its key in the file and its documentation."""

from __future__ import annotations

from typing import Final

from qmp_exporter.config import kinds
from qmp_exporter.config.flag import Flag
from qmp_exporter.telemetry import logs


CONFIG_FILE: Final = Flag(
    "--config.file",
    "what else is set, as YAML; flags and variables come before it",
    "config_file",
    kinds.FILE,
    filed=False,
)
CONFIG_CHECK: Final = Flag(
    "--config.check",
    "print all that is set, as a file for --config.file, and end",
    "config_check",
    filed=False,
)
FLAGS: Final = (
    CONFIG_FILE,
    CONFIG_CHECK,
    Flag(
        "--qmp.socket",
        "QMP monitors to watch: the path of a socket, a glob of paths, or host:port",
        "sockets",
        kinds.SOCKET,
        many=True,
    ),
    Flag(
        "--qmp.listen",
        "the path of a socket to make, at which QEMU dials in",
        "listeners",
        kinds.LISTENER,
        many=True,
    ),
    Flag(
        "--no-qmp.migration-events",
        "do not tell QEMU to send MIGRATION events, which it does not do by itself",
        "migration_events",
        value=False,
    ),
    Flag(
        "--listen.mode",
        "permissions of the sockets of --qmp.listen",
        "listen_mode",
        kinds.MODE,
    ),
    Flag(
        "--listen.group",
        "group that owns the sockets of --qmp.listen, by name or number",
        "listen_group",
        kinds.GROUP,
    ),
    Flag(
        "--listen.user",
        "user who may dial in besides root and the exporter's own, by name or number",
        "listen_users",
        kinds.USER,
        many=True,
    ),
    Flag(
        "--web.listen-address",
        "where to serve HTTP: :PORT, HOST:PORT or unix:PATH",
        "listen_addresses",
        kinds.ADDRESS,
        many=True,
        least=1,
    ),
    Flag(
        "--web.systemd-socket",
        "serve HTTP on the sockets that systemd opened, not on listen addresses",
        "systemd_socket",
    ),
    Flag(
        "--web.telemetry-path",
        "where to serve the metrics",
        "telemetry_path",
        kinds.TELEMETRY_PATH,
    ),
    Flag(
        "--web.config.file",
        "file of TLS, users and limits for HTTP, in the format of Prometheus exporters",
        "web_config_file",
        kinds.PATH,
    ),
    Flag(
        "--web.max-requests",
        "scrapes at a time, 0 for no limit",
        "max_requests",
        kinds.NUMBER,
    ),
    Flag(
        "--web.page",
        "whether there are pages of the VMs, and the stream /events",
        "page",
        kinds.ON_OFF,
    ),
    Flag(
        "--web.disable-exporter-metrics",
        "show no metrics of the exporter's process and of Python",
        "process_metrics",
        value=False,
    ),
    Flag(
        "--vm.grace",
        "how long the series of a VM stay after its end",
        "vm_grace",
        kinds.DURATION,
    ),
    Flag(
        "--limits.label-sets",
        "rows of one metric of one VM that are told apart",
        "label_sets",
        kinds.COUNT,
    ),
    Flag(
        "--limits.targets",
        "monitors found by globs or dialling in, at most",
        "max_targets",
        kinds.COUNT,
    ),
    Flag(
        "--limits.line-length",
        "longest line that a monitor may send",
        "max_line",
        kinds.SIZE,
    ),
    Flag(
        "--limits.lines-per-turn",
        "lines of one monitor before it is the others' turn",
        "max_lines",
        kinds.COUNT,
    ),
    Flag(
        "--limits.log-lines",
        "lines of the log in a second, 0 for no limit",
        "max_log_lines",
        kinds.NUMBER,
    ),
    Flag(
        "--limits.log-events",
        "lines of events in a second, 0 for no limit",
        "max_log_events",
        kinds.NUMBER,
    ),
    Flag(
        "--otel.events",
        "what OpenTelemetry gets of an event: span (an event of a span), log or both",
        "otel_events",
        kinds.one_of("span|log|both", ("span", "log", "both")),
    ),
    Flag(
        "--otel.client-addresses",
        "let OpenTelemetry have the addresses of VNC and SPICE clients",
        "otel_client_addresses",
    ),
    Flag(
        "--otel.shutdown-timeout",
        "how long what OpenTelemetry has not exported may hold up the end",
        "otel_shutdown_timeout",
        kinds.DURATION,
    ),
    Flag(
        "--log.events",
        "write each event as a line of JSON to stdout",
        "log_events",
    ),
    Flag(
        "--log.level",
        "debug, info, warn or error",
        "log_level",
        kinds.one_of("LEVEL", logs.LEVELS),
    ),
    Flag(
        "--log.format",
        "logfmt or json",
        "log_format",
        kinds.one_of("FORMAT", logs.FORMATS),
    ),
)
