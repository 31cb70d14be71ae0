"""The 17 rules of Grafana's dashboard-linter, which is a program in Go, said again in Python.

What passes here passes there. Where a rule says that it is stricter, the linter finds less: it
knows fewer types of panels, say. Findings are what there are errors and warnings.

Source: grafana/dashboard-linter, docs/index.md, docs/rules and lint/*.go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from boards.board import (
    data_panels,
    expression,
    fixed,
    is_loki,
    panels,
    query,
    read_query,
    source,
    targets,
    title,
    variables,
)
from boards.promql import RANGE, RATE_INTERVAL, Matcher, parse, selectors, substitute
from boards.quantity import UNITS


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boards.board import Json
    from boards.promql import Selector


class Finding(NamedTuple):
    """Something that a rule does not allow.

    Attributes:
        rule: the rule's name, as the linter has it.
        dashboard: the dashboard's title.
        panel: the panel's title; empty if the finding is of no panel.
        query: the ``refId`` of the query; empty if it is of none.
        message: what is wrong.
    """

    rule: str
    dashboard: str
    panel: str
    query: str
    message: str


Said: TypeAlias = tuple[str, str, str]
"""Panel, query and message of a finding."""

Check: TypeAlias = "Callable[[Json], Iterator[Said]]"

RULES: Final[dict[str, Callable[[Json], Iterator[Finding]]]] = {}
"""All rules, by name."""

WITH_UNITS: Final = frozenset(
    {
        *("stat", "singlestat", "graph", "table", "timeseries", "gauge"),
        # These the linter does not look at.
        *("barchart", "bargauge", "histogram", "piechart", "trend", "xychart"),
    }
)
RATES: Final = frozenset({"rate", "irate", "increase"})
QUERY_FUNCTIONS: Final = frozenset({"label_names", "label_values", "metrics", "query_result"})


def _rule(name: str) -> Callable[[Check], Check]:
    """Make a rule of what says panel, query and message."""

    def take(check: Check) -> Check:
        def found(board: Json) -> Iterator[Finding]:
            return (Finding(name, board.get("title", ""), *said) for said in check(board))

        RULES[name] = found
        return check

    return take


# ---- variables


@_rule("template-datasource-rule")
def template_datasource(board: Json) -> Iterator[Said]:
    """One variable of the data source, for Prometheus, named ``datasource``, "Data source".

    Source: lint/rule_template_datasource.go, which wants exactly this label; "Data Source" in
    docs/rules/template-datasource-rule.md is out of date. Stricter: the linter takes a Loki, the
    name ``prometheus_datasource``, the label "Prometheus data source", and several, too.
    """
    found = variables(board, "datasource")
    if len(found) != 1:
        yield "", "", f"{len(found)} variables of type datasource, not 1"
    for variable in found:
        if query(variable) != "prometheus":
            yield "", "", f"the data source is of type {query(variable)!r}, not 'prometheus'"
        if variable.get("name") != "datasource":
            yield "", "", f"the data source is named {variable.get('name')!r}, not 'datasource'"
        label = variable.get("label")
        if label != "Data source":
            yield "", "", f"the data source is labelled {label!r}, not 'Data source'"


def _template(board: Json, name: str) -> Iterator[Said]:
    """Check the variable that chooses jobs or instances.

    Source: lint/template_utils.go. Stricter: there ``includeAll`` is not looked at.
    """
    found = next((v for v in variables(board) if v.get("name") == name), None)
    if found is None:
        yield "", "", f"there is no variable {name}"
        return
    wanted = {
        "type": "query",
        "label": name.title(),
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
    }
    if source(found)[1] not in ("$datasource", "${datasource}"):
        yield "", "", f"variable {name} asks {source(found)[1]!r}, not '$datasource'"
    for member, value in wanted.items():
        if found.get(member) != value:
            yield "", "", f"{member} of variable {name} is {found.get(member)!r}, not {value!r}"


@_rule("template-job-rule")
def template_job(board: Json) -> Iterator[Said]:
    """There is a variable ``job`` as it should be. Source: lint/rule_template_job.go."""
    yield from _template(board, "job")


@_rule("template-instance-rule")
def template_instance(board: Json) -> Iterator[Said]:
    """There is a variable ``instance`` as it should be. Source: lint/rule_template_instance.go."""
    yield from _template(board, "instance")


@_rule("template-label-promql-rule")
def template_label_promql(board: Json) -> Iterator[Said]:
    """The queries of variables are a function of Grafana's data source, over PromQL.

    Source: lint/rule_template_label_promql.go. Stricter: what is before the last comma of
    ``label_values`` must be PromQL as a whole.
    """
    for variable in variables(board, "query"):
        found = read_query(query(variable))
        if found.function not in QUERY_FUNCTIONS:
            yield "", "", f"variable {variable.get('name')}: no function: {query(variable)!r}"
        elif found.expr and found.function != "metrics":
            try:
                parse(substitute(found.expr, **fixed(board)))
            except ValueError as error:
                yield "", "", f"variable {variable.get('name')}: {found.expr!r}: {error}"
        elif found.function == "label_values" and not found.label:
            yield "", "", f"variable {variable.get('name')}: no label: {query(variable)!r}"


@_rule("template-on-time-change-reload-rule")
def template_on_time_change_reload(board: Json) -> Iterator[Said]:
    """Variables are asked for again when the time range changes.

    Source: lint/rule_template_on_time_change_reload.go, of all variables of type query.
    """
    for variable in variables(board, "query"):
        if variable.get("refresh") != 2:
            yield "", "", f"refresh of variable {variable.get('name')} is not 2: on time change"


# ---- panels


@_rule("panel-datasource-rule")
def panel_datasource(board: Json) -> Iterator[Said]:
    """Panels ask the data source that the variable chooses.

    Source: lint/rule_panel_datasource.go. Stricter: there only panels of the types singlestat,
    graph, table and timeseries are looked at, and not the sources of their queries.
    """
    names = [variable.get("name") for variable in variables(board, "datasource")]
    allowed = {form % name for name in names for form in ("$%s", "${%s}")}
    for panel in data_panels(board):
        if source(panel)[1] not in allowed:
            yield title(panel), "", f"it asks {source(panel)[1]!r}, not '$datasource'"
        for target in targets(panel):
            if target.get("datasource") and source(target)[1] not in allowed:
                uid = source(target)[1]
                yield title(panel), _ref(target), f"the query asks {uid!r}, not '$datasource'"


@_rule("panel-title-description-rule")
def panel_title_description(board: Json) -> Iterator[Said]:
    """Panels have a title and a description.

    Source: lint/rule_panel_title_description.go. Stricter: there only panels of the types stat,
    singlestat, graph, table, timeseries and gauge are looked at.
    """
    for panel in data_panels(board):
        missing = [name for name in ("title", "description") if not panel.get(name)]
        if missing:
            yield title(panel), "", f"it has no {' and no '.join(missing)}"


@_rule("panel-units-rule")
def panel_units(board: Json) -> Iterator[Said]:
    """Panels have a unit of Grafana's; ``none`` is one.

    A panel with value mappings needs none, nor does a tile that shows a field which is no number.

    Source: lint/rule_panel_units.go and docs/rules/panel-units-rule.md. Stricter: the linter knows
    fewer types of panels, looks at the last override only, and takes an empty list of mappings
    for mappings.
    """
    for panel in data_panels(board):
        if panel.get("type") not in WITH_UNITS or _says_no_number(panel):
            continue
        found = [unit for unit in (_default(panel, "unit"), *_overridden(panel, "unit")) if unit]
        if not found:
            yield title(panel), "", "it has no unit"
        for unit in found:
            if unit not in UNITS:
                yield title(panel), "", f"its unit {unit!r} is none that the linter knows"


def _says_no_number(panel: Json) -> bool:
    reduced = (panel.get("options") or {}).get("reduceOptions") or {}
    if panel.get("type") == "stat" and reduced.get("fields"):
        return True
    return bool(_default(panel, "mappings")) or any(_overridden(panel, "mappings"))


def _default(panel: Json, name: str) -> Any:
    return ((panel.get("fieldConfig") or {}).get("defaults") or {}).get(name)


def _overridden(panel: Json, name: str) -> list[Any]:
    overrides = (panel.get("fieldConfig") or {}).get("overrides") or ()
    properties = (p for override in overrides for p in override.get("properties") or ())
    return [one.get("value") for one in properties if one.get("id") == name]


@_rule("panel-no-targets-rule")
def panel_no_targets(board: Json) -> Iterator[Said]:
    """Panels have a query.

    Source: lint/rule_panel_no_targets.go. Stricter: there an empty list is enough, and only panels
    of the types stat, singlestat, graph, table, timeseries and gauge are looked at.
    """
    for panel in data_panels(board):
        if not targets(panel):
            yield title(panel), "", "it has no query"


# ---- queries


def _ref(target: Json) -> str:
    return target.get("refId") or ""


def _promql(board: Json) -> Iterator[tuple[Json, Json, str]]:
    """Yield panel, query and its expression with the variables that have a value, if PromQL."""
    values = fixed(board)
    for panel in panels(board):
        for target in targets(panel):
            if not is_loki(board, panel, target):
                yield panel, target, substitute(expression(target), **values)


def _selectors(board: Json) -> Iterator[tuple[str, str, Selector]]:
    """Yield panel, query and selector; of a query that cannot be parsed another rule tells."""
    for panel, target, expr in _promql(board):
        try:
            found = selectors(expr)
        except ValueError:
            continue
        for selector in found:
            yield title(panel), _ref(target), selector


@_rule("target-promql-rule")
def target_promql(board: Json) -> Iterator[Said]:
    """Queries are PromQL, or show what another panel has.

    Source: lint/rule_target_promql.go. Stricter: there only panels of the types singlestat, graph,
    table, stat, state-timeline and timeseries are looked at.
    """
    ids = {panel.get("id") for panel in panels(board)}
    for panel, target, expr in _promql(board):
        other = target.get("panelId")
        if not expr and other:
            if other not in ids:
                yield title(panel), _ref(target), f"there is no panel {other}"
            continue
        try:
            parse(expr)
        except ValueError as error:
            yield title(panel), _ref(target), f"{expr!r}: {error}"


@_rule("target-logql-rule")
def target_logql(board: Json) -> Iterator[Said]:
    """Queries of Loki are LogQL.

    Source: lint/rule_target_logql.go. Stricter: nothing here reads LogQL, so none is let through.
    """
    for panel, target in _loki(board):
        yield title(panel), _ref(target), "nothing here can read LogQL"


@_rule("target-logql-auto-rule")
def target_logql_auto(board: Json) -> Iterator[Said]:
    """Queries of Loki have ``$__auto`` for a range.

    Source: lint/rule_target_logql_auto.go. Stricter: there one ``$__auto`` is enough.
    """
    for panel, target in _loki(board):
        bare = re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', "", expression(target))
        if any(found not in ("$__auto", "${__auto}") for found in re.findall(r"\[([^]]*)\]", bare)):
            yield title(panel), _ref(target), "its range is not $__auto"


def _loki(board: Json) -> Iterator[tuple[Json, Json]]:
    for panel in panels(board):
        for target in targets(panel):
            if is_loki(board, panel, target):
                yield panel, target


@_rule("target-rate-interval-rule")
def target_rate_interval(board: Json) -> Iterator[Said]:
    """Rates are over ``$__rate_interval``, increases over that or over ``$__range``.

    Source: lint/rule_target_rate_interval.go, which wants it of ``rate`` and ``irate``;
    docs/rules/target-rate-interval-rule.md wants it of ``increase``, too. Stricter than the
    program: an increase over a fixed time is found here.
    """
    for panel, ref, selector in _selectors(board):
        call = next(iter(selector.calls), "")
        allowed = (RATE_INTERVAL, RANGE) if call == "increase" else (RATE_INTERVAL,)
        if selector.range is not None and call in RATES and selector.range not in allowed:
            message = f"{call} of {selector.metric} is over {selector.range:g} s"
            yield panel, ref, f"{message}, not over $__rate_interval"


def _matches(board: Json, label: str) -> Iterator[Said]:
    """Check that each selector keeps to the chosen jobs or instances.

    Source: lint/rule_target_job_instance.go and lint/target_utils.go.
    """
    wanted = Matcher(label, "=~", f"${label}")
    for panel, ref, selector in _selectors(board):
        if wanted not in selector.matchers:
            yield panel, ref, f'{selector.metric} has no {label}=~"${label}"'


@_rule("target-job-rule")
def target_job(board: Json) -> Iterator[Said]:
    """Every selector has ``job=~"$job"``. Source: lint/rule_target_job_instance.go."""
    yield from _matches(board, "job")


@_rule("target-instance-rule")
def target_instance(board: Json) -> Iterator[Said]:
    """Every selector has ``instance=~"$instance"``. Source: lint/rule_target_job_instance.go."""
    yield from _matches(board, "instance")


@_rule("target-counter-agg-rule")
def target_counter_agg(board: Json) -> Iterator[Said]:
    """Counters are seen through ``rate``, ``irate`` or ``increase``.

    Source: lint/rule_target_counter_agg.go. Stricter: there a counter with matchers gets away, as
    the end of the whole selector is looked at, not that of the metric's name.
    """
    for panel, ref, selector in _selectors(board):
        seen = selector.range is not None and next(iter(selector.calls), "") in RATES
        if selector.metric.endswith("_total") and not seen:
            yield panel, ref, f"counter {selector.metric} is not in rate, irate or increase"


@_rule("uneditable-dashboard")
def uneditable_dashboard(board: Json) -> Iterator[Said]:
    """The dashboard cannot be edited.

    Source: lint/rule_uneditable.go. Stricter: to Grafana no ``editable`` is true, here, too.
    """
    if board.get("editable") is not False:
        yield "", "", "it can be edited"
