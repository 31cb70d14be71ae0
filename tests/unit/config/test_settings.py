"""What holds where nothing is set."""

from __future__ import annotations

from qmp_exporter.config.settings import Settings


def test_the_defaults_are_the_documented_ones() -> None:
    """What happens where nothing is set."""
    found = Settings()
    assert found.listen_addresses == (":10767",)
    assert (found.telemetry_path, found.max_requests, found.page) == ("/metrics", 40, True)
    assert (found.vm_grace, found.label_sets, found.migration_events) == (300.0, 256, True)
    assert (found.log_level, found.log_format, found.process_metrics) == ("info", "logfmt", True)
    assert (found.max_line, found.max_lines, found.max_log_lines) == (1 << 20, 256, 50)
    assert (found.listen_mode, found.listen_group, found.listen_users) == (0o600, "", ())
