"""Each rule of the linter finds what it should in a tiny dashboard, and nothing in a good one."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import pytest

from boards import lint
from boards.exclusions import Exclusion, exclusions, unexcused


if TYPE_CHECKING:
    from boards.board import Json


SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
HOST: Final = 'job=~"$job", instance=~"$instance"'
OTHER: Final = {"type": "prometheus", "uid": "abc"}
LOKI: Final = {"type": "loki", "uid": "${datasource}"}


def variable(name: str, **members: Any) -> Json:
    """Return a variable as it should be, but for some members."""
    return {
        "name": name,
        "type": "query",
        "label": name.title(),
        "datasource": SOURCE,
        "query": f"label_values(qemu_up, {name})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        **members,
    }


def datasource(**members: Any) -> Json:
    """Return the variable of the data source as it should be, but for some members."""
    found = {"name": "datasource", "type": "datasource", "label": "Data source"}
    return {**found, "query": "prometheus", **members}


JOB: Final = variable("job")
INSTANCE: Final = variable("instance")
MOST: Final = {"name": "most", "type": "custom", "current": {"value": "5"}}
PANEL: Final[Json] = {
    "id": 1,
    "title": "Stops",
    "description": "How often the machine was stopped.",
    "type": "timeseries",
    "datasource": SOURCE,
    "fieldConfig": {"defaults": {"unit": "short"}, "overrides": []},
    "targets": [
        {
            "refId": "A",
            "datasource": SOURCE,
            "expr": f"sum(rate(qemu_vm_stops_total{{{HOST}}}[$__rate_interval]))",
        }
    ],
}


def board(*variables: Json, panels: list[Json] | None = None, **members: Any) -> Json:
    """Return a good dashboard, with some variables, panels or members in place of those it has."""
    listed = list(variables) or [datasource(), JOB, INSTANCE]
    shown = [PANEL] if panels is None else panels
    found = {"title": "QEMU", "editable": False, "templating": {"list": listed}, "panels": shown}
    return deepcopy({**found, **members})


def panel(**members: Any) -> Json:
    """Return a dashboard with one panel, which is as it should be but for some members."""
    return board(panels=[{**PANEL, **members}])


def asks(*exprs: str, **members: Any) -> Json:
    """Return a dashboard with one panel that has these queries."""
    targets = [
        {"refId": "ABC"[place], "datasource": SOURCE, "expr": expr, **members}
        for place, expr in enumerate(exprs)
    ]
    return panel(targets=targets)


def shows(defaults: Json, *overrides: Json, kind: str = "timeseries", **members: Any) -> Json:
    """Return a dashboard with one panel that has these looks."""
    of_fields = [{"matcher": {"id": "byName", "options": "x"}, "properties": overrides}]
    looks = {"defaults": defaults, "overrides": of_fields if overrides else []}
    return panel(type=kind, fieldConfig=looks, **members)


def found(rule: str, model: Json) -> list[str]:
    """Return what a rule finds, with panel and query."""
    said = [finding[2:] for finding in lint.RULES[rule](model)]
    return [" ".join(filter(None, (where, query, message))) for where, query, message in said]


def test_a_good_dashboard_is_good_to_all_rules() -> None:
    """Each of the 17 rules passes it."""
    assert {rule: found(rule, board()) for rule in lint.RULES} == {rule: [] for rule in lint.RULES}


BAD: Final = {
    "template-datasource-rule": [
        (board(JOB), "0 variables of type datasource, not 1"),
        (board(datasource(), datasource()), "2 variables of type datasource, not 1"),
        (board(datasource(query="loki")), "the data source is of type 'loki', not 'prometheus'"),
        (board(datasource(name="ds")), "the data source is named 'ds', not 'datasource'"),
        (
            board(datasource(label="Data Source")),
            "the data source is labelled 'Data Source', not 'Data source'",
        ),
    ],
    "template-job-rule": [
        (board(datasource()), "there is no variable job"),
        (board(variable("job", label="job")), "label of variable job is 'job', not 'Job'"),
        (board(variable("job", type="custom")), "type of variable job is 'custom', not 'query'"),
        (board(variable("job", multi=False)), "multi of variable job is False, not True"),
        (board(variable("job", datasource=OTHER)), "variable job asks 'abc', not '$datasource'"),
    ],
    "template-instance-rule": [
        (board(JOB), "there is no variable instance"),
        (
            board(variable("instance", allValue=None)),
            "allValue of variable instance is None, not '.+'",
        ),
        (
            board(variable("instance", includeAll=False)),
            "includeAll of variable instance is False, not True",
        ),
    ],
    "template-label-promql-rule": [
        (board(variable("vm", query="qemu_up")), "variable vm: no function: 'qemu_up'"),
        (board(variable("vm", query="foo(up, vm)")), "variable vm: no function: 'foo(up, vm)'"),
        (
            board(variable("vm", query={"query": "label_values()", "refId": "A"})),
            "variable vm: no label: 'label_values()'",
        ),
        (
            board(variable("vm", query="label_values(up{, vm)")),
            "variable vm: 'up{': unexpected end of input inside braces",
        ),
    ],
    "template-on-time-change-reload-rule": [
        (board(variable("vm", refresh=1)), "refresh of variable vm is not 2: on time change"),
    ],
    "panel-datasource-rule": [
        (panel(datasource=OTHER), "Stops it asks 'abc', not '$datasource'"),
        (panel(datasource="Prometheus"), "Stops it asks 'Prometheus', not '$datasource'"),
        (panel(datasource=None), "Stops it asks '', not '$datasource'"),
        (asks("up", datasource=OTHER), "Stops A the query asks 'abc', not '$datasource'"),
    ],
    "panel-title-description-rule": [
        (panel(title=""), "#1 it has no title"),
        (panel(description="", type="state-timeline"), "Stops it has no description"),
    ],
    "panel-units-rule": [
        (shows({}), "Stops it has no unit"),
        (shows({"mappings": []}, kind="stat"), "Stops it has no unit"),
        (shows({}, kind="bargauge"), "Stops it has no unit"),
        (shows({"unit": "seconds"}), "Stops its unit 'seconds' is none that the linter knows"),
        (shows({"unit": "eps"}), "Stops its unit 'eps' is none that the linter knows"),
        (
            shows({"unit": "s"}, {"id": "unit", "value": "foo"}, {"id": "unit", "value": "ms"}),
            "Stops its unit 'foo' is none that the linter knows",
        ),
    ],
    "panel-no-targets-rule": [
        (panel(targets=[]), "Stops it has no query"),
        (panel(targets=None), "Stops it has no query"),
    ],
    "target-promql-rule": [
        (asks(""), "Stops A '': no expression found in input"),
        (panel(targets=[{"refId": "A", "panelId": 9}]), "Stops A there is no panel 9"),
        (
            asks("up", "rate(up)"),
            "Stops B 'rate(up)': expected type matrix in call to function 'rate', got vector",
        ),
    ],
    "target-logql-rule": [
        (asks('{job="a"}', datasource=LOKI), "Stops A nothing here can read LogQL"),
    ],
    "target-logql-auto-rule": [
        (
            asks('rate({job="[a]"}[5m])', 'rate({job="[a]"}[$__auto])', datasource=LOKI),
            "Stops A its range is not $__auto",
        ),
    ],
    "target-rate-interval-rule": [
        (asks("rate(up[5m])"), "Stops A rate of up is over 300 s, not over $__rate_interval"),
        (
            asks("irate(up[$__interval])"),
            "Stops A irate of up is over 1013 s, not over $__rate_interval",
        ),
        (
            asks("rate(up[$__range])"),
            "Stops A rate of up is over 86413 s, not over $__rate_interval",
        ),
        (
            asks("sum(increase(up[1d]))"),
            "Stops A increase of up is over 86400 s, not over $__rate_interval",
        ),
    ],
    "target-job-rule": [
        (asks('up{instance=~"$instance"}'), 'Stops A up has no job=~"$job"'),
        (asks('up{job="$job"}'), 'Stops A up has no job=~"$job"'),
        (asks('up{job=~"a"}'), 'Stops A up has no job=~"$job"'),
        (asks('up{job=~"$job"} + up'), 'Stops A up has no job=~"$job"'),
    ],
    "target-instance-rule": [
        (asks('up{job=~"$job"}'), 'Stops A up has no instance=~"$instance"'),
    ],
    "target-counter-agg-rule": [
        (asks("a_total"), "Stops A counter a_total is not in rate, irate or increase"),
        (asks('a_total{b="c"}'), "Stops A counter a_total is not in rate, irate or increase"),
        (
            asks("max_over_time(a_total[1h])"),
            "Stops A counter a_total is not in rate, irate or increase",
        ),
        (
            asks("rate(sum(a_total)[1h:])"),
            "Stops A counter a_total is not in rate, irate or increase",
        ),
    ],
    "uneditable-dashboard": [
        (board(editable=True), "it can be edited"),
        (board(editable=None), "it can be edited"),
    ],
}

FOLDED: Final = {"type": "row", "title": "More", "collapsed": True, "panels": [PANEL]}
TEXT: Final = {"type": "text", "title": "", "options": {"content": "Hello"}}

GOOD: Final = {
    "template-datasource-rule": [board(datasource(), variable("vm"))],
    "template-job-rule": [board(datasource(), variable("job", datasource="$datasource"))],
    "template-instance-rule": [board(datasource(), INSTANCE)],
    "template-label-promql-rule": [
        board(datasource(), variable("vm", query=query))
        for query in (
            "label_values(vm)",
            'label_values(qemu_up{job=~"$job", instance=~"$instance"}, vm)',
            "query_result(max by (vm) (max_over_time(qemu_up[$__range])))",
            "metrics(qemu_.+)",
            "label_names()",
            {"qryType": 1, "query": "label_values(qemu_up, vm)", "refId": "A"},
        )
    ],
    "template-on-time-change-reload-rule": [board(datasource(), variable("a", type="custom"))],
    "panel-datasource-rule": [
        panel(datasource="$datasource"),
        board(panels=[FOLDED, TEXT]),
        asks("up", datasource=None),
    ],
    "panel-title-description-rule": [board(panels=[FOLDED, TEXT])],
    "panel-units-rule": [
        shows({"unit": "none"}),
        shows({}, {"id": "unit", "value": "s"}, kind="table"),
        shows({"mappings": [{"type": "value", "options": {}}]}),
        shows({}, {"id": "mappings", "value": [{"type": "value"}]}),
        shows({}, kind="stat", options={"reduceOptions": {"fields": "/.*/"}}),
        shows({}, kind="state-timeline"),
        board(panels=[FOLDED, TEXT]),
    ],
    "panel-no-targets-rule": [board(panels=[FOLDED, TEXT])],
    "target-promql-rule": [
        asks("rate(up[$__rate_interval])"),
        board(datasource(), MOST, panels=asks("topk($most, up)")["panels"]),
        board(panels=[PANEL, {**PANEL, "id": 2, "targets": [{"refId": "A", "panelId": 1}]}]),
        asks('{job="a"} |= "b"', datasource=LOKI),
    ],
    "target-logql-rule": [asks("up")],
    "target-logql-auto-rule": [asks('rate({job="[a]"}[$__auto])', datasource=LOKI)],
    "target-rate-interval-rule": [
        asks("rate(up[$__rate_interval])", "increase(up[${__rate_interval}])"),
        asks("increase(up[$__range])", "max_over_time(up[5m])", "rate(up[[[__rate_interval]]])"),
    ],
    "target-job-rule": [asks('up{job=~"$job"} + on () up{job=~"$job", job!="a"}')],
    "target-instance-rule": [asks('up{instance=~"$instance"}')],
    "target-counter-agg-rule": [
        asks("rate(a_total[5m])", 'sum(irate(a_total{b="c"}[5m]))', "increase(a_total[5m])"),
        asks("a_totals", "qemu_up"),
    ],
    "uneditable-dashboard": [board(editable=False)],
}


@pytest.mark.parametrize(
    ("rule", "model", "wanted"),
    [(rule, model, wanted) for rule, pairs in BAD.items() for model, wanted in pairs],
)
def test_a_rule_finds_what_is_wrong(rule: str, model: Json, wanted: str) -> None:
    """It says where, and what."""
    assert wanted in found(rule, model)


@pytest.mark.parametrize(
    ("rule", "model"), [(rule, model) for rule, models in GOOD.items() for model in models]
)
def test_a_rule_lets_pass_what_is_right(rule: str, model: Json) -> None:
    """It finds nothing."""
    assert found(rule, model) == []


def test_every_rule_is_shown_both() -> None:
    """No rule is without something that it finds, and something that it lets pass."""
    assert BAD.keys() == GOOD.keys() == lint.RULES.keys()


def test_a_query_that_is_no_promql_is_told_once() -> None:
    """The other rules say nothing of it."""
    wanted = ["target-promql-rule"]
    assert [rule for rule in lint.RULES if found(rule, asks("rate(up"))] == wanted


@pytest.mark.parametrize(
    "value",
    [
        {"current": {"value": "5"}},
        {"current": {"value": ["5", "10"]}},
        {"current": {"value": "$__all"}, "options": [{"value": "5"}]},
        {"query": "5,10"},
    ],
)
def test_variables_with_a_value_have_it_in_queries(value: Json) -> None:
    """The one that is chosen, else the first that can be."""
    most = {"name": "most", "type": "custom", **value}
    model = board(datasource(), most, panels=asks("topk($most, rate(up[${most}m]))")["panels"])
    wanted = ["Stops A rate of up is over 300 s, not over $__rate_interval"]
    assert found("target-promql-rule", model) == []
    assert found("target-rate-interval-rule", model) == wanted


def test_panels_in_folded_rows_are_looked_at() -> None:
    """A row that is folded hides nothing from the rules, nor does the old kind of row."""
    folded = {**FOLDED, "panels": [{**PANEL, "description": ""}]}
    wanted = ["Stops it has no description"]
    assert found("panel-title-description-rule", board(panels=[folded])) == wanted
    assert found("panel-title-description-rule", board(panels=[], rows=[folded])) == wanted


REASONED: Final = """
exclusions:
  target-rate-interval-rule:
    reason: the last day is meant
    entries:
    - {dashboard: QEMU, panel: Stops, refId: B}
    - {dashboard: QEMU, panel: Reboots, reason: so is the last hour}
  uneditable-dashboard:
    entries:
    - {dashboard: QEMU}
