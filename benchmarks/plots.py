"""The pictures of docs/performance.md: ``python -m benchmarks.plots REPORT.json...``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure


if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes


IMAGES: Final = Path(__file__).parents[1] / "docs/images"
OURS: Final = "qmp-exporter"
OURS_COLOUR: Final = "#1f6feb"
OTHERS_COLOUR: Final = "#9aa4b2"
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "qmp-exporter",  # the same picture from the same numbers
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class Measured:
    """What reports say.

    Args:
        reports: as the benchmarks wrote them; the values of all that measured a row are its own.
    """

    def __init__(self, *reports: dict[str, Any]) -> None:
        self._tables: dict[str, dict[str, list[float]]] = {}
        results = [result for report in reports for result in report["results"]]
        for table in (table for result in results for table in result["tables"]):
            rows = self._tables.setdefault(table["title"], {})
            for row in table["rows"]:
                rows.setdefault(row["what"], []).extend(row["values"])

    def rows(self, title: str) -> dict[str, list[float]]:
        """Return the values of each row of the table whose title matches."""
        (rows,) = (rows for found, rows in self._tables.items() if re.fullmatch(title, found))
        return rows

    def fleets(self) -> Iterator[tuple[int, dict[str, list[float]]]]:
        """Yield the numbers of machines of which the page was measured, with the rows of each."""
        for title, rows in self._tables.items():
            if found := re.fullmatch(r"/metrics of ([\d,]+) VMs?", title):
                yield int(found[1].replace(",", "")), rows


def bars(axes: Axes, rows: dict[str, list[float]], unit: str) -> None:
    """Draw medians as bars, with the least and the greatest as a line."""
    names = list(rows)[::-1]
    middles = [median(rows[name]) for name in names]
    spans = [[m - min(rows[n]) for n, m in zip(names, middles, strict=True)]]
    spans += [[max(rows[n]) - m for n, m in zip(names, middles, strict=True)]]
    colours = [OURS_COLOUR if name.startswith(OURS) else OTHERS_COLOUR for name in names]
    drawn = axes.barh(names, middles, xerr=spans, color=colours, ecolor="#57606a", capsize=2)
    axes.bar_label(drawn, [f"{m:,.0f}" for m in middles], padding=6)
    axes.set_xlabel(unit)
    axes.margins(x=0.15)


def ingest(measured: Measured) -> Figure:
    """Events a second, and what each costs."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for axes, stream in zip(
        figure.subplots(2, 1), ("BLOCK_IO_ERROR", "captured events of all kinds"), strict=True
    ):
        rows = measured.rows(f"Events a second: {stream}")
        bars(axes, {n: v for n, v in rows.items() if not n.startswith("bytes")}, "events a second")
        axes.set_title(stream, loc="left", fontsize=10)
    return figure


def scrape(measured: Measured) -> Figure:
    """How long a scrape takes, by the number of machines."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, coding in zip(figure.subplots(1, 2, sharey=True), ("plain", "gzip"), strict=True):
        fleets = dict(measured.fleets())
        shown = ("nothing changed", "2 % of the VMs changed", "all VMs changed")
        for what, style in zip(shown, ("-", "--", ":"), strict=True):
            times = [median(rows[f"{what}, {coding}"]) for rows in fleets.values()]
            axes.loglog(list(fleets), times, style, color=OURS_COLOUR, marker="o", ms=3, label=what)
        theirs: dict[str, dict[int, float]] = {}
        for number in fleets:
            title = rf"/metrics of {number:,} VMs?, 2 % of the VMs changed, {coding}"
            for name, values in measured.rows(title).items():
                if not name.startswith(OURS):
                    theirs.setdefault(name.rpartition(",")[0], {})[number] = median(values)
        for (name, times_of), marker in zip(theirs.items(), "sD^", strict=False):
            axes.loglog(
                list(times_of),
                list(times_of.values()),
                color=OTHERS_COLOUR,
                marker=marker,
                ms=4,
                label=name,
            )
        axes.set_title(coding, loc="left", fontsize=10)
        axes.set_xlabel("machines")
        axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("ms for a scrape")
    return figure


def main() -> int:
    """Draw all pictures anew."""
    measured = Measured(*[json.loads(Path(report).read_text()) for report in sys.argv[1:]])
    mpl.rcParams.update(STYLE)
    for draw in (ingest, scrape):
        path = IMAGES / f"performance-{draw.__name__}.svg"
        draw(measured).savefig(path, metadata={"Date": None})
        print(path.relative_to(IMAGES.parents[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
