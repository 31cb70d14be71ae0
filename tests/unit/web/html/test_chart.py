"""The timeline as a chart."""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec
import pytest

from qmp_exporter.catalog.spec import Severity
from qmp_exporter.journal import Entry
from qmp_exporter.web.html.chart import LANES, chart
from unit.web.samples import CALM, NOW, Outline


def entry(event: str, ago: float, severity: Severity = Severity.INFO) -> Entry:
    """Something that happened so many seconds before the page was made."""
    return Entry(1, "web", event, NOW - ago, severity=severity)


def drawn(*entries: Entry) -> Outline:
    """The chart of entries, the newest first."""
    return Outline(chart(entries, CALM))


def places(outline: Outline) -> list[float]:
    """Where the marks are, in percent of the width; those of the legend left out."""
    found = [str(x) for x in outline.attributes("use", "x")]
    return [float(x.removesuffix("%")) for x in found if x.endswith("%")]


def test_time_runs_to_the_right() -> None:
    """The newest is at the right end, the oldest at the left, nothing outside."""
    shown = places(drawn(*(entry("STOP", ago) for ago in (0, 1, 60, 3600, 86400))))
    assert shown == sorted(shown, reverse=True)
    assert (shown[-1], shown[0]) == (1.5, 98.5)
    assert len(set(shown)) == 5


def test_a_burst_and_the_day_before_both_have_room() -> None:
    """Seconds before the newest event are as wide as hours long before it."""
    newest, second, minute, _ = places(drawn(*(entry("STOP", ago) for ago in (0, 1, 60, 86400))))
    assert newest - second > 10
    assert second - minute > 10


@pytest.mark.parametrize("count", [1, 3])
def test_events_of_one_moment_are_a_chart_too(count: int) -> None:
    """However short the time is that it spans."""
    assert places(drawn(*[entry("STOP", 5)] * count)) == [98.5] * count


def test_each_kind_has_a_lane() -> None:
    """Those that happened last, where there are more kinds than lanes."""
    outline = drawn(*(entry(f"KIND_{number}", number) for number in range(LANES + 3)))
    assert len(places(outline)) == LANES
    assert "KIND_0" in outline.text
    assert f"KIND_{LANES}" not in outline.text


def test_a_mark_has_a_form_for_its_severity() -> None:
    """So that nobody has to tell colours apart."""
    kinds = (Severity.FATAL, Severity.ERROR, Severity.WARN, Severity.INFO)
    outline = drawn(*(entry("STOP", 0, severity) for severity in kinds))
    assert outline.attributes("use", "href")[:4] == ["#bad", "#bad", "#warn", "#idle"]


@pytest.mark.parametrize(
    ("happened", "shades"),
    [
        (("RESUME",), 0),
        (("STOP",), 1),
        (("STOP", "RTC_CHANGE", "RESUME"), 1),
        (("STOP", "gone", "connected", "STOP"), 2),
        (("RESUME", "STOP", "STOP", "RESUME"), 1),
    ],
)
def test_the_time_stopped_is_shaded(happened: tuple[str, ...], shades: int) -> None:
    """From a STOP to what ended it, or to the end."""
    entries = [entry(name, 10 - at) for at, name in enumerate(happened)]
    paused = msgspec.structs.replace(CALM, status="paused")
    outline = Outline(chart(tuple(reversed(entries)), paused))
    boxes = [a for tag, a in outline.tags if tag == "rect" and dict(a)["class"] == "stopped"]
    assert len(boxes) == shades
    for box in boxes:
        x, width = (float(str(dict(box)[name]).removesuffix("%")) for name in ("x", "width"))
        assert 0 < width <= 97
        assert x + width < 99


def test_a_machine_that_runs_is_not_shown_as_stopped() -> None:
    """Nobody saw what ended its stop: the monitor was lost meanwhile."""
    outline = drawn(entry("connected", 1), entry("connecting", 5), entry("STOP", 9))
    assert "rect" not in [tag for tag, _ in outline.tags]


def test_a_long_name_does_not_leave_the_chart() -> None:
    """It is told in full by its marks."""
    text = drawn(entry("<" * 64, 1), entry("BALLOON_CHANGE", 1)).text
    assert f"\n{'<' * 35}\N{HORIZONTAL ELLIPSIS}" in text
    assert f" {'<' * 64}" in text
    assert "BALLOON_CHANGE" in text


def test_labels_of_the_scale_do_not_meet() -> None:
    """However long the time is."""
    for age in (0.5, 3, 59, 700, 90000, 1e9):
        text = chart((entry("STOP", 0), entry("STOP", age)), CALM)
        at = sorted(float(x) for x in re.findall(r'class="scale[^"]*" x="([\d.]+)%"', text))
        assert all(right - left >= 11.9 for left, right in pairwise(at))


def test_the_chart_says_what_it_is() -> None:
    """To those who do not see it."""
    (label,) = drawn(entry("STOP", 0), entry("STOP", 90)).attributes("svg", "aria-label")
    assert label == (
        "Chart of the last 2 events of web-1, over 1 min 30 s; the table below has them all."
    )
