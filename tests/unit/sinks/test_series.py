"""Rows of the exposition format."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from builders import MANY
from qmp_exporter.sinks.series import MAX_HEADS, Series, Table, head, number


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HOSTILE = ANY | st.sampled_from(['"', "\\", "\n", '\\"', '"} 1\nx{a="', "\\n", "#", " ", "{", "="])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "m "),
        (("web",), 'm{a="web"} '),
        (("web", 'q"'), r'm{a="web",b="q\""} '),
        (("\\n", "\n"), r'm{a="\\n",b="\n"} '),
    ],
)
def test_the_head_of_a_sample(values: tuple[str, ...], text: str) -> None:
    """Name and labels, with backslash, quote and line feed escaped."""
    assert head("m", ("a", "b")[: len(values)], values) == text


@MANY
@given(st.tuples(HOSTILE, HOSTILE))
def test_label_values_come_back_as_they_were(values: tuple[str, str]) -> None:
    """Both parsers read what was written, whatever it is."""
    line = f"{head('m', ('a', 'b'), values)}1\n"
    (in_text,) = text_format(line)
    (in_openmetrics,) = openmetrics(f"# TYPE m gauge\n{line}# EOF\n")  # type: ignore[no-untyped-call]
    for family in (in_text, in_openmetrics):
        (sample,) = family.samples
        assert tuple(sample.labels.values()) == values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.25, "0.25"),
        (-3600, "-3600"),
        (2**63, "9223372036854775808"),
        (1e22, "10000000000000000000000"),
        (1_700_000_000.123, "1700000000.123"),
        (math.inf, "inf"),
    ],
)
def test_a_number_is_short(value: float, text: str) -> None:
    """Whole ones have no fraction; all of them mean what they meant."""
    assert number(value) == text
    assert float(text) == value


def test_a_table_is_made_again_only_when_it_changed() -> None:
    """A counter that stands still costs nothing."""
    table = Table("m_total", ("vm", "event"))
    assert table.renewed() == (b"", b"")
    assert table.renewed() is None
    row = table.row(("STOP",), ("web", "STOP"))
    assert table.row(("STOP",), ("web", "STOP")) is row
    assert table.renewed() == (b'm_total{vm="web",event="STOP"} 0\n', b"")
    assert table.renewed() is None
    row.value += 1
    table.stale = True
    assert table.renewed() == (b'm_total{vm="web",event="STOP"} 1\n', b"")


def test_seconds_never_fall() -> None:
    """A period may end a little before the last page was rendered."""
    series = Series("web", [])
    assert series.risen("m", [(("host",), 5.0), (("other",), 0.0)]) == [
        (("host",), 5.0),
        (("other",), 0.0),
    ]
    assert series.risen("m", [(("host",), 4.5)]) == [(("host",), 5.0)]
    assert series.risen("m", [(("host",), 5.5)]) == [(("host",), 5.5)]
    assert series.risen("n", [(("host",), 1.0)]) == [(("host",), 1.0)]


def test_heads_are_kept_and_bounded() -> None:
    """Ids that change all the time cost no more memory than a limit."""
    series = Series("web", [])
    for n in range(MAX_HEADS + 10):
        assert series.lines("m", ("port",), [((str(n),), n)]) == f'm{{vm="web",port="{n}"}} {n}\n'
    assert len(series.heads) <= MAX_HEADS
    assert series.lines("m", ("port",), [(("1",), 0.5)]) == 'm{vm="web",port="1"} 0.5\n'
