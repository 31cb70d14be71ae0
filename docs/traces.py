"""Draws the traces of docs/tracing.md from real runs: scripts/docs --images.

What happens, and that it looks as the page says, is what the tests have: ``tests/e2e/scenes.py``.
Each picture is drawn twice, as there are light and dark pages. No two runs take the same time.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec


HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from e2e import scenes  # noqa: E402 - found only now
from e2e.lab.scenario import NEW  # noqa: E402
from outline import written  # noqa: E402


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from e2e.stage import Stage
    from otlp_data import Attributes, Span


class Palette(msgspec.Struct, frozen=True):
    """Colours; text has a contrast of 4.5 or more on the paper."""

    paper: str
    text: str
    muted: str
    grid: str
    bar: str
    error: str
    mark: str


LIGHT: Final = Palette("#ffffff", "#1f2328", "#59636e", "#d8dee4", "#7aa7e8", "#cf222e", "#1f2328")
DARK: Final = Palette("#0d1117", "#e6edf3", "#9198a1", "#2b323b", "#4178c4", "#ff7b72", "#e6edf3")

WIDTH: Final = 800
LEFT, RIGHT = 270, 690
"""Where the time begins and ends."""

ROW, INDENT, MARGIN, GAP = 22, 14, 12, 8
FONT: Final = "12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
TOLD: Final = ("device", "action", "status", "pass", "reason", "guest")
"""Attributes of events that are shown, if they are short; the page has them all."""

SHORT: Final = 22
TICKS: Final = 5
UNITS: Final = ((2e6, "µs", 1e3, 0), (2e9, "ms", 1e6, 3), (float("inf"), "s", 1e9, 3))
"""Up to which length of all, in nanoseconds, what is in what unit, and with how many decimals."""


class Picture:
    """A waterfall.

    Args:
        spans: of all traces to show.
        palette: its colours.
    """

    def __init__(self, spans: list[Span], palette: Palette) -> None:
        self._spans, self._palette = spans, palette
        self._begin = min(span.start for span in spans)
        self._length = max(span.end for span in spans) - self._begin
        unit = next(unit for unit in UNITS if self._length < unit[0])
        _, self._unit, self._scale, self._decimals = unit
        self._y = float(MARGIN + ROW + GAP)
        self._parts: list[str] = []
        self._marks: dict[tuple[str, str], tuple[float, float]] = {}

    def svg(self, title: str) -> str:
        """Return the drawing."""
        roots = sorted((s for s in self._spans if not s.parent_id), key=lambda span: span.start)
        for vm in dict.fromkeys(span.resource["qemu.vm"] for span in self._spans):
            for root in (root for root in roots if root.resource["qemu.vm"] == vm):
                self._text(MARGIN, f"trace {root.trace_id[:8]}…  qemu.vm={vm}", "muted")
                self._y += ROW
                self._span(root, 0)
                self._y += GAP
        height = self._y + MARGIN - ROW / 2
        size, shape = f"{WIDTH} {height:g}", f'width="{WIDTH}" height="{height:g}"'
        p = self._palette
        style = (
            f"text {{ font: {FONT}; fill: {p.text}; dominant-baseline: central; }}"
            f".muted {{ fill: {p.muted}; }} .error {{ fill: {p.error}; font-weight: bold; }}"
            f".name {{ font-weight: bold; }} .end {{ text-anchor: end; }}"
            f"circle {{ fill: {p.mark}; }} .bar {{ fill: {p.bar}; }} .failed {{ fill: {p.error}; }}"
            f".grid {{ stroke: {p.grid}; }}"
            f".link {{ fill: none; stroke: {p.muted}; stroke-dasharray: 4 3; }}"
            f".head {{ fill: {p.muted}; }}"
        )
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" {shape} role="img">',
                f"<title>{escape(title)}</title>",
                f"<style>{style}</style>",
                f'<rect {shape} rx="6" fill="{p.paper}"/>',
                *self._axis(height),
                *self._parts,
                "</svg>\n",
            )
        )

    def _axis(self, height: float) -> list[str]:
        step = _step(self._length / self._scale / TICKS)
        parts = []
        for number in range(TICKS * 2 + 1):
            value = step * number
            if value * self._scale > self._length:
                break
            x = self._x(self._begin + value * self._scale)
            parts.append(f'<path class="grid" d="M{x:.1f} {MARGIN + 14}V{height - 8:g}"/>')
            parts.append(
                f'<text class="muted" x="{x:.1f}" y="{MARGIN + 4}"'
                f' text-anchor="middle">{value:g} {self._unit}</text>'
            )
        return parts

    def _span(self, span: Span, depth: int) -> None:
        failed = span.status == "error"
        x, end = self._x(span.start), self._x(span.end)
        self._text(MARGIN + depth * INDENT, span.name, "name")
        wide = max(end - x, 3)
        kind = "bar failed" if failed else "bar"
        self._parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{self._y - 7:g}" width="{wide:.1f}"'
            f' height="14" rx="2"/>'
        )
        self._text(WIDTH - MARGIN, self._time(span.end - span.start), "name end")
        for link in span.links:
            self._link(self._marks[link.trace_id, link.span_id], x)
        self._y += ROW
        for key, value in sorted(span.attributes.items()):
            kind = "error" if key == "error.type" else "muted"
            self._text(MARGIN + (depth + 1) * INDENT, f"{key}={value}", kind)
            self._y += ROW
        for event in span.events:
            at = self._x(event.time)
            self._text(MARGIN + (depth + 1) * INDENT, event.name)
            self._parts.append(f'<circle cx="{at:.1f}" cy="{self._y:g}" r="4"/>')
            self._marks[span.trace_id, span.span_id] = at, self._y
            self._beside(at, _told(event.attributes))
            self._text(WIDTH - MARGIN, f"+{self._time(event.time - self._begin)}", "muted end")
            self._y += ROW
        inside = (s for s in self._spans if s.parent_id == span.span_id)
        for child in sorted(inside, key=lambda s: s.start):
            self._span(child, depth + 1)

    def _link(self, mark: tuple[float, float], x: float) -> None:
        x0, y0 = mark
        y = self._y
        self._parts.append(
            f'<path class="link" d="M{x0 - 6:.1f} {y0:g}C{x0 - 34:.1f} {y0:g} {x - 34:.1f} {y:g}'
            f' {x - 8:.1f} {y:g}"/><path class="head" d="M{x - 2:.1f} {y:g}l-8 -4v8z"/>'
        )

    def _text(self, x: float, text: str, kind: str = "") -> None:
        self._parts.append(
            f'<text class="{kind}" x="{x:.1f}" y="{self._y:g}">{escape(text)}</text>'
        )

    def _beside(self, x: float, text: str) -> None:
        """Write on the side of a mark where there is more room."""
        if RIGHT - x >= x - LEFT:
            self._text(x + 10, text, "muted")
        else:
            self._text(x - 10, text, "muted end")

    def _x(self, time: float) -> float:
        return LEFT + (RIGHT - LEFT) * (time - self._begin) / self._length

    def _time(self, nanoseconds: int) -> str:
        return f"{nanoseconds / self._scale:.{self._decimals}f} {self._unit}"


def _told(attributes: Attributes) -> str:
    told = [f"{key}={attributes[f'qemu.{key}']}" for key in TOLD if f"qemu.{key}" in attributes]
    cause = attributes.get("qemu.cause")
    shown = [text for text in told if len(text) <= SHORT]
    return ", ".join([f"caused by {cause}"] if cause else shown)


def _step(least: float) -> float:
    """Return the first of 1, 2, 5, 10 and so on that is not below."""
    power = 10.0**-9
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


Drawn = tuple[str, str, "Callable[[Path], Awaitable[Stage]]", tuple[str, ...]]

PICTURES: Final[tuple[Drawn, ...]] = (
    ("trace-io-error", "An I/O-error stop", partial(scenes.io_error, seconds=0.4), ("vm",)),
    ("trace-migration", "A migration", partial(scenes.migration, speed=400_000), ("vm", NEW)),
    ("trace-watchdog", "A watchdog reset", scenes.watchdog_reset, ("vm",)),
)
"""File, section of the page, what happens, and whose traces are shown."""


def main() -> int:
    """Draw all of them."""
    for name, heading, scene, vms in PICTURES:
        with tempfile.TemporaryDirectory() as directory:
            found = asyncio.run(scene(Path(directory)))  # type: ignore[arg-type]
        for vm, expected in zip(vms, written(HERE / "tracing.md", heading), strict=True):
            found.expect(expected, vm)
        spans = [span for vm in vms for span in found.story(vm)]
        for palette, file in ((LIGHT, f"{name}.svg"), (DARK, f"{name}-dark.svg")):
            (HERE / "images" / file).write_text(Picture(spans, palette).svg(heading))
            print(f"wrote docs/images/{file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
