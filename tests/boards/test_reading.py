"""The check of names finds each kind of thing that there is not, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boards.board import Board
from boards.catalog import RuleFile, problems
from boards.reading import alternatives
from boards.series import series
from boards.tiny import asking, of_panel


if TYPE_CHECKING:
    from boards.board import Json


SERIES = series()


def broken(one: Board, *rules: Json) -> list[str]:
    """Return the problems, without the place, which is that of all of them."""
    found = problems(SERIES, [one], [RuleFile("rules.yaml", list(rules))])
    return [line.split('": ', 1)[1] for line in found]


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ("qemu_vm_stop_total", "no metric qemu_vm_stop_total"),
        ('{__name__=~"foo_.+"}', "no metric foo_.+"),
        ('qemu_vm_stops_total{reason="host"}', "qemu_vm_stops_total has no label reason"),
        ('qemu_vm_stops_total{cause="hosts"}', 'qemu_vm_stops_total: cause is never "hosts"'),
        ('qemu_vm_stops_total{cause!="hosts"}', 'qemu_vm_stops_total: cause is never "hosts"'),
        ('qemu_vm_status{status=~"run.+|foo-.+"}', 'qemu_vm_status: status is never "foo-.+"'),
        ('qemu_vm_status{status!~"foo|running"}', 'qemu_vm_status: status is never "foo"'),
        ('qemu_vm_status{status=~"(foo|running)"}', 'qemu_vm_status: status is never "foo"'),
        ('qemu_vm_status{status=""}', 'qemu_vm_status: status is never ""'),
        ("sum by (cause) (qemu_up)", "sum by (cause): there is no label cause"),
        ("sum without (cause) (qemu_up)", "sum without (cause): there is no label cause"),
        (
            "sum by (vm) (sum by (cause) (qemu_vm_stops_total))",
            "sum by (vm): there is no label vm",
        ),
        ("qemu_up * on (name) qemu_vm_info", "left of * on (name): there is no label name"),
        ("qemu_vm_info * on (name) qemu_up", "right of * on (name): there is no label name"),
        ("qemu_up and ignoring (foo) qemu_up", "and ignoring (foo): there is no label foo"),
        (
            "qemu_up * on (vm) group_left (nam) qemu_vm_info",
            "* group_left (nam): there is no label nam",
        ),
        (
            "qemu_vm_info * on (vm) group_right (nam) qemu_up",
            "* group_right (nam): there is no label nam",
        ),
        (
            'label_replace(qemu_up, "a", "$1", "b", "(.*)")',
            "label_replace (b): there is no label b",
        ),
        ('label_join(qemu_up, "a", "-", "vm", "b")', "label_join (b): there is no label b"),
        (
            "histogram_quantile(0.9, rate(qmp_exporter_event_delay_seconds_count[5m]))",
            "histogram_quantile (le): there is no label le",
        ),
        ("topk(scalar(foo), qemu_up)", "no metric foo"),
        ("max_over_time(rate(foo[5m])[1h:1m])", "no metric foo"),
        ("absent(foo)", "no metric foo"),
        ('sort_by_label(qemu_up, "foo")', "sort_by_label (foo): there is no label foo"),
        ('up{vm="a"}', "up has no label vm"),
        (
            'qmp_exporter_fleet_stops_total{vm="a"}',
            "qmp_exporter_fleet_stops_total has no label vm",
        ),
        ("rate(qemu_up)", "'rate(qemu_up)': expected type matrix in call to function 'rate'"),
    ],
)
def test_what_there_is_not_is_found(expr: str, wanted: str) -> None:
    """Whether it is a metric, a label or the value of a label, and wherever it is named."""
    (found,) = broken(asking(expr))
    assert found.startswith(wanted)


@pytest.mark.parametrize(
    "expr",
    [
        "1",
        "time() - process_start_time_seconds",
        'up{job=~"$job", instance=~"$instance"} == 0 or scrape_duration_seconds > 1',
        'sum by (vm, cause) (rate(qemu_vm_stops_total{vm=~"$vm", cause=~"$cause|host"}[5m]))',
        'qemu_vm_status{status=~"running|post.+", status!~"", status!="other"}',
        '{__name__=~"qemu_vm_(stops|exits)_total", cause="watchdog"}',
        "qemu_up * on (vm) group_left (name) qemu_vm_info",
        "topk by (vm) (3, qemu_vm_stops_total)",
        'count by (found) (count_values("found", qemu_up))',
        'sum by (short) (label_replace(qemu_up, "short", "$1", "vm", "(.*)"))',
        'sum by (job) (absent(up{job="a"}))',
        "sum by (vm) (vector(1) * on () group_right () qemu_up)",
        "sum by (vm, cause) (qemu_up or qemu_vm_stops_total)",
        "1 - qemu_up > bool 0",
        "sum by (vm) (-qemu_up / ignoring (cause) qemu_vm_stops_total)",
        "histogram_quantile(0.9, rate(qmp_exporter_event_delay_seconds_bucket[$__rate_interval]))",
        "python_info + process_resident_memory_bytes + python_gc_collections_total",
        'qemu_migration_status{status=~"postcopy-.+"} unless on (vm) qemu_up',
    ],
)
def test_what_there_is_passes(expr: str) -> None:
    """Nothing is said against it; a variable of Grafana may be any value."""
    assert broken(asking(expr)) == []


def test_a_legend_has_the_labels_of_its_query() -> None:
    """Those that its selectors have, and that are not summed away."""
    by_vm = "sum by (vm) (qemu_vm_stops_total)"
    assert broken(asking(by_vm, legend="{{ vm }} {{vm}}")) == []
    wanted = ["its legend has {{cause}}: there is no label cause"]
    assert broken(asking(by_vm, legend="{{vm}}, {{cause}}")) == wanted
    assert broken(asking("foo", legend="{{cause}}")) == ["no metric foo"]


def test_links_and_columns_have_the_labels_of_their_queries() -> None:
    """A link is of any query of the panel, and a column, too."""
    linked = {"defaults": {"links": [{"url": "/d/vm?var-vm=${__field.labels.vm}"}]}}
    assert broken(asking("sum(up)", "qemu_up", fieldConfig=linked)) == []
    assert broken(asking("up", fieldConfig=linked)) == ["it shows the label vm: there is none"]
    steps = [
        {"id": "filterFieldsByName", "options": {"include": {"names": ["vm", "Value #A"]}}},
        {"id": "organize", "options": {"renameByName": {"vm 1": "VM", "cause": "Cause"}}},
        {"id": "filterFieldsByName", "options": {"include": {"names": ["VM"]}}},
    ]
    joined = [{"id": "joinByField", "options": {"byField": "vm"}}, *steps]
    table = {"refId": "A", "expr": "qemu_up", "format": "table"}
    found = broken(of_panel({"targets": [table], "transformations": steps}))
    assert found == ["it shows the label cause: there is none"]
    assert broken(of_panel({"targets": [table], "transformations": joined})) == found
    assert broken(of_panel({"targets": [table], "transformations": [{"id": "limit"}]})) == []
    assert broken(of_panel({"targets": [{**table, "format": ""}], "transformations": steps})) == []


def test_a_panel_that_shows_another_s_data_is_left_alone() -> None:
    """Its labels are those of the other's queries."""
    linked = {"defaults": {"links": [{"url": "/d/vm?var-vm=${__field.labels.vm}"}]}}
    assert broken(of_panel({"targets": [{"panelId": 1}], "fieldConfig": linked})) == []


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("label_values(qemu_up, vm)", []),
        ("label_values(job)", []),
        ("metrics(qemu_.+)", []),
        ("query_result(sum by (vm) (qemu_up))", []),
        ("label_values(qemu_down, vm)", ["no metric qemu_down"]),
        ("label_values(qemu_up, cause)", ["there is no label cause"]),
        ('label_values(qemu_up{cause="a", vm="b"}, vm)', ["qemu_up has no label cause"]),
        ("metrics(foo_.+)", ["no metric foo_.+"]),
    ],
)
def test_queries_of_variables_are_read(query: str, wanted: list[str]) -> None:
    """The metric in them, and the label whose values they ask for."""
    variable = {"name": "vm", "type": "query", "query": {"query": query}}
    assert broken(Board("vm.json", {"templating": {"list": [variable]}})) == wanted


