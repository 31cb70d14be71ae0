"""Draws what the panels of a dashboard show, from their JSON and from what Prometheus answered.

It is not Grafana, which looks better; it takes title, place, unit, words and colours of a panel
from the dashboard's JSON, and all numbers from the answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from e2e.browser import chromium


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


COLUMN: Final = 64
"""Pixels of one of the 24 columns."""

ROW: Final = 34
"""Pixels of one row."""

GAP: Final = 8
LEGEND: Final = 7
"""Series that are named under a graph."""

COLORS: Final = {
    "green": "#56a64b",
    "yellow": "#e0b400",
    "orange": "#f2770c",
    "red": "#d22f3c",
    "purple": "#8f5bc4",
    "blue": "#2f6fd0",
}
PALETTE: Final = (*COLORS.values(), "#3ca6a6", "#a05a2c", "#c15c9e", "#6b7280")
STYLE: Final = """
:root { --back: #f4f5f7; --panel: #fff; --text: #1f2430; --soft: #6b7280; --line: #dfe2e8; }
:root.dark { --back: #111217; --panel: #181b1f; --text: #d9dbe0; --soft: #8e939e; --line: #2c3038; }
body { margin: 0; background: var(--back); color: var(--text); font: 13px system-ui, sans-serif; }
header { padding: 14px 16px 6px; } header b { font-size: 18px; } header span { color: var(--soft); }
main { position: relative; margin: 8px; }
section { position: absolute; box-sizing: border-box; background: var(--panel); overflow: hidden;
  border: 1px solid var(--line); border-radius: 4px; }
h2 { margin: 6px 8px 2px; font-size: 12px; font-weight: 600; }
h3 { position: absolute; margin: 8px; font-size: 15px; }
p { margin: 0; padding: 2px 8px; } .soft { color: var(--soft); }
.number { color: #fff; border: 0; } .number p { font-size: 30px; text-align: center; padding: 8px; }
.key { display: inline-block; width: 10px; height: 10px; margin: 0 4px 0 10px; border-radius: 2px; }
table { border-collapse: collapse; width: 100%; } td, th { padding: 3px 8px; text-align: left;
  border-bottom: 1px solid var(--line); font-weight: 400; } th { color: var(--soft); }
text { fill: var(--soft); font-size: 11px; } .grid { stroke: var(--line); }
"""

Series: TypeAlias = "list[tuple[float, float]]"


@dataclass(frozen=True)
class Drawn:
    """A panel, and what it was told.

    Attributes:
        panel: of the dashboard's JSON.
        answers: of Prometheus, one for each query.
        span: Unix seconds, from and to.
        size: pixels, width and height.
    """

    panel: dict[str, Any]
    answers: list[Any]
    span: tuple[float, float]
    size: tuple[int, int]

    @property
    def defaults(self) -> dict[str, Any]:
        """What its values look like."""
        found: dict[str, Any] = self.panel["fieldConfig"]["defaults"]
        return found

    def series(self) -> Iterator[tuple[str, Series]]:
        """Yield what each series is called, and its values."""
        for target, answer in zip(self.panel["targets"], self.answers, strict=True):
            for one in answer["result"] if answer else ():
                values = one["values"] if "values" in one else [one["value"]]
                labels, legend = one["metric"], target.get("legendFormat", "")
                name = re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)  # noqa: B023
                points = [(float(at), float(value)) for at, value in values]
                yield name, [(at, value) for at, value in points if value == value]  # noqa: PLR0124

    def shown(self, value: float) -> str:
        """Return a value with its unit."""
        return with_unit(value, self.defaults.get("unit", "short"))


def with_unit(value: float, unit: str) -> str:
    """Return a value as people read it; ``unit`` is Grafana's."""
    if unit == "bytes":
        power = next((p for p in (3, 2, 1) if abs(value) >= 1024**p), 0)
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    if unit == "s":
        if abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        sizes = ((31557600, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
        size, name = next(one for one in sizes if abs(value) >= one[0])
        return f"{value / size:.3g} {name}"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value / 1000:.3g} K"


def stat(drawn: Drawn) -> str:
    """Draw a tile with a number."""
    values = [points[-1][1] for _, points in drawn.series() if points]
    number = sum(values)
    steps = drawn.defaults["thresholds"]["steps"]
    color = [step["color"] for step in steps if (step["value"] or float("-inf")) <= number][-1]
    text = drawn.shown(number) if values else drawn.defaults["noValue"]
    return f'<p style="background:{COLORS[color]}">{escape(text)}</p>'


def timeseries(drawn: Drawn) -> str:
    """Draw a graph: lines, steps or stacked bars."""
    custom = drawn.defaults["custom"]
    found = [(name, points) for name, points in drawn.series() if points]
    if not found:
        return f'<p class="soft">{drawn.defaults["noValue"]}</p>'
    bars = custom.get("drawStyle") == "bars"
    if bars:
        found = [one for one in found if any(value for _, value in one[1])] or found[:1]
    width, height = drawn.size[0], drawn.size[1] - 62
    left, bottom = 58, height - 18
    tops = _stacked(found) if "stacking" in custom else {}
    largest = max(tops.values()) if tops else max(v for _, points in found for _, v in points)
    most, begin, end = (largest or 1.0) * 1.05, *drawn.span

    def x(at: float) -> float:
        return left + (at - begin) / (end - begin) * (width - left - 10)

    def y(value: float) -> float:
        return bottom - value / most * (bottom - 6)

    parts = [_axes(drawn, most, left, y)]
    base: dict[float, float] = {}
    for (_, points), color in zip(found, _palette(), strict=False):
        if bars:
            for at, value in points:
                if value:
                    low = base.get(at, 0.0)
                    base[at] = low + value
                    box = f'x="{x(at):.1f}" y="{y(low + value):.1f}" width="4"'
                    tall = y(low) - y(low + value)
                    parts.append(f'<rect {box} height="{tall:.1f}" fill="{color}"/>')
            continue
        line = " ".join(f"{x(at):.1f},{y(base.get(at, 0.0) + value):.1f}" for at, value in points)
        if tops:
            base |= {at: base.get(at, 0.0) + value for at, value in points}
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    svg = f'<svg width="{width}" height="{height}">{"".join(parts)}</svg>'
    return svg + _legend((name for name, _ in found), _palette())


def state_timeline(drawn: Drawn) -> str:
    """Draw a time line of states."""
    states = drawn.defaults["mappings"][0]["options"]
    found = [one for one in drawn.series() if one[1]][: (drawn.size[1] - 60) // 16]
    width, tall = drawn.size[0], max(14, min(34, (drawn.size[1] - 60) // max(len(found), 1)))
    begin, end = drawn.span
    left, seen, parts = 110, {}, []
    for row, (name, points) in enumerate(found):
        top = 4 + row * tall
        parts.append(f'<text x="8" y="{top + tall / 2 + 3}">{escape(name)}</text>')
        for value, run in groupby(points, key=lambda point: point[1]):
            times = [at for at, _ in run]
            state = states[f"{value:.0f}"]
            color = COLORS.get(state["color"], state["color"])
            seen[state["text"]] = color
            scale = (width - left - 10) / (end - begin)
            at, wide = left + (times[0] - begin) * scale, (times[-1] - times[0] + 1) * scale
            size = f'x="{at:.1f}" y="{top}" width="{wide:.1f}" height="{tall - 3}"'
            parts.append(f'<rect {size} fill="{color}"/>')
    svg = f'<svg width="{width}" height="{drawn.size[1] - 56}">{"".join(parts)}</svg>'
    return svg + _legend(seen, seen.values())


def bargauge(drawn: Drawn) -> str:
    """Draw bars of those that have the most."""
    found = sorted(((points[-1][1], name) for name, points in drawn.series()), reverse=True)
    if not found:
        return f'<p class="soft">{drawn.defaults["noValue"]}</p>'
    most, parts = found[0][0], []
    for place, (value, name) in enumerate(found[: (drawn.size[1] - 30) // 24]):
        top, wide = place * 24, value / most * (drawn.size[0] - 190)
        parts.append(f'<text x="8" y="{top + 15}">{escape(name)}</text>')
        color = COLORS["orange"]
        parts.append(f'<rect x="120" y="{top + 3}" width="{wide:.0f}" height="16" fill="{color}"/>')
        parts.append(f'<text x="{wide + 126:.0f}" y="{top + 15}">{drawn.shown(value)}</text>')
    return f'<svg width="{drawn.size[0]}" height="{drawn.size[1] - 30}">{"".join(parts)}</svg>'


def table(drawn: Drawn) -> str:
    """Draw a table."""
    options = drawn.panel["transformations"][1]["options"]
    order, called = options["indexByName"], options["renameByName"]
    names = {label: called[label] for label in sorted(order, key=order.__getitem__)}
    rows = drawn.answers[0]["result"]
    if not rows:
        return f'<p class="soft">{drawn.defaults["noValue"]}</p>'
    head = "".join(f"<th>{escape(name)}</th>" for name in names.values())
    body = ""
    for row in rows[: (drawn.size[1] - 50) // 24]:
        cells = {**row["metric"], "Value": drawn.shown(float(row["value"][1]))}
        found = "".join(f"<td>{escape(cells.get(label, ''))}</td>" for label in names)
        body += f"<tr>{found}</tr>"
    return f"<table><tr>{head}</tr>{body}</table>"


KINDS: Final = {
    "stat": stat,
    "timeseries": timeseries,
    "state-timeline": state_timeline,
    "bargauge": bargauge,
    "table": table,
}


def page(board: dict[str, Any], answers: dict[str, list[Any]], span: tuple[float, float]) -> str:
    """Return a dashboard as a page.

    Args:
        board: its JSON.
        answers: of Prometheus to the queries of each panel, by the panel's id.
        span: Unix seconds, from and to.
    """
    parts, height = [], 0
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] * COLUMN, place["y"] * ROW
        size = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        height = max(height, top + size[1])
        at = f"left:{left}px;top:{top}px;width:{size[0]}px;height:{size[1]}px"
        if panel["type"] == "row":
            parts.append(f'<h3 style="{at}">{escape(panel["title"])}</h3>')
            continue
        inner = KINDS[panel["type"]](Drawn(panel, answers[str(panel["id"])], span, size))
        kind = ' class="number"' if panel["type"] == "stat" else ""
        title = f"<h2>{escape(panel['title'])}</h2>"
        if kind:
            found = re.search(r"background:(#\w+)", inner)
            at += f";background:{found[1] if found else ''}"
        parts.append(f'<section{kind} style="{at}">{title}{inner}</section>')
    about = f"{escape(board['description'])} Drawn from the panels' data in a run; not Grafana."
    return (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>"
        f"<header><b>{escape(board['title'])}</b> <span>{about}</span></header>"
        f'<main style="height:{height}px">{"".join(parts)}</main>'
    )


async def picture(pages: dict[str, str], folder: Path, most: int = 1400) -> None:
    """Write pictures of pages, light and dark, at most so many pixels high."""
    async with chromium() as browser:
        for name, content in pages.items():
            for mode, suffix in (("", ""), ("dark", "-dark")):
                view = await browser.new_page(viewport={"width": 24 * COLUMN + 16, "height": 900})
                await view.set_content(content)
                await view.evaluate("mode => document.documentElement.className = mode", mode)
                tall = await view.evaluate("document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": 24 * COLUMN + 16, "height": min(tall, most)}
                path = folder / f"dashboard-{name}{suffix}.png"
                await view.screenshot(path=path, clip=clip, full_page=True)
                await view.close()


def _axes(drawn: Drawn, most: float, left: int, y: Any) -> str:
    parts = []
    for part in (0.0, 0.5, 0.95):
        at, text = y(most * part), escape(drawn.shown(most * part))
        line = f'x1="{left}" x2="{drawn.size[0] - 10}" y1="{at:.1f}" y2="{at:.1f}"'
        parts.append(f'<line {line} class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    return "".join(parts)


def _stacked(found: list[tuple[str, Series]]) -> dict[float, float]:
    sums: dict[float, float] = {}
    for _, points in found:
        for at, value in points:
            sums[at] = sums.get(at, 0.0) + value
    return sums


def _palette() -> Iterator[str]:
    while True:
        yield from PALETTE


def _legend(names: Iterable[str], colors: Iterable[str]) -> str:
    pairs = list(zip(names, colors, strict=False))
    keys = "".join(
        f'<span class="key" style="background:{color}"></span>{escape(name)}'
        for name, color in pairs[:LEGEND]
    )
    more = f" and {len(pairs) - LEGEND} more" if len(pairs) > LEGEND else ""
    return f'<p class="soft">{keys}{more}</p>'
