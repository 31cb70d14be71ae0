"""PromQL as it stands in dashboards and rules: Grafana's variables, the tree, the selectors.

Sources: Grafana documentation, "Global variables" and "Variable syntax"; Prometheus documentation,
"Querying basics"; for what is parsed, the package promql-parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)


if TYPE_CHECKING:
    from collections.abc import Iterator


RATE_INTERVAL: Final = 4013.0
"""Seconds that stand for ``$__rate_interval``: a number that nobody would write."""

INTERVAL: Final = 1013.0
"""Seconds that stand for ``$__interval``."""

RANGE: Final = 86413.0
"""Seconds that stand for ``$__range``, and the number for ``$__range_s``."""

GLOBALS: Final = {
    "__rate_interval": f"{RATE_INTERVAL:.0f}s",
    "__rate_interval_ms": f"{RATE_INTERVAL * 1000:.0f}",
    "__interval": f"{INTERVAL:.0f}s",
    "__interval_ms": f"{INTERVAL * 1000:.0f}",
    "__range": f"{RANGE:.0f}s",
    "__range_s": f"{RANGE:.0f}",
    "__range_ms": f"{RANGE * 1000:.0f}",
    "__from": "1700000000000",
    "__to": "1700086413000",
    "__org": "1",
    "__user.id": "1",
}
"""What the variables that Grafana itself sets are replaced by, unless told otherwise."""

_PART: Final = re.compile(
    r"""(?P<quoted> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*` )
      | (?P<comment> \#[^\n]* )
      | [^"'`\#]+ | .""",
    re.VERBOSE | re.DOTALL,
)
_VARIABLE: Final = re.compile(
    r"""\$(?P<plain>\w+)
      | \$\{ (?P<braces> \w+ (?:\.\w+)* ) (?: :[^}]* )? \}
      | \[\[ (?P<brackets> \w+ (?:\.\w+)* ) (?: :[^]]* )? \]\]""",
    re.VERBOSE,
)
_OPERATORS: Final = (
    (promql_parser.MatchOp.Equal, "="),
    (promql_parser.MatchOp.NotEqual, "!="),
    (promql_parser.MatchOp.Re, "=~"),
    (promql_parser.MatchOp.NotRe, "!~"),
)


@dataclass(frozen=True)
class Matcher:
    """A label matcher.

    Attributes:
        name: the label's name.
        op: ``=``, ``!=``, ``=~`` or ``!~``.
        value: as it is written; a variable of Grafana stays what it is.
    """

    name: str
    op: str
    value: str


@dataclass(frozen=True)
class Selector:
    """A selector of an expression.

    Attributes:
        metric: the metric's name; empty where a matcher of ``__name__`` stands for it.
        matchers: those of labels, as they are written.
        range: seconds of a range vector, else None.
        calls: the functions and aggregations around it, the innermost first.
    """

    metric: str
    matchers: tuple[Matcher, ...]
    range: float | None
    calls: tuple[str, ...]


def substitute(expr: str, /, **variables: str) -> str:
    """Replace Grafana's variables, so that what comes of it can be parsed.

    Those that are given are replaced everywhere. Others are replaced outside of strings only:
    those that Grafana sets by ``GLOBALS``, the rest by their names; and a matcher ``job=~"$job"``
    stays as it is, as does the ``$1`` of ``label_replace``.

    Args:
        expr: PromQL with ``$x``, ``${x}``, ``${x:format}`` or ``[[x]]`` in it.
        **variables: texts to put for variables, by name.
    """

    def value(found: re.Match[str], *, quoted: bool) -> str:
        name = found["plain"] or found["braces"] or found["brackets"]
        if name in variables:
            return variables[name]
        known = "10s" if name.startswith("__auto_interval") else GLOBALS.get(name, name)
        return found[0] if quoted else known

    def part(found: re.Match[str]) -> str:
        if found["comment"]:
            return found[0]
        quoted = bool(found["quoted"])
        return _VARIABLE.sub(lambda variable: value(variable, quoted=quoted), found[0])

    return _PART.sub(part, expr)


@lru_cache(maxsize=4096)
def parse(expr: str) -> Expr:
    """Return the tree of an expression; variables are substituted first.

    Raises:
        ValueError: it is no PromQL.
    """
    tree = promql_parser.parse(substitute(expr))
    for node, _ in walk(tree):
        if isinstance(node, VectorSelector) and node.matchers.or_matchers:
            raise ValueError("Prometheus has no 'or' between matchers")
    return tree


def children(node: Expr) -> Iterator[Expr]:
    """Yield the expressions right below a node, in the order in which they are written."""
    if isinstance(node, AggregateExpr):
        if isinstance(node.param, Expr):
            yield node.param
        yield node.expr
    elif isinstance(node, BinaryExpr):
        yield node.lhs
        yield node.rhs
    elif isinstance(node, Call):
        yield from node.args
    elif isinstance(node, MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, (ParenExpr, SubqueryExpr, UnaryExpr)):
        yield node.expr


def walk(node: Expr, parents: tuple[Expr, ...] = ()) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """Yield every node of a tree and the nodes above it, the root first, before those below it."""
    yield node, parents
    for child in children(node):
        yield from walk(child, (*parents, node))


def matchers(node: VectorSelector) -> tuple[Matcher, ...]:
    """Return the matchers of a selector, those of ``__name__`` too if they stand in braces."""
    return tuple(
        Matcher(found.name, next(sign for op, sign in _OPERATORS if op == found.op), found.value)
        for found in node.matchers.matchers
    )


def called(node: Expr) -> str:
    """Return the name of the function or the aggregation of a node; empty if it is none."""
    if isinstance(node, Call):
        return node.func.name
    return str(node.op) if isinstance(node, AggregateExpr) else ""


def selectors(expr: str) -> list[Selector]:
    """Return the selectors of an expression, in the order in which they are written.

    Raises:
        ValueError: it is no PromQL.
    """
    found = []
    for node, parents in walk(parse(expr)):
        if isinstance(node, VectorSelector):
            names = [one.value for one in matchers(node) if (one.name, one.op) == ("__name__", "=")]
            ranges = [
                above.range.total_seconds()
                for above in parents[-1:]
                if isinstance(above, MatrixSelector)
            ]
            found.append(
                Selector(
                    node.name or next(iter(names), ""),
                    tuple(one for one in matchers(node) if one.name != "__name__"),
                    next(iter(ranges), None),
                    tuple(filter(None, map(called, reversed(parents)))),
                )
            )
    return found
