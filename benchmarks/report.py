"""What was measured, and how it is shown: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, Literal


if TYPE_CHECKING:
    from collections.abc import Mapping


Better = Literal["more", "less"]

DIGITS: Final = 3
"""Significant ones of a number below a thousand."""


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes:
        what: was measured.
        unit: of the values.
        values: one for each round, in their order.
    """

    what: str
    unit: str
    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median of all rounds."""
        return median(self.values)


@dataclass(frozen=True)
class Table:
    """Rows that were measured in turns, in the same rounds.

    Attributes:
        title: of the table.
        how: it was measured, in whole sentences.
        rows: of the table.
        ours: the row that others are compared to; empty where there is nothing to compare.
        better: whether more is better, or less.
    """

    title: str
    how: str
    rows: tuple[Row, ...]
    ours: str = ""
    better: Better = "less"

    def ratios(self, other: Row) -> tuple[float, ...]:
        """How many times better ours is than another row, in each round."""
        (ours,) = (row for row in self.rows if row.what == self.ours)
        pairs = zip(ours.values, other.values, strict=True)
        if self.better == "more":
            return tuple(mine / its for mine, its in pairs)
        return tuple(its / mine for mine, its in pairs)

    def ratio(self, other: str) -> float:
        """The median of `ratios` to the row of that name."""
        (row,) = (row for row in self.rows if row.what == other)
        return median(self.ratios(row))


@dataclass(frozen=True)
class Bar:
    """What has to be reached.

    Attributes:
        what: has to reach it.
        needs: the least value if `at_least`, else the greatest.
        found: the median of all rounds.
        unit: of both.
        at_least: whether more is better.
    """

    what: str
    needs: float
    found: float
    unit: str
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether it is reached."""
        return self.found >= self.needs if self.at_least else self.found <= self.needs


@dataclass(frozen=True)
class Result:
    """What a group found.

    Attributes:
        group: its name.
        tables: of it.
        bars: that it measures.
        skipped: what was not measured, and why.
    """

    group: str
    tables: tuple[Table, ...]
    bars: tuple[Bar, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """One run.

    Attributes:
        began: date and time in UTC, ISO 8601.
        took: seconds.
        rounds: of each row.
        small: whether the sizes were reduced, to try whether everything runs.
        machine: what it ran on, and the versions of everything.
        results: one for each group.
    """

    began: str
    took: float
    rounds: int
    small: bool
    machine: Mapping[str, str]
    results: tuple[Result, ...]

    def json(self) -> str:
        """Everything, as JSON."""
        found = asdict(self)
        for result, as_dict in zip(self.results, found["results"], strict=True):
            for bar, entry in zip(result.bars, as_dict["bars"], strict=True):
                entry["holds"] = bar.holds
        return json.dumps(found, indent=1) + "\n"

    def markdown(self) -> str:
        """Everything, to be read."""
        lines = ["# Benchmarks", "", f"{self.began}, {self.took / 60:.0f} min."]
        lines += [f"Rounds of each row: {self.rounds}; the rows of a table were measured in turns."]
        lines += ["A value is the median of the rounds, with the least and the greatest."]
        if self.small:
            lines += [
                "",
                "**Small sizes, to try whether everything runs: the numbers say little.**",
            ]
        lines += ["", "| machine | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in self.machine.items()]
        bars = [(bar, result.group) for result in self.results for bar in result.bars]
        if bars:
            lines += ["", "## Bars", "", "| what | bar | found | holds | group |"]
            lines += ["| --- | --- | --- | --- | --- |"]
            lines += [_bar(bar, group) for bar, group in bars]
        for result in self.results:
            lines += ["", f"## {result.group}"]
            lines += [f"\nSkipped: {why}" for why in result.skipped]
            for table in result.tables:
                lines += _table(table)
        return "\n".join(lines) + "\n"


def _bar(bar: Bar, group: str) -> str:
    needs = f"{'at least' if bar.at_least else 'at most'} {number(bar.needs)} {bar.unit}"
    holds = "yes" if bar.holds else "**no**"
    return f"| {bar.what} | {needs} | {number(bar.found)} {bar.unit} | {holds} | {group} |"


def _table(table: Table) -> list[str]:
    lines = ["", f"### {table.title}", "", table.how, ""]
    if not table.ours:
        lines += ["| what | unit | median | least to greatest |", "| --- | --- | --- | --- |"]
        return lines + [f"| {_cells(row)} |" for row in table.rows]
    lines += [f"| what | unit | median | least to greatest | {table.ours} is better | spread |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for row in table.rows:
        ratios = table.ratios(row)
        times = f"{number(median(ratios))} times"
        compared = "|" if row.what == table.ours else f"{times} | {_spread(ratios)}"
        lines.append(f"| {_cells(row)} | {compared} |")
    return lines


def _cells(row: Row) -> str:
    return f"{row.what} | {row.unit} | {number(row.middle)} | {_spread(row.values)}"


def _spread(values: tuple[float, ...]) -> str:
    return f"{number(min(values))} to {number(max(values))}"


def number(value: float) -> str:
    """Return a number for people: three digits, or all before the point."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (DIGITS - 1) or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{DIGITS}g}"
