"""Rows of the exposition format."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from builders import MANY
from qmp_exporter.sinks.series import MOST_SHARED, Series, Table, number, shared


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
    table = Table("m", ("a", "b")[: len(values)])
    table.row(values)
    assert table.renewed() == (f"{text}0\n".encode(), b"")
    series = Series(values[0] if values else "", [])
    of_vm = Table("m", ("vm", "b")[: len(values)])
    if values:
        of_vm.row(values[1:])
        line = f"{text}0\n".replace("{a=", "{vm=")
        assert of_vm.renewed(series.start) == (line.encode(), b"")
        assert series.lines("m", ("b",)[: len(values) - 1], [(values[1:], 0)]) == line


@MANY
@given(st.tuples(HOSTILE, HOSTILE))
def test_label_values_come_back_as_they_were(values: tuple[str, str]) -> None:
    """Both parsers read what was written, whatever it is."""
    line = Series(values[0], []).lines("m", ("b",), [(values[1:], 1)])
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
        (math.inf, "+Inf"),
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
    start = Series("web", []).start
    row = table.row(("STOP",))
    assert table.row(("STOP",)) is row
    assert table.renewed(start) == (b'm_total{vm="web",event="STOP"} 0\n', b"")
    assert table.renewed() is None
    row.value += 1
    table.stale = True
    assert table.renewed(start) == (b'm_total{vm="web",event="STOP"} 1\n', b"")


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


def test_labels_are_shared_and_bounded() -> None:
    """All VMs have one text of a label; ids that change all the time cost no more than a limit."""
    series, other = Series("web", []), Series("db", [])
    for n in range(MOST_SHARED + 10):
        assert series.lines("m", ("port",), [((str(n),), n)]) == f'm{{vm="web",port="{n}"}} {n}\n'
    assert shared.cache_info().currsize <= MOST_SHARED
    assert other.lines("m", ("port",), [(("1",), 0.5)]) == 'm{vm="db",port="1"} 0.5\n'
    rows = [Table("m_total", ("vm", "event")).row(("STOP",)) for _ in range(2)]
    assert rows[0].labels is rows[1].labels


def test_a_table_of_all_vms_names_none() -> None:
    """Its rows have the other labels only, or no braces where there are none."""
    fleet, bare = Table("m_total", ("event",)), Table("n_total", ())
    fleet.row(("STOP",)).value = 2
    bare.row(())
    assert fleet.renewed() == (b'm_total{event="STOP"} 2\n', b"")
    assert bare.renewed() == (b"n_total 0\n", b"")
