"""What kind of quantity an expression is, by the names of its metrics, and whether a unit fits it.

Sources: Prometheus documentation, "Metric and label naming", for the units in names; Grafana's
valueFormats/categories.ts, in which dates are of milliseconds.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models import units
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    NumberLiteral,
    StringLiteral,
    VectorSelector,
)

from boards.board import data_panels, expression, fixed, targets, title
from boards.promql import RANGE, children, parse, substitute, walk
from boards.reading import is_scalar


if TYPE_CHECKING:
    from promql_parser import Expr

    from boards.board import Board, Json


class Kind(Enum):
    """A kind of quantity."""

    NUMBER = "a number"
    TIME = "a time in seconds"
    SHARE = "seconds of a second"
    MOMENT = "a Unix time in seconds, which no unit shows"
    DATE = "a Unix time in milliseconds"
    BYTES = "bytes"
    BYTE_RATE = "bytes in a second"


UNITS: Final = frozenset(
    unit for name, unit in vars(units).items() if not name.startswith("_") and isinstance(unit, str)
) - {
    # Of Grafana, and not yet of the linter.
    *("sishort", "candela", "acres", "hectares"),
    *("currencyTRY", "currencyMYR", "currencyXPF", "currencyBGN", "currencyPYG", "currencyUYU"),
    *("currencyILS", "mwatth", "mohm", "rotkhz", "rotmhz", "rotghz"),
    *("eps", "recps", "rowsps", "reqpm", "epm", "recpm", "rowspm"),
}
"""Grafana's units, as far as the linter knows them."""

_TIMES: Final = frozenset(
    {
        *("ns", "µs", "ms", "s", "m", "h", "d"),
        *("dtdurationms", "dtdurations", "dthms", "dtdhms", "timeticks", "clockms", "clocks"),
    }
)
_DATES: Final = frozenset(unit for unit in UNITS if unit.startswith("dateTime"))
_BYTES: Final = frozenset(unit for unit in UNITS if re.fullmatch(r"(dec)?[kmgtp]?bytes", unit))
_BYTE_RATES: Final = frozenset(
    unit for unit in UNITS if re.fullmatch(r"(bin)?Bps|[KMGTP]i?Bs", unit)
)
_SHARES: Final = frozenset({"percent", "percentunit"})
FITTING: Final = {
    Kind.TIME: _TIMES,
    Kind.SHARE: _TIMES | _SHARES,
    Kind.MOMENT: frozenset(),
    Kind.DATE: _DATES,
    Kind.BYTES: _BYTES,
    Kind.BYTE_RATE: _BYTE_RATES,
}
"""The units of each kind; a number may have any that is not among them, and shares."""

OF_OTHERS: Final = _TIMES | _DATES | _BYTES | _BYTE_RATES

_COUNTING: Final = frozenset(
    {
        *("count", "count_values", "group", "absent", "absent_over_time", "changes", "resets"),
        *("count_over_time", "present_over_time", "sgn"),
        *("day_of_month", "day_of_week", "day_of_year", "days_in_month"),
        *("hour", "minute", "month", "year"),
    }
)
_COMPARING: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})
_PER_SECOND: Final = {
    Kind.TIME: Kind.SHARE,
    Kind.MOMENT: Kind.SHARE,
    Kind.BYTES: Kind.BYTE_RATE,
}


def of_metric(name: str) -> Kind:
    """Return the kind of a metric."""
    base = name.removesuffix("_total").removesuffix("_sum")
    if base.endswith(("_timestamp_seconds", "_start_time_seconds")):
        return Kind.MOMENT
    if base.endswith("_seconds"):
        return Kind.TIME
    return Kind.BYTES if base.endswith("_bytes") else Kind.NUMBER


def kind(node: Expr) -> Kind | None:
    """Return the kind of an expression; None for a mere number, which is of any."""
    if isinstance(node, NumberLiteral):
        return Kind.TIME if node.val == RANGE else None
    if isinstance(node, VectorSelector):
        return of_metric(node.name or "")
    if isinstance(node, AggregateExpr):
        return Kind.NUMBER if str(node.op) in _COUNTING else kind(node.expr)
    if isinstance(node, BinaryExpr):
        return _joined(node)
    if isinstance(node, Call):
        return _called(node)
    return next(map(kind, children(node)), None)


