"""Asks Prometheus what the panels, annotations and rules of dashboards/ ask, and counts samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final

from boards.board import boards, expression, panels, targets, title
from boards.promql import substitute
from boards.stack import INTERVAL
from dashboards.rules import RISING, recorded
from integration.prometheus import asked


if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp


WIDEST: Final = 90
"""Characters of an expression that are printed."""


@dataclass(frozen=True)
class Row:
    """What came of one expression.

    Attributes:
        where: the panel, alert or rule.
        expr: PromQL, as it was asked.
        samples: how many came.
        result: what it says.
    """

    where: str
    expr: str
    samples: int
    result: str

    def __str__(self) -> str:
        expr = " ".join(self.expr.split())
        shown = expr if len(expr) <= WIDEST else f"{expr[: WIDEST - 3]}..."
        return f"{self.where:<58} {shown:<{WIDEST}} {self.samples:>7}  {self.result}"


@dataclass(frozen=True)
class Asked:
    """A query of a dashboard.

    Attributes:
        board: the dashboard, by its name.
        panel: of it, or what else it belongs to.
        number: of the panel.
        expr: PromQL with variables of Grafana.
        instant: whether it is of one moment.
    """

    board: str
    panel: str
    number: int
    expr: str
    instant: bool


def queries() -> Iterator[Asked]:
    """Yield the queries of all dashboards, and the series that rules record."""
    for one in boards():
        for panel in panels(one.model):
            for target in targets(panel):
                instant = target.get("instant", False)
                yield Asked(one.name, title(panel), panel["id"], expression(target), instant)
        for note in one.model["annotations"]["list"]:
            what = f"annotation {note['name']}"
            yield Asked(one.name, what, 0, expression(note), instant=False)
    for counter in RISING:
        yield Asked("rules", recorded(counter), 0, recorded(counter), instant=False)


def filled(expr: str, seconds: float) -> str:
    """Return an expression as Grafana would ask it, everything chosen."""
    values = {
        "__rate_interval": f"{4 * INTERVAL}s",
        "__range": f"{seconds:.0f}s",
        **dict.fromkeys(("job", "instance", "vm"), ".+"),
    }
    assert set(re.findall(r"\$\{?(\w+)", expr)) <= values.keys(), f"not chosen: {expr}"
    return substitute(expr, **values)


async def look(client: aiohttp.ClientSession, one: Asked, began: float) -> tuple[Row, Any]:
    """Ask a query of a dashboard; return what came of it, and the data."""
    now = time()
    expr = filled(one.expr, now - began)
    if one.instant:
        data = await asked(client, "query", query=expr)
        samples = sum(one["value"][1] != "NaN" for one in data["result"]) if data else 0
    else:
        span = {"start": f"{began:.3f}", "end": f"{now:.3f}", "step": f"{INTERVAL}"}
        data = await asked(client, "query_range", query=expr, **span)
        found = (value for series in data["result"] for _, value in series["values"])
        samples = sum(value != "NaN" for value in found)
    row = Row(f"{one.board}: {one.panel}", expr, samples, "ok" if samples else "EMPTY")
    return row, data
