"""A dashboard as Grafana imports it: its panels, queries, variables and annotations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Iterator


Json: TypeAlias = dict[str, Any]

ROOT: Final = Path(__file__).parents[2]
GRAFANA: Final = ROOT / "dashboards" / "grafana"
PROMETHEUS: Final = ROOT / "dashboards" / "prometheus"

WITHOUT_DATA: Final = frozenset(
    {"alertlist", "annolist", "dashlist", "gettingstarted", "news", "row", "text", "welcome"}
)
"""Types of panels that ask no data source."""

_LABEL_VALUES: Final = re.compile(r"(?:(?P<expr>.+),)?\s*(?P<label>\w+)\s*", re.DOTALL)
_FUNCTION: Final = re.compile(r"\s*(?P<name>\w+)\((?P<argument>.*)\)\s*", re.DOTALL)


class Board(NamedTuple):
    """A dashboard.

    Attributes:
        file: the name of its file.
        model: what is in it.
    """

    file: str
    model: Json

    @property
    def name(self) -> str:
        """The name of its file, without ``.json``."""
        return self.file.removesuffix(".json")


class VariableQuery(NamedTuple):
    """The query of a variable.

    Attributes:
        function: of Grafana's data source; empty if it is none.
        expr: the PromQL or the metric in it; empty if there is none.
        label: whose values are asked for, in ``label_values``.
    """

    function: str
    expr: str
    label: str = ""


def boards() -> list[Board]:
    """Return the dashboards of ``dashboards/grafana``."""
    files = sorted(GRAFANA.glob("*.json"))
    return [Board(path.name, json.loads(path.read_text())) for path in files]


def panels(board: Json) -> Iterator[Json]:
    """Yield all panels, rows too, and those that are folded into a row."""
    yield from _flat(panel for row in board.get("rows") or () for panel in row.get("panels") or ())
    yield from _flat(board.get("panels") or ())


def _flat(found: Any) -> Iterator[Json]:
    for panel in found:
        yield panel
        yield from _flat(panel.get("panels") or ())


def data_panels(board: Json) -> Iterator[Json]:
    """Yield the panels that show data."""
    return (panel for panel in panels(board) if panel.get("type") not in WITHOUT_DATA)


def title(panel: Json) -> str:
    """Return the title of a panel, or if it has none its id."""
    return panel.get("title") or f"#{panel.get('id', '?')}"


def targets(panel: Json) -> list[Json]:
    """Return the queries of a panel."""
    return panel.get("targets") or []


def variables(board: Json, kind: str = "") -> list[Json]:
    """Return the variables, or those of a type."""
    found: list[Json] = (board.get("templating") or {}).get("list") or []
    return [variable for variable in found if kind in ("", variable.get("type"))]


def queried_annotations(board: Json) -> list[Json]:
    """Return the annotations that ask Prometheus."""
    found: list[Json] = (board.get("annotations") or {}).get("list") or []
    return [annotation for annotation in found if expression(annotation)]


def expression(query: Json) -> str:
    """Return the PromQL of a query of a panel or of an annotation; empty if there is none."""
    return query.get("expr") or (query.get("target") or {}).get("expr") or ""


def source(found: Json) -> tuple[str, str]:
    """Return type and uid of the data source of a panel, a query or a variable."""
    what = found.get("datasource") or {}
    return ("", what) if isinstance(what, str) else (what.get("type") or "", what.get("uid") or "")


def is_loki(board: Json, panel: Json, target: Json) -> bool:
    """Tell whether a query of a panel is for Loki."""
    chosen = any(query(variable) == "loki" for variable in variables(board, "datasource")[:1])
    return chosen or "loki" in (source(panel)[0], source(target)[0])


def query(variable: Json) -> str:
    """Return the text of the query of a variable, however Grafana wrote it down."""
    found = variable.get("query") or ""
    return found if isinstance(found, str) else found.get("query") or ""


def read_query(text: str) -> VariableQuery:
    """Return what the query of a variable asks for.

    Source: Grafana documentation, "Prometheus template variables", "Query options".
    """
    call = _FUNCTION.fullmatch(text)
    if call is None:
        return VariableQuery("", text)
    if call["name"] != "label_values":
        return VariableQuery(call["name"], call["argument"].strip())
    found = _LABEL_VALUES.fullmatch(call["argument"])
    if found is None:
        return VariableQuery(call["name"], call["argument"].strip())
    return VariableQuery(call["name"], (found["expr"] or "").strip(), found["label"])


def fixed(board: Json) -> dict[str, str]:
    """Return texts for the variables whose values stand in the dashboard."""
    found = {}
    for variable in variables(board):
        if variable.get("type") in ("constant", "custom", "interval", "textbox"):
            value = (variable.get("current") or {}).get("value")
            options = variable.get("options") or [{}]
            text = value[0] if isinstance(value, list) and value else value or None
            if text in (None, "$__all"):
                text = options[0].get("value") or query(variable).split(",")[0]
            found[variable["name"]] = str(text)
    return found
