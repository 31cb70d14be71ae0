"""Data points as bytes: protobuf reads them back as they were meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Histogram

from builders import SOME
from otlp_data import Point, _point
from qmp_exporter.telemetry.otel import encode
from qmp_exporter.telemetry.samples import Distribution


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=8)
TIMES = st.integers(0, 2**64 - 1)


@SOME
@given(LABELS, TIMES, TIMES, st.floats(allow_nan=False) | st.integers(0, 2**70))
def test_a_number(labels: dict[str, str], start: int, now: int, value: float) -> None:
    """Attributes of any text and length, both times, and the nearest 64-bit fraction."""
    attributes = encode.attributes(labels, labels.values())
    written = encode.point(attributes, start, now, value)
    (found,) = Gauge.FromString(written).data_points
    assert _point(found) == Point(labels, float(value), start, now)
    assert found.WhichOneof("value") == "as_double"


@SOME
@given(LABELS, TIMES, TIMES, st.lists(st.integers(0, 2**59), min_size=1, max_size=20))
def test_a_histogram(labels: dict[str, str], start: int, now: int, counts: list[int]) -> None:
    """Its buckets, their bounds, and how many there were; neither least nor most is known."""
    value = Distribution(tuple(map(float, range(len(counts) - 1))), tuple(counts), 1.5)
    written = encode.point(encode.attributes(labels, labels.values()), start, now, value)
    (found,) = Histogram.FromString(written).data_points
    expected = Point(labels, 1.5, start, now, (), sum(counts), value.bounds, value.counts)
    assert _point(found) == expected
    assert not found.HasField("min")
    assert not found.HasField("max")


def test_points_follow_one_another() -> None:
    """What is joined is a list."""
    some = encode.attributes(("vm",), ("a",))
    written = encode.point(some, 1, 2, 3) + encode.point(b"", 4, 5, 6) + encode.gone(some, 7)
    assert list(map(_point, Gauge.FromString(written).data_points))[:2] == [
        Point({"vm": "a"}, 3, 1, 2),
        Point({}, 6, 4, 5),
    ]


def test_what_is_gone() -> None:
    """It has a flag, the time, and no number."""
    (found,) = Gauge.FromString(encode.gone(encode.attributes(("vm",), ("a",)), 7)).data_points
    assert (found.flags, found.time_unix_nano, found.WhichOneof("value")) == (1, 7, None)
    assert _point(found).attributes == {"vm": "a"}