"""


def test_exceptions_are_read_as_the_linter_writes_them() -> None:
    """The reason may stand at the rule or at the entry."""
    rate = "target-rate-interval-rule"
    assert exclusions(REASONED) == [
        Exclusion(rate, "QEMU", "Stops", "B", "the last day is meant"),
        Exclusion(rate, "QEMU", "Reboots", "", "so is the last hour"),
        Exclusion("uneditable-dashboard", "QEMU", "", "", ""),
    ]
    assert exclusions("") == exclusions("exclusions: {}") == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("warnings: {}", "unknown: warnings"),
        ("exclusions: {foo-rule: {reason: a}}", "no rule foo-rule"),
        ("exclusions: {target-job-rule: {why: a}}", "unknown: why"),
        ("exclusions: {target-job-rule: {entries: [{target: 1}]}}", "unknown: target"),
    ],
)
def test_exceptions_with_slips_are_refused(text: str, wanted: str) -> None:
    """A slip would excuse more than is meant, or nothing."""
    with pytest.raises(ValueError, match=wanted):
        exclusions(text)


def test_an_exception_excuses_one_thing() -> None:
    """Of another dashboard, panel, query or rule it excuses nothing."""
    model = asks("rate(up[1d])", "rate(up[1h])")
    findings = list(lint.RULES["target-rate-interval-rule"](model))
    queries = [finding.query for finding in unexcused(findings, exclusions(REASONED))]
    assert queries == ["A"]
    elsewhere = [{**PANEL, "title": "Reboots", "targets": model["panels"][0]["targets"]}]
    findings = list(lint.RULES["target-rate-interval-rule"](board(panels=elsewhere)))
    assert unexcused(findings, exclusions(REASONED)) == []
    other = board(panels=elsewhere, title="Other")
    findings = list(lint.RULES["target-rate-interval-rule"](other))
    assert unexcused(findings, exclusions(REASONED)) == findings
    assert len(findings) == 2
