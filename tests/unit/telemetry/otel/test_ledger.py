"""Since when something counts, differences to what has arrived, and what has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Histogram

from builders import MANY
from otlp_data import Point, _point
from qmp_exporter.telemetry.otel.ledger import Ledger
from qmp_exporter.telemetry.samples import About, Distribution, Samples


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.telemetry.otel.ledger import Entry, Preference


COUNTER: Final = About("stops_total", "counter", "")
GAUGE: Final = About("state", "gauge", "")
HISTOGRAM: Final = About("delay_seconds", "histogram", "")
BEGAN: Final = 1_000


class Owner:
    """Somebody to whom samples belong."""


def given_(owner: object, about: About = COUNTER, **rows: float | Distribution) -> Samples:
    """Return samples with one label, ``x``."""
    return Samples(about, owner, ("x",), [((text,), number) for text, number in rows.items()])


def nothing(_: object) -> tuple[list[Samples], list[Samples]]:
    """Return that there was nothing of an owner who went."""
    return [], []


def points(entry: Entry) -> dict[str, tuple[float, int, int]]:
    """Return number, start and time of points, by their label."""
    message = Histogram if entry.about.kind == "histogram" else Gauge
    found: Iterable[Point] = map(_point, message.FromString(b"".join(entry.points)).data_points)
    return {p.attributes["x"]: (p.value, p.start, p.time) for p in found}


def gone(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    """Return the metrics and labels of which it is said that they are no more."""
    found = set()
    for entry in entries:
        for point in map(_point, Gauge.FromString(b"".join(entry.gone)).data_points):
            assert point.gone
            found.add((entry.about.name, point.attributes["x"]))
    return found


def test_counters_count_since_the_exporter_began() -> None:
    """Those of the first round; their numbers are sums."""
    ledger, owner = Ledger(BEGAN, "cumulative"), Owner()
    for now in (2_000, 3_000):
        ledger.begin()
        entry = ledger.enter(given_(owner, a=now, b=1), now)
        assert points(entry) == {"a": (now, BEGAN, now), "b": (1, BEGAN, now)}
        assert entry.receipt is None


def test_who_comes_later_counts_since_the_points_before() -> None:
    """It was not there then; and who comes again begins anew, after its last point."""
    ledger, owner = Ledger(BEGAN, "cumulative"), Owner()
    for now in (2_000, 3_000):
        ledger.begin()
        ledger.enter(given_(owner, a=5), now)
        list(ledger.part(nothing, now))
    ledger.begin()
    assert points(ledger.enter(given_(Owner(), a=1), 4_000)) == {"a": (1, 3_001, 4_000)}
    list(ledger.part(nothing, 4_000))
    ledger.begin()
    assert points(ledger.enter(given_(owner, a=1), 5_000)) == {"a": (1, 4_001, 5_000)}


def test_a_clock_that_is_set_back() -> None:
    """No point begins after its end."""
    ledger, owner = Ledger(BEGAN, "cumulative"), Owner()
    ledger.begin()
    assert points(ledger.enter(given_(owner, a=1), 10)) == {"a": (1, 10, 10)}


def test_differences_are_to_what_has_arrived() -> None:
    """What is lost is in the next one, which begins where the last that arrived ended."""
    ledger, owner = Ledger(BEGAN, "delta"), Owner()

    def round_(now: int, *, arrives: bool, **rows: float) -> dict[str, tuple[float, int, int]]:
        ledger.begin()
        entry = ledger.enter(given_(owner, **rows), now)
        assert entry.receipt is not None
        if arrives:
            entry.receipt.keep()
        return points(entry)

    assert round_(2_000, arrives=False, a=3) == {"a": (3, BEGAN, 2_000)}
    assert round_(3_000, arrives=True, a=4) == {"a": (4, BEGAN, 3_000)}
    assert round_(4_000, arrives=False, a=9, b=1) == {
        "a": (5, 3_000, 4_000),
        "b": (1, 3_000, 4_000),
    }
    assert round_(5_000, arrives=True, a=9, b=2) == {"a": (5, 3_000, 5_000), "b": (2, 3_000, 5_000)}
    assert round_(6_000, arrives=True, a=9, b=2) == {"a": (0, 5_000, 6_000), "b": (0, 5_000, 6_000)}
    assert round_(7_000, arrives=True, a=2, b=2) == {"a": (2, 6_000, 7_000), "b": (0, 6_000, 7_000)}


def test_histograms_are_differences_bucket_by_bucket() -> None:
    """Counts and sum; a new one is whole."""
    ledger, owner = Ledger(BEGAN, "lowmemory"), Owner()
    found = []
    for now, counts, total in ((2_000, (1, 2), 3.5), (3_000, (1, 5), 9.5)):
        ledger.begin()
        entry = ledger.enter(given_(owner, HISTOGRAM, a=Distribution((1.0,), counts, total)), now)
        assert entry.receipt is not None
        entry.receipt.keep()
        (point,) = map(_point, Histogram.FromString(entry.points[0]).data_points)
        found.append((point.start, point.buckets, point.count, point.value))
    assert found == [(BEGAN, (1, 2), 3, 3.5), (2_000, (0, 3), 3, 6.0)]


@pytest.mark.parametrize(
    ("preference", "kinds"),
    [("cumulative", set()), ("delta", {"counter", "histogram"}), ("lowmemory", {"histogram"})],
)
def test_what_is_sent_as_a_difference(preference: Preference, kinds: set[str]) -> None:
    """Never a gauge."""
    ledger, owner = Ledger(BEGAN, preference), Owner()
    ledger.begin()
    entries = [
        ledger.enter(given_(owner, a=1), 2_000),
        ledger.enter(given_(owner, GAUGE, a=1), 2_000),
        ledger.enter(given_(owner, HISTOGRAM, a=Distribution((), (1,), 1.0)), 2_000),
    ]
    assert {entry.about.kind for entry in entries if entry.receipt is not None} == kinds


def test_rows_of_a_gauge_that_go() -> None:
    """They are told once."""
    ledger, owner = Ledger(BEGAN, "cumulative"), Owner()
    found = []
    for now, rows in enumerate(({"a": 1, "b": 2}, {"b": 3}, {"b": 3}, {})):
        ledger.begin()
        found.append(gone([ledger.enter(given_(owner, GAUGE, **rows), now)]))
    assert found == [set(), {("state", "a")}, set(), {("state", "b")}]


def test_all_rows_of_who_goes() -> None:
    """Also gauges that went with it; not what somebody else shows now; once, and all is dropped."""
    ledger, owner, other = Ledger(BEGAN, "delta"), Owner(), Owner()
    ledger.begin()
    for one in (owner, other):
        ledger.enter(given_(one, a=1), 2_000)
        ledger.enter(given_(one, GAUGE, a=1, b=1, c=1), 2_000)
    assert list(ledger.part(nothing, 2_000)) == []
    ledger.begin()
    ledger.skip(given_(other))

    def last(who: object) -> tuple[list[Samples], list[Samples]]:
        assert who is owner
        heir = Owner()
        return (
            [given_(owner, a=5, d=6), given_(owner, GAUGE, a=2)],
            [given_(heir, a=1), given_(heir, GAUGE, b=1)],
        )

    left = {("stops_total", "d"), ("state", "a"), ("state", "c")}
    assert gone(ledger.part(last, 3_000)) == left
    assert list(ledger._accounts) == [other]


@MANY
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), st.booleans()),
        max_size=20,
    )
)
def test_what_arrives_adds_up(rounds: list[tuple[dict[str, int], bool]]) -> None:
    """Whatever is lost, the sum of all differences is the number when the last one arrived."""
    ledger, owner = Ledger(0, "delta"), Owner()
    numbers, sums, ends = dict.fromkeys("ab", 0), dict[str, float](), dict[str, int]()
    for now, (raised, arrives) in enumerate([*rounds, ({}, True)], 1):
        for key, by in raised.items():
            numbers[key] = numbers.get(key, 0) + by
        ledger.begin()
        entry = ledger.enter(given_(owner, **numbers), now)
        if arrives and entry.receipt is not None:
            entry.receipt.keep()
            for key, (value, start, end) in points(entry).items():
                assert ends.get(key, start) == start
                ends[key] = end
                sums[key] = sums.get(key, 0) + value
    assert sums == numbers
