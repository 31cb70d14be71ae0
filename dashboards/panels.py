"""How our dashboards look: variables, links, annotations, and one maker for each kind of panel.

Source of the conventions: Grafana's dashboard-linter, docs/index.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


SOURCE: Final = looks.DataSourceRef("prometheus", "${datasource}")
TAG: Final = "qmp-exporter"
ALL: Final = ".+"
HOST: Final = 'job=~"$job", instance=~"$instance"'
VM: Final = f'{HOST}, vm=~"$vm"'
NONE: Final = "none"
"""What a panel says that has nothing to show, which is good news as a rule."""

GREEN, YELLOW, ORANGE, RED, PURPLE, BLUE, GRAY = (
    "green",
    "yellow",
    "orange",
    "red",
    "purple",
    "blue",
    "#8e8e8e",
)

TO_VM: Final = (
    "/d/qmp-vm?${__url_time_range}&var-datasource=${datasource}&${job:queryparam}"
    "&${instance:queryparam}&var-vm=${__field.labels.vm}"
)


P = TypeVar("P", stat.Panel, timeseries.Panel, statetimeline.Panel, bargauge.Panel, table.Panel)


class Query(NamedTuple):
    """A query of a panel.

    Attributes:
        expr: PromQL.
        legend: what its series are called.
    """

    expr: str
    legend: str = ""


class State(NamedTuple):
    """A value of a label that says in which state something is, as a time line shows it."""

    text: str
    color: str


def of(metric: str, *matchers: str) -> str:
    """Return a selector of a metric of the VMs that are chosen."""
    return f"{metric}{{{', '.join((VM, *matchers))}}}"


def own(metric: str, *matchers: str) -> str:
    """Return a selector of a metric of the exporters that are chosen."""
    return f"{metric}{{{', '.join((HOST, *matchers))}}}"


def rise(selector: str, *by: str) -> str:
    """Return by how much counters rise from one point of a graph to the next, summed."""
    return f"sum by ({', '.join(by)}) (increase({selector}[$__rate_interval]))"


def during(selector: str, *by: str) -> str:
    """Return by how much counters rose in the time that the dashboard shows, in whole numbers."""
    found = f"sum by ({', '.join(by)})" if by else "sum"
    return f"round({found} (increase({selector}[$__range])))"


def quantiles(buckets: str) -> tuple[Query, ...]:
    """Return the queries of the median and of the slowest hundredth of a histogram's buckets."""
    return tuple(
        Query(f"histogram_quantile({quantile}, sum by (le) ({buckets}))", f"p{quantile * 100:.0f}")
        for quantile in (0.5, 0.99)
    )


def lately(selector: str) -> str:
    """Return how fast counters rise from one point of a graph to the next, each for itself."""
    return f"rate({selector}[$__rate_interval])"


def state_of(metric: str, label: str, states: Mapping[str, State], *by: str) -> str:
    """Return a query of the number of the state that reads 1: its place among all, from 1 on.

    Time lines show numbers, and words for them. It is 0 where none reads 1.
    """
    ranks = enumerate((f'{label}="{state}"' for state in states), start=1)
    numbers = "\n  or ".join(f"{rank} * {of(metric, matcher)}" for rank, matcher in ranks)
    return f"sum by ({', '.join(by)}) (\n  {numbers}\n)"


# ---- panels


def number(
    title: str, description: str, expr: str, bad: str = RED, unit: str = "short"
) -> stat.Panel:
    """Return a tile with one number, which is green at 0, unless ``bad`` is empty."""
    thresholds = [model.Threshold(None, GREEN if bad else BLUE)]
    if bad:
        thresholds.append(model.Threshold(1.0, bad))
    panel = stat.Panel().color_mode(looks.BigValueColorMode.BACKGROUND).decimals(0)
    panel.graph_mode(looks.BigValueGraphMode.NONE).span(3).height(4)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds(thresholds)).with_target(_query(Query(expr), instant=True))
    return _described(panel, title, description, unit, "0")


