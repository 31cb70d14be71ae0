"""Tiny dashboards, to show what is found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.board import Board


if TYPE_CHECKING:
    from boards.board import Json


def asking(*exprs: str, legend: str = "", **members: Any) -> Board:
    """Return a dashboard with one panel, which asks that."""
    asked = [
        {"refId": "ABC"[place], "expr": expr, "legendFormat": legend}
        for place, expr in enumerate(exprs)
    ]
    return of_panel({"targets": asked, **members})


def of_panel(panel: Json) -> Board:
    """Return a dashboard with one panel."""
    return Board("vm.json", {"panels": [{"type": "timeseries", "title": "Stops", **panel}]})