def _called(node: Call) -> Kind | None:
    name = node.func.name
    if name in ("time", "timestamp"):
        return Kind.MOMENT
    if name in _COUNTING:
        return Kind.NUMBER
    if name == "histogram_quantile":
        below = (found.name for found, _ in walk(node) if isinstance(found, VectorSelector))
        return of_metric(next(filter(None, below), "").removesuffix("_bucket"))
    arguments = [a for a in node.args if not isinstance(a, (NumberLiteral, StringLiteral))]
    inner = kind(arguments[0]) if arguments else None
    if name in ("rate", "irate", "deriv"):
        return _PER_SECOND.get(inner, inner) if inner is not None else None
    if name in ("delta", "idelta", "increase") and inner is Kind.MOMENT:
        return Kind.TIME
    return inner


def _joined(node: BinaryExpr) -> Kind | None:
    operator = str(node.op)
    left, right = kind(node.lhs), kind(node.rhs)
    if operator == "*":
        return _product(node, left, right)
    if operator == "/":
        return _quotient(left, right)
    if operator == "-" and left is right is Kind.MOMENT:
        return Kind.TIME
    if operator in _COMPARING:
        if node.modifier is not None and node.modifier.return_bool:
            return Kind.NUMBER
        return right if is_scalar(node.lhs) else left
    return left if left is not None else right


def _product(node: BinaryExpr, left: Kind | None, right: Kind | None) -> Kind | None:
    factors = {left, right} - {None, Kind.NUMBER}
    if factors == {Kind.MOMENT}:
        numbers = [one.val for one in (node.lhs, node.rhs) if isinstance(one, NumberLiteral)]
        return Kind.DATE if numbers == [1000.0] else Kind.MOMENT
    if factors:
        return left if left in factors else right
    return left if left is not None else right


def _quotient(left: Kind | None, right: Kind | None) -> Kind | None:
    if right in (None, Kind.NUMBER):
        return left if left is not None else right
    if left is right:
        return Kind.SHARE if left is Kind.TIME else Kind.NUMBER
    return Kind.BYTE_RATE if (left, right) == (Kind.BYTES, Kind.TIME) else Kind.NUMBER


# ---- the units of panels


def misfits(one: Board) -> list[str]:
    """Return the queries of a dashboard that are shown with a unit of something else."""
    found = []
    for panel in data_panels(one.model):
        if panel.get("type") == "heatmap":  # its colours are numbers, whatever its axis is
            continue
        for target in targets(panel):
            what = _kind_of(one.model, target) if _shown(panel, target) else None
            unit = _unit(panel, target)
            if what is not None and not fits(what, unit):
                place = f'{one.file}: panel "{title(panel)}"'
                query = target.get("refId") or "?"
                found.append(f"{place}: query {query} is {what.value}, its unit is {unit!r}")
    return found


def _kind_of(board: Json, target: Json) -> Kind | None:
    try:
        return kind(parse(substitute(expression(target), **fixed(board))))
    except ValueError:  # that there is a query, and that it is PromQL, are other rules
        return None


def fits(what: Kind, unit: str) -> bool:
    """Tell whether a unit is one of a kind; numbers have any that is of no other kind."""
    return unit in FITTING[what] if what in FITTING else unit not in OF_OTHERS


def _renamed(panel: Json) -> dict[str, str]:
    names: dict[str, str] = {}
    for step in panel.get("transformations") or ():
        if step["id"] == "organize":
            names |= (step.get("options") or {}).get("renameByName") or {}
    return names


def _columns(target: Json) -> tuple[str, ...]:
    return "Value", f"Value #{target.get('refId', '')}"


def _shown(panel: Json, target: Json) -> bool:
    """Tell whether the values of a query are shown: a table may have its labels only."""
    for step in panel.get("transformations") or ():
        options = step.get("options") or {}
        names = (options.get("include") or {}).get("names")
        if step["id"] == "filterFieldsByName" and names is not None:
            if not any(column in names for column in _columns(target)):
                return False
        elif step["id"] == "organize":
            gone = options.get("excludeByName") or {}
            if any(gone.get(column) for column in _columns(target)):
                return False
    return not target.get("hide")


def _unit(panel: Json, target: Json) -> str:
    """Return the unit of a query's values: that of an override of it, else that of the panel."""
    config = panel.get("fieldConfig") or {}
    renamed = _renamed(panel)
    names = {renamed.get(column, column) for column in _columns(target)}
    names.add(target.get("legendFormat") or "Value")
    unit = (config.get("defaults") or {}).get("unit") or ""
    for override in config.get("overrides") or ():
        matcher, options = override["matcher"]["id"], override["matcher"].get("options")
        if (matcher == "byFrameRefID" and options == target.get("refId")) or (
            matcher == "byName" and options in names
        ):
            for one in override["properties"]:
                unit = one["value"] if one["id"] == "unit" else unit
    return str(unit)