def lines(
    title: str, description: str, *queries: Query, unit: str = "short", stacked: bool = False
) -> timeseries.Panel:
    """Return a graph of something that has a value at any time."""
    panel = _graph(title, description, queries, unit)
    panel.line_width(1).fill_opacity(20 if stacked else 0)
    return panel.stacking(_normal()) if stacked else panel


def levels(title: str, description: str, *queries: Query, unit: str = "short") -> timeseries.Panel:
    """Return a graph of something that keeps its value until it is set anew."""
    panel = _graph(title, description, queries, unit).line_width(2)
    return panel.line_interpolation(looks.LineInterpolation.STEP_AFTER)


def counts(title: str, description: str, *queries: Query, unit: str = "short") -> timeseries.Panel:
    """Return a graph of how often something happened, with exemplars, which lead to traces."""
    panel = _graph(title, description, queries, unit, exemplars=True)
    panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    return panel.stacking(_normal()).min(0.0).decimals(0)


def timeline(
    title: str, description: str, query: Query, states: Mapping[str, State], gone: str
) -> statetimeline.Panel:
    """Return a time line of states.

    Args:
        title: of the panel.
        description: of the panel.
        query: of ``state_of``.
        states: those that it was given.
        gone: what 0 is called.
    """
    shown = (State(gone, GRAY), *states.values())
    options = {
        str(rank): model.ValueMappingResult(text=text, color=color, index=rank)
        for rank, (text, color) in enumerate(shown)
    }
    panel = statetimeline.Panel().mappings([model.ValueMap(options)]).per_page(20).height(9)
    panel.show_value(looks.VisibilityMode.NEVER).row_height(0.85).line_width(0).fill_opacity(80)
    panel.thresholds(_thresholds([model.Threshold(None, GRAY)])).merge_values(True)
    panel.with_target(_query(query)).data_links([_to_vm()])
    panel.legend(_legend(looks.LegendDisplayMode.LIST)).span(24)
    return _described(panel, title, description, "none", NONE)


def ranking(
    title: str, description: str, expr: str, unit: str = "short", legend: str = "{{vm}}"
) -> bargauge.Panel:
    """Return bars of those that have the most of something, the first at the top."""
    most = Query(f"topk(10, {expr} > 0)", legend)
    panel = bargauge.Panel().orientation(looks.VizOrientation.HORIZONTAL).span(6).height(8)
    panel.display_mode(looks.BarGaugeDisplayMode.BASIC).decimals(0).min(0.0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_thresholds([model.Threshold(None, ORANGE)]))
    panel.with_target(_query(most, instant=True)).data_links([_to_vm()])
    return _described(panel, title, description, unit, NONE)


def rows(
    title: str, description: str, expr: str, columns: Mapping[str, str], unit: str = "none"
) -> table.Panel:
    """Return a table, a row for each series.

    Args:
        title: of the panel.
        description: of the panel.
        expr: PromQL.
        columns: the labels to show, in this order, and what they are called; and ``Value``.
        unit: of the values.
    """
    order = {name: place for place, name in enumerate(columns)}
    only = model.DataTransformerConfig(
        "filterFieldsByName", options={"include": {"names": list(columns)}}
    )
    named = model.DataTransformerConfig(
        "organize",
        options={"indexByName": order, "renameByName": dict(columns), "excludeByName": {}},
    )
    panel = table.Panel().transformations([only, named]).span(12).height(8)
    query = prometheus.Dataquery().expr(expr).ref_id("A").datasource(SOURCE)
    panel.with_target(query.instant().format(PromQueryFormat.TABLE))
    if "vm" in columns:
        link = TO_VM.replace("${__field.labels.vm}", "${__data.fields.VM}")
        panel.override_by_name(
            columns["vm"],
            [model.DynamicConfigValue("links", [{"title": "The VM", "url": link}])],
        )
    return _described(panel, title, description, unit, NONE)


