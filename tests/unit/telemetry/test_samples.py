"""Samples with their structure, made of prometheus-client's families."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from builders import SOME
from qmp_exporter.telemetry.samples import About, Distribution, Samples, of_families
from qmp_exporter.telemetry.self_metrics import Histogram


OWNER = object()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e9)


def test_counters_and_gauges() -> None:
    """A counter has its `_total`; labels keep their order; `_created` is left out."""
    counter = CounterMetricFamily("a", "of a", labels=["x", "y"])
    counter.add_metric(["1", "2"], 3, created=5.0)
    counter.add_metric(["1", ""], 4)
    gauge = GaugeMetricFamily("b", "of b", value=1.5)
    empty = GaugeMetricFamily("c", "of c", labels=["x"])
    assert of_families([counter, gauge, empty], OWNER) == [
        Samples(
            About("a_total", "counter", "of a"),
            OWNER,
            ("x", "y"),
            [(("1", "2"), 3), (("1", ""), 4)],
        ),
        Samples(About("b", "gauge", "of b"), OWNER, (), [((), 1.5)]),
    ]


@SOME
@given(st.lists(NUMBERS, max_size=30), st.sets(NUMBERS, max_size=5))
def test_histograms(values: list[float], bounds: set[float]) -> None:
    """Each bucket has its own observations, which all of them add up to."""
    histogram = Histogram(tuple(sorted(bounds)))
    for value in values:
        histogram.observe(value)
    family = HistogramMetricFamily("a", "of a", labels=["x"])
    family.add_metric(["1"], histogram.buckets(), histogram.total)
    family.add_metric(["2"], Histogram(histogram.bounds).buckets(), 0)
    (found,) = of_families([family], OWNER)
    assert found.about == About("a", "histogram", "of a")
    assert found.labels == ("x",)
    nothing = (0,) * (len(bounds) + 1)
    assert found.rows == [
        (("1",), Distribution(histogram.bounds, tuple(histogram.counts), histogram.total)),
        (("2",), Distribution(histogram.bounds, nothing, 0)),
    ]


def test_everything_that_the_exporter_tells_of_its_process_is_there() -> None:
    """prometheus-client's collectors have no other type, and no sample is lost."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    found = of_families(registry.collect(), OWNER)
    expected = {
        (sample.name, tuple(sample.labels.items()))
        for family in registry.collect()
        for sample in family.samples
    }
    assert expected == {
        (one.about.name, tuple(zip(one.labels, values, strict=True)))
        for one in found
        for values, _ in one.rows
    }
