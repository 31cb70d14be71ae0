"""The reader of PromQL that the tests of dashboards and alerts share."""

from __future__ import annotations

import pytest
from promql_parser import Call, MatrixSelector, VectorSelector

from boards.promql import (
    RANGE,
    RATE_INTERVAL,
    Matcher,
    Selector,
    parse,
    selectors,
    substitute,
    walk,
)


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ("rate(x[$__rate_interval])", "rate(x[4013s])"),
        ("rate(x[${__rate_interval}])", "rate(x[4013s])"),
        ("rate(x[[[__rate_interval]]])", "rate(x[4013s])"),
        ("x / $__range_s", "x / 86413"),
        ("x[$__auto_interval_step]", "x[10s]"),
        ("sum by ($label) (x)", "sum by (label) (x)"),
        ('x{vm=~"$vm"}', 'x{vm=~"$vm"}'),
        ("x{vm=~'$vm', a=`$b`}", "x{vm=~'$vm', a=`$b`}"),
        ('label_replace(x, "a", "$1", "b", "(.*)")', 'label_replace(x, "a", "$1", "b", "(.*)")'),
        ('x{a="\\"$b"} + $c', 'x{a="\\"$b"} + c'),
        ("x # $vm's\n+ $vm", "x # $vm's\n+ vm"),
    ],
)
def test_variables_of_grafana_are_replaced(expr: str, wanted: str) -> None:
    """Outside of strings all are; in strings they stay, as do the groups of regular expressions."""
    assert substitute(expr) == wanted


def test_given_variables_are_replaced_everywhere() -> None:
    """In strings, too, in each of Grafana's ways to write them; and Grafana's own can be given."""
    expr = 'rate(x{a="$vm", b=~"${vm:regex}", c="[[vm]]", d="$other"}[$__rate_interval])'
    wanted = 'rate(x{a="web01", b=~"web01", c="web01", d="$other"}[1m])'
    assert substitute(expr, vm="web01", __rate_interval="1m") == wanted


def test_a_variable_may_be_called_like_a_parameter() -> None:
    """The expression itself is given by place."""
    assert substitute("$expr", expr="up") == "up"


@pytest.mark.parametrize(
    "expr", ["", "sum(", "rate(x)", "foo(x)", 'x{a=~"("}', 'x{a="1" or b="2"}', "topk(n, x)"]
)
def test_what_is_no_promql_is_refused(expr: str) -> None:
    """So is what the parser alone would take, and Prometheus would not."""
    with pytest.raises(ValueError, match=r".+"):
        parse(expr)


def test_a_tree_is_walked_from_the_root() -> None:
    """Each node comes with those above it, and none is left out."""
    found = [(type(node), len(above)) for node, above in walk(parse("rate(x[5m])"))]
    assert found == [(Call, 0), (MatrixSelector, 1), (VectorSelector, 2)]
    everything = "topk(scalar(n), -(a + on (b) c)) or max_over_time(rate(d[5m])[1h:1m])"
    names = [node.name for node, _ in walk(parse(everything)) if isinstance(node, VectorSelector)]
    assert names == ["n", "a", "c", "d"]


def test_selectors_are_found_with_what_is_around_them() -> None:
    """Names, matchers, ranges, and the functions and aggregations, the innermost first."""
    expr = 'sum by (vm) (rate(x_total{job=~"$job", a!="b", c!~"d"}[$__rate_interval])) / y'
    of_x = (Matcher("job", "=~", "$job"), Matcher("a", "!=", "b"), Matcher("c", "!~", "d"))
    assert selectors(expr) == [
        Selector("x_total", of_x, RATE_INTERVAL, ("rate", "sum")),
        Selector("y", (), None, ()),
    ]


def test_a_range_is_that_of_the_selector_itself() -> None:
    """That of a subquery is not."""
    inner, outer = selectors("max_over_time(rate(x[5m])[$__range:]) + last_over_time(y[$__range])")
    assert (inner.range, inner.calls) == (300.0, ("rate", "max_over_time"))
    assert (outer.range, outer.calls) == (RANGE, ("last_over_time",))


@pytest.mark.parametrize("expr", ['{__name__="x", a="b"}', '{"x", a="b"}', 'x{a="b"}'])
def test_a_name_may_stand_in_braces(expr: str) -> None:
    """It is the metric's name all the same."""
    assert selectors(expr) == [Selector("x", (Matcher("a", "=", "b"),), None, ())]


def test_a_name_may_be_a_pattern() -> None:
    """Then the selector has none."""
    assert selectors('{__name__=~"qemu_.+"}') == [Selector("", (), None, ())]