def _graph(
    title: str,
    description: str,
    queries: Iterable[Query],
    unit: str,
    *,
    exemplars: bool = False,
) -> timeseries.Panel:
    panel = timeseries.Panel().span(12).height(8)
    for place, query in enumerate(queries):
        panel.with_target(_query(query, "ABCDEFGH"[place], exemplars=exemplars))
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(looks.TooltipDisplayMode.MULTI)
        .sort(looks.SortOrder.DESCENDING)
    )
    panel.legend(_legend(looks.LegendDisplayMode.LIST))
    panel.show_points(looks.VisibilityMode.NEVER)
    return _described(panel, title, description, unit, NONE)


def _described(panel: P, title: str, description: str, unit: str, empty: str) -> P:
    panel.title(title).description(description).datasource(SOURCE)
    return panel.unit(unit).no_value(empty)


def _query(
    query: Query, ref: str = "A", *, instant: bool = False, exemplars: bool = False
) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).ref_id(ref).datasource(SOURCE)
    if query.legend:
        made.legend_format(query.legend)
    if exemplars:
        made.exemplar(True)
    return made.instant() if instant else made.range()


def _thresholds(steps: list[model.Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _legend(mode: looks.LegendDisplayMode) -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).display_mode(mode)
    return shown.placement(looks.LegendPlacement.BOTTOM)


def _normal() -> common.StackingConfig:
    return common.StackingConfig().mode(looks.StackingMode.NORMAL)


def _to_vm() -> dashboard.DashboardLink:
    return dashboard.DashboardLink("The VM").url(TO_VM)


# ---- dashboards


def board(name: str, title: str, description: str) -> dashboard.Dashboard:
    """Return an empty dashboard with what all of ours have.

    Args:
        name: a word for its uid, which never changes.
        title: for people.
        description: what it answers.
    """
    made = dashboard.Dashboard(title).uid(f"qmp-{name}").description(description).tags([TAG])
    made.readonly().refresh("30s").time("now-1h", "now").timezone("browser")
    made.tooltip(model.DashboardCursorSync.CROSSHAIR)
    made.variables(_variables())
    made.annotations(list(_annotations()))
    siblings = dashboard.DashboardLink("QEMU").type(model.DashboardLinkType.DASHBOARDS)
    made.link(siblings.tags([TAG]).include_vars(True).keep_time(True))
    return made


def _variables() -> list[Any]:
    found: list[Any] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    ]
    for name, label, query in (
        ("job", "Job", "label_values(qmp_exporter_build_info, job)"),
        ("instance", "Instance", 'label_values(qmp_exporter_build_info{job=~"$job"}, instance)'),
        ("vm", "VM", f"label_values(qemu_up{{{HOST}}}, vm)"),
    ):
        made = dashboard.QueryVariable(name).label(label).query(query).datasource(SOURCE)
        made.multi(True).include_all(True).all_value(ALL).sort(model.VariableSort.ALPHABETICAL_ASC)
        made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        made.current(model.VariableOption(text="All", value="$__all", selected=True))
        found.append(made)
    return found


def _annotations() -> Iterable[dashboard.AnnotationQuery]:
    for name, metric, color, text in (
        ("Panics", "qemu_guest_panics_total", RED, "{{vm}}: the guest panicked"),
        ("Watchdogs", "qemu_watchdog_actions_total", ORANGE, "{{vm}}: watchdog, {{action}}"),
        ("Resets", "qemu_vm_reboots_total", YELLOW, "{{vm}}: rebooted"),
        ("Migrations", "qemu_migrations_total", BLUE, "{{vm}}: migration {{outcome}}, {{role}}"),
    ):
        # Not $__rate_interval: an annotation has a step of its own.
        query = dashboard.AnnotationQuery().name(name).icon_color(color).enable(True)
        query.expr(f"changes({of(metric)}[2m]) > 0").step("1m").datasource(SOURCE)
        yield query.title_format(text)


def fill(made: dashboard.Dashboard, sections: Mapping[str, Sequence[Any]]) -> dashboard.Dashboard:
    """Add rows of panels, by their titles; those without a title come first."""
    for title, panels in sections.items():
        if title:
            made.with_row(dashboard.Row(title))
        for panel in panels:
            made.with_panel(panel)
    return made
