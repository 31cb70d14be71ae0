"""What can be set, as frozen data."""

from __future__ import annotations

from typing import Final

import msgspec

from qmp_exporter.config.otel import Otel
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.model.target import Listening, Target


DEFAULT_ADDRESS: Final = ":10767"


class Settings(msgspec.Struct, frozen=True):
    """The settings of one run.

    Attributes:
        targets: monitors to watch, each by its address.
        listen_addresses: where HTTP is served.
        systemd_socket: whether HTTP is served on the sockets of systemd instead.
        telemetry_path: where the metrics are.
        max_requests: scrapes at a time; 0 for no limit.
        page: whether there are pages of the VMs, and the stream of events.
        process_metrics: whether metrics of the process and of Python are shown.
        vm_grace: seconds that the series of a VM stay after its end.
        label_sets: rows of one metric of one VM that are told apart.
        migration_events: whether QEMU may be told to send MIGRATION events.
        log_level: least level that is logged.
        log_format: ``logfmt`` or ``json``.
        patterns: monitors to look for.
        max_targets: monitors found by pattern or dialling in, at most.
        listeners: sockets at which QEMU dials in.
        max_line: bytes of a line of a monitor.
        max_lines: lines of one monitor in one turn of the event loop.
        max_log_lines: lines of the log in a second; 0 for no limit.
        log_events: whether each event is written to stdout.
        max_log_events: lines of events in a second; 0 for no limit.
        listen_mode: permissions of a listener that says none.
        listen_group: its group; empty for the exporter's own.
        listen_users: its users.
        web_config_file: the path of the web configuration file; empty for none.
        otel_events: ``span``, ``log`` or ``both``: what OpenTelemetry gets of an event.
        otel_client_addresses: whether it gets the addresses of clients.
        otel_shutdown_timeout: seconds for what is not exported yet when the exporter stops.
        otel: what OpenTelemetry's own variables say; None where nothing is exported.
    """

    targets: tuple[Target, ...] = ()
    listen_addresses: tuple[str, ...] = (DEFAULT_ADDRESS,)
    systemd_socket: bool = False
    telemetry_path: str = "/metrics"
    max_requests: int = 40
    page: bool = True
    process_metrics: bool = True
    vm_grace: float = 300.0
    label_sets: int = 256
    migration_events: bool = True
    log_level: str = "info"
    log_format: str = "logfmt"
    patterns: tuple[Pattern, ...] = ()
    max_targets: int = 10_000
    listeners: tuple[Listening, ...] = ()
    max_line: int = 1024 * 1024
    max_lines: int = 256
    max_log_lines: int = 50
    log_events: bool = False
    max_log_events: int = 100
    listen_mode: int = 0o600
    listen_group: str = ""
    listen_users: tuple[str, ...] = ()
    web_config_file: str = ""
    otel_events: str = "both"
    otel_client_addresses: bool = False
    otel_shutdown_timeout: float = 5.0
    otel: Otel | None = None
