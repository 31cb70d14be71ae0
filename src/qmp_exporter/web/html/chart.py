"""The timeline of a machine as a small chart.

Each kind of event has a lane, time runs to the right. The scale is logarithmic towards the newest
event, so that a burst of seconds and what happened a day before both have room.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from .events import mark, told
from .words import duration, time_of_day


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qmp_exporter.journal import Entry
    from qmp_exporter.web.overview import Row


LANES = 8
"""Kinds of events that have a lane: those that happened last."""

_NAMED = 36
"""Characters shown of the name of a lane; the longest of QEMU's has 30."""

_LANE = 34
"""Height of a lane, in pixels."""

_LEFT, _RIGHT = 1.5, 98.5
"""Where the lanes begin and end, in percent of the width."""

_TICKS = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (86400, "1 d"))
_NEAR = 12.0
"""Percent of the width that two labels of the scale are apart."""

_NARROW, _FIRST = 24.0, 38.0
"""The same where the chart is narrow, and from the first label, which is longer."""

_MARKS = """<symbol id="idle" overflow="visible"><circle r="4.5"/></symbol>
<symbol id="warn" overflow="visible"><path d="M0-6 6 5H-6z"/></symbol>
<symbol id="bad" overflow="visible"><path d="M0-7 7 0 0 7-7 0z"/></symbol>"""


class _Scale:
    """From Unix seconds to percent of the width.

    Args:
        first: what is at the left.
        last: what is at the right.
    """

    def __init__(self, first: float, last: float) -> None:
        self.last = last
        self.span = max(last - first, 1.0)

    def at(self, time: float) -> float:
        """Where a moment is; one earlier than the first is at the left."""
        age = min(max(self.last - time, 0.0), self.span)
        share = math.log1p(age * 10) / math.log1p(self.span * 10)
        return _RIGHT - share * (_RIGHT - _LEFT)


def chart(entries: Sequence[Entry], row: Row) -> str:
    """The chart of entries, the newest of which is the first.

    Args:
        entries: at least one.
        row: of the machine.
    """
    times = [entry.time for entry in entries]
    scale = _Scale(min(times), max(times))
    lanes = list(dict.fromkeys(entry.event for entry in entries))[:LANES]
    height = len(lanes) * _LANE
    words = (
        f"Chart of the last {len(entries)} events of {row.vm}, over"
        f" {duration(max(times) - min(times))}; the table below has them all."
    )
    return f"""<svg class="chart" role="img" aria-label="{escape(words)}" height="{height + 30}">
{_MARKS}
{"".join(_stops(entries, row, scale, height))}
{"".join(_ticks(scale, height))}
{"".join(_lane(name, at, entries, scale) for at, name in enumerate(lanes))}
</svg>
<p class="legend" aria-hidden="true">Time runs to the right, the wider the closer to the last
event.{_LEGEND}</p>"""


_LEGEND = "".join(
    f' <span class="{css}"><svg width="16" height="14"><use href="#{css}" x="8" y="7"/></svg>'
    f"{words}</span>"
    for css, words in (("bad", "failure"), ("warn", "warning"), ("idle", "other"))
)


def _lane(name: str, at: int, entries: Iterable[Entry], scale: _Scale) -> str:
    top = at * _LANE
    shown = name if len(name) <= _NAMED else f"{name[: _NAMED - 1]}\N{HORIZONTAL ELLIPSIS}"
    marks = "".join(
        f'<use href="#{mark(entry.severity)}" class="{mark(entry.severity)}"'
        f' x="{scale.at(entry.time):.2f}%" y="{top + 25}">'
        f"<title>{escape(_title(entry))}</title></use>"
        for entry in entries
        if entry.event == name
    )
    return (
        f'<text x="{_LEFT}%" y="{top + 14}">{escape(shown)}</text>'
        f'<line class="lane" x1="{_LEFT}%" x2="{_RIGHT}%" y1="{top + 25}" y2="{top + 25}"/>{marks}'
    )


def _title(entry: Entry) -> str:
    details = told(entry.count, entry.details)
    return f"{time_of_day(entry.time)} {entry.event} {details}".strip()


def _stops(entries: Sequence[Entry], row: Row, scale: _Scale, height: int) -> Iterable[str]:
    """Shade the time between a STOP and what ended it, unless nobody saw that."""
    since: float | None = None
    for entry in reversed(entries):
        if entry.event == "STOP" and since is None:
            since = entry.time
        elif since is not None and entry.event in {"RESUME", "gone", "refused"}:
            yield _shade(scale.at(since), scale.at(entry.time), height)
            since = None
    if since is not None and row.status != "running":
        yield _shade(scale.at(since), _RIGHT, height)


def _shade(start: float, end: float, height: int) -> str:
    width = max(end - start, 0.2)
    return (
        f'<rect class="stopped" x="{start:.2f}%" width="{width:.2f}%" height="{height}">'
        "<title>stopped</title></rect>"
    )


def _ticks(scale: _Scale, height: int) -> Iterable[str]:
    """Lines at ages that people know, as far apart as their labels are wide."""
    taken = narrow = _RIGHT
    yield _tick(_RIGHT, time_of_day(scale.last), height, "end")
    for age, words in _TICKS:
        at = scale.at(scale.last - age)
        if age < scale.span and taken - at >= _NEAR and at - _LEFT >= _NEAR:
            taken = at
            wide = narrow - at < _NARROW or at - _LEFT < _FIRST
            narrow = narrow if wide else at
            yield _tick(at, f"\N{MINUS SIGN}{words}", height, "middle", " wide" if wide else "")
    if taken - _LEFT >= _NEAR:
        yield _tick(_LEFT, f"\N{MINUS SIGN}{duration(scale.span)}", height, "start")


def _tick(at: float, words: str, height: int, anchor: str, css: str = "") -> str:
    return (
        f'<line class="tick" x1="{at:.2f}%" x2="{at:.2f}%" y1="0" y2="{height + 4}"/>'
        f'<text class="scale{css}" x="{at:.2f}%" y="{height + 19}"'
        f' text-anchor="{anchor}">{words}</text>'
    )
