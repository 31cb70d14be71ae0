"""Metrics of the exporter as a whole."""

from __future__ import annotations

import platform
import sys
import threading
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from qmp_exporter import __version__
from qmp_exporter.app import App
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.config.settings import Settings
from qmp_exporter.telemetry.self_metrics import SINKS, Histogram, SelfMetrics, registry


BOUNDS = (0.1, 1.0, 10.0)


def values(own: SelfMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """All samples, by name and label values."""
    text = generate_latest(registry(own, process=False)).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@given(st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS)))
def test_a_histogram_counts_every_value_in_its_bucket(observed: list[float]) -> None:
    """A bucket holds what is less than or equal to its bound; the last holds everything."""
    histogram = Histogram(BOUNDS)
    for value in observed:
        histogram.observe(value)
    expected = [(str(b), float(sum(value <= b for value in observed))) for b in BOUNDS]
    assert histogram.buckets() == [*expected, ("+Inf", float(len(observed)))]
    assert histogram.total == pytest.approx(sum(observed))


def test_every_metric_is_shown_as_its_entry_says() -> None:
    """Name, kind, help and labels, once something happened."""
    own = SelfMetrics()
    for spec in OWN_METRICS:
        labels = tuple(f"a {label}" for label in spec.labels)
        if spec.kind == "histogram":
            own.histogram(spec.name, *labels).observe(1)
        else:
            own.add(spec.name, 1, *labels)
    families = {family.name: family for family in registry(own, process=False).collect()}
    for spec in OWN_METRICS:
        family = families[spec.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (spec.kind, spec.help)
        assert all(set(spec.labels) <= set(sample.labels) for sample in family.samples)
        assert family.samples
        if spec.kind == "histogram":
            bounds = {sample.labels.get("le") for sample in family.samples} - {None}
            assert bounds == {*map(str, spec.buckets), "+Inf"}


def test_what_an_alert_can_name_is_there_from_the_start() -> None:
    """Counters without labels, targets by state and errors by sink, all at 0; the versions at 1."""
    found = values(SelfMetrics())
    for state in TargetState:
        assert found["qmp_exporter_targets", (state,)] == 0.0
    for sink in SINKS:
        assert found["qmp_exporter_sink_errors_total", (sink,)] == 0.0
    assert found["qmp_exporter_event_delay_seconds_count", ()] == 0.0
    assert found["qmp_exporter_event_loop_lag_seconds_count", ()] == 0.0
    versions = (platform.python_version(), version("qemu.qmp"), __version__)
    assert found["qmp_exporter_build_info", versions] == 1.0


def test_the_sinks_are_those_of_the_application() -> None:
    """A sink that is added is shown at 0 as well."""
    assert tuple(sink.name for sink in App(Settings()).sinks) == SINKS


def test_both_formats_are_valid_and_end_in_nothing_strange() -> None:
    """Strict parsers of both read what is written."""
    own = SelfMetrics()
    own.histogram("qmp_exporter_command_duration_seconds", "query-status").observe(0.002)
    shown = registry(own, process=True)
    assert list(parse(generate_latest(shown).decode()))
    assert list(parse_openmetrics(generate_openmetrics(shown).decode()))


@pytest.mark.parametrize("process", [True, False])
def test_metrics_of_process_and_python_can_be_left_out(*, process: bool) -> None:
    """The exporter's own stay."""
    names = {family.name for family in registry(SelfMetrics(), process=process).collect()}
    assert ("process_resident_memory_bytes" in names) is process
    assert ("python_info" in names) is process
    assert ("python_gc_objects_collected" in names) is process
    assert "qmp_exporter_build" in {name.removesuffix("_info") for name in names}


def test_one_metric_can_be_asked_for_by_name() -> None:
    """As `name[]` does, also where it has no sample yet."""
    shown = registry(SelfMetrics(), process=False)
    text = generate_latest(shown.restricted_registry(["qmp_exporter_build_info"])).decode()
    assert [family.name for family in parse(text)] == ["qmp_exporter_build_info"]
    name = "qmp_exporter_http_rejected_total"
    text = generate_latest(shown.restricted_registry([name])).decode()
    assert [sample.name for family in parse(text) for sample in family.samples] == []


def test_something_may_be_added_while_it_is_collected() -> None:
    """The loop counts while a thread renders."""
    own = SelfMetrics()
    for number in range(3):
        own.add("qmp_exporter_http_rejected_total", 1, str(number))
    for family in own.collect():
        for _ in family.samples:
            own.add("qmp_exporter_http_rejected_total", 1, f"new {family.name}")
            own.histogram("qmp_exporter_command_duration_seconds", f"c {family.name}").observe(1)


def test_no_thread_loses_what_another_adds() -> None:
    """Lines of the log are suppressed in any thread: the counter has them all, and never falls."""
    own, name, each = SelfMetrics(), "qmp_exporter_log_lines_suppressed_total", 20_000

    def work() -> None:
        for _ in range(each):
            own.add(name, 1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert values(own)[name, ()] == 4 * each


@pytest.mark.parametrize(
    "values",
    [[0.5], [0.5, 0.6, 0.9], [0.1, 1.0, 5.0, 99.0], [-3.0, 0.2], [-3.0, -1.0], [1.0, 1.0]],
)
def test_several_observations_at_once_are_as_each_alone(values: list[float]) -> None:
    """In one bucket or in many; below 0 is 0."""
    together, alone = Histogram((0.3, 1.0, 10.0)), Histogram((0.3, 1.0, 10.0))
    together.observe_all(values)
    for value in values:
        alone.observe(max(0.0, value))
    assert together.counts == alone.counts
    assert together.total == pytest.approx(alone.total)
