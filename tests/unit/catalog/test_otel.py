"""What metrics are called in OpenTelemetry, and that Prometheus' names come of it again."""

from __future__ import annotations

import re
from collections import Counter as Tally
from typing import Final

import pytest

from otlp_data import Metric, Point, Scope
from otlp_names import translate
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.otel import otel_name
from qmp_exporter.catalog.own_metrics import OWN_METRICS


NAMES: Final = [m.name for m in (*ALL_VM_METRICS, *OWN_METRICS)] + list(FLEET_METRICS)
HISTOGRAMS: Final = {m.name for m in OWN_METRICS if m.kind == "histogram"}
OTHERS: Final = ["process_cpu_seconds_total", "process_open_fds", "python_gc_collections_total"]


@pytest.mark.parametrize(
    ("name", "found", "unit"),
    [
        ("qemu_up", "qemu.up", ""),
        ("qemu_events_total", "qemu.events", ""),
        ("qemu_vm_stopped_seconds_total", "qemu.vm_stopped", "s"),
        ("qemu_balloon_actual_bytes", "qemu.balloon_actual", "By"),
        ("qemu_quorum_bad_sectors_total", "qemu.quorum_bad_sectors", ""),
        ("qmp_exporter_event_delay_seconds", "qmp_exporter.event_delay", "s"),
        ("qmp_exporter_targets", "qmp_exporter.targets", ""),
        ("process_cpu_seconds_total", "process_cpu", "s"),
        ("python_info", "python_info", ""),
    ],
)
def test_names_and_units(name: str, found: str, unit: str) -> None:
    """Our prefixes are namespaces, units are units, and nothing else changes."""
    assert otel_name(name) == (found, unit)


def test_no_two_metrics_have_one_name() -> None:
    """Not even if case is ignored, as OpenTelemetry does."""
    found = Tally(otel_name(name).name.lower() for name in (*NAMES, *OTHERS))
    assert [name for name, times in found.items() if times > 1] == []


@pytest.mark.parametrize("name", NAMES + OTHERS)
def test_prometheus_names_come_back(name: str) -> None:
    """By OpenTelemetry's rules, from name, unit and kind alone."""
    found, unit = otel_name(name)
    total = name.endswith("_total")
    kind = "sum" if total else "histogram" if name in HISTOGRAMS else "gauge"
    point = Point({"vm": "web"}, 1.0, 0, 0, count=1, buckets=(1,) if kind == "histogram" else ())
    resource = {"service.name": "a", "service.instance.id": "b"}
    metric = Metric(found, "", unit, kind, total, "cumulative", (point,), resource, Scope("", ""))
    assert translate([metric]).keys() == {name, "target_info"}


@pytest.mark.parametrize("name", NAMES + OTHERS)
def test_names_are_opentelemetrys(name: str) -> None:
    """Of the letters that it allows, at most 255 of them; no unit that adds `_ratio`.

    Source: OpenTelemetry specification, metrics/api.md, "Instrument name syntax".
    """
    found, unit = otel_name(name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", found)
    assert len(found) <= 255
    assert unit in {"", "s", "By"}
