"""The groups of metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from qmp_exporter.catalog.groups import GROUPS, group_of, names_by_group
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.telemetry.self_metrics import SelfMetrics, names_of_process, registry


def test_every_metric_has_a_group() -> None:
    """One that is new and has none would be left out of every scrape by group."""
    names = [*(m.name for m in (*ALL_VM_METRICS, *OWN_METRICS)), *FLEET_METRICS]
    names += names_of_process(registry(SelfMetrics(), process=True))
    assert [name for name in names if not group_of(name)] == []
    assert group_of("somebody_elses_total") == ""


def test_every_group_has_metrics_and_every_prefix_counts() -> None:
    """What is listed is there."""
    further = names_of_process(registry(SelfMetrics(), process=True))
    found = names_by_group(further)
    assert list(found) == [group.name for group in GROUPS]
    for group in GROUPS:
        for prefix in group.prefixes:
            assert any(name.startswith(prefix) for name in found[group.name]), prefix


def test_the_longest_prefix_decides() -> None:
    """What is of the fleet is not of the exporter."""
    assert group_of("qmp_exporter_fleet_stops_total") == "fleet"
    assert group_of("qmp_exporter_targets") == "exporter"


def test_a_histogram_is_there_by_its_series() -> None:
    """And no name is in two groups."""
    found = names_by_group(["process_x", "unknown_x"])
    assert "qmp_exporter_event_delay_seconds_bucket" in found["exporter"]
    assert found["process"] == {"process_x"}
    names = [name for names in found.values() for name in names]
    assert len(names) == len(set(names))


def test_a_registry_without_the_process_has_no_names_of_it() -> None:
    """As with --web.disable-exporter-metrics."""
    assert names_of_process(registry(SelfMetrics(), process=False)) == set()
    assert names_of_process(CollectorRegistry()) == set()