def test_annotations_are_read() -> None:
    """Their queries, and the labels in their texts and tags."""
    texts = {"titleFormat": "{{vm}} {{a}}", "textFormat": "{{b}}", "tagKeys": "job, c"}
    built_in = {"name": "Alerts", "builtIn": 1, "datasource": "-- Grafana --"}
    notes = [built_in, {"name": "Up", "expr": "qemu_up", **texts}]
    wanted = [f"its text has {{{{{name}}}}}: there is no label {name}" for name in "abc"]
    assert broken(Board("vm.json", {"annotations": {"list": notes}})) == wanted
    newer = [{"name": "Up", "target": {"expr": "foo"}}]
    assert broken(Board("vm.json", {"annotations": {"list": newer}})) == ["no metric foo"]


def test_alerts_and_what_they_leave_behind_are_read() -> None:
    """An alert's text has labels of its result, and ALERTS those of all alerts."""
    rules = [
        {"record": "vm:stops", "expr": "increase(qemu_vm_stops_total[5m])", "labels": {"a": "b"}},
        {
            "alert": "Stopped",
            "expr": 'sum by (vm) (vm:stops{cause="host", a="b"}) > 0',
            "labels": {"severity": "critical"},
            "annotations": {"summary": "{{ $labels.vm }}: {{ $labels.cause }}"},
        },
    ]
    wanted = ["its text has $labels.cause: there is no label cause"]
    assert broken(Board("vm.json", {}), *rules) == wanted
    fires = asking('ALERTS{alertname=~"Stop.+", alertstate="firing", severity="critical", vm="a"}')
    assert broken(fires, *rules) == wanted
    never = asking('ALERTS{alertname="Crashed", severity="warning"}')
    assert broken(never, *rules) == [
        *wanted,
        'ALERTS: alertname is never "Crashed"',
        'ALERTS: severity is never "warning"',
    ]


@pytest.mark.parametrize(
    ("regex", "wanted"),
    [
        ("a", ["a"]),
        ("a|b-.+", ["a", "b-.+"]),
        ("(a|b)", ["a", "b"]),
        ("(?:a|b)", ["a", "b"]),
        ("x(a|b)|c", ["x(a|b)", "c"]),
        (r"a\|b|[c|)]|[]|]d", [r"a\|b", "[c|)]", "[]|]d"]),
        ("", [""]),
    ],
)
def test_a_pattern_is_read_by_its_alternatives(regex: str, wanted: list[str]) -> None:
    """Each must be something that there is, not only one of them."""
    assert alternatives(regex) == wanted
