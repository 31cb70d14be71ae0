"""Reads an expression: which series it names, with which labels, and which labels come of it.

Source: Prometheus documentation, "Querying basics", "Operators" and "Functions".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    UnaryExpr,
    ValueType,
    VectorMatchCardinality,
    VectorSelector,
)

from boards.promql import Matcher, children, matchers, parse, walk
from boards.series import either, without


if TYPE_CHECKING:
    from collections.abc import Iterable

    from boards.series import Labels


@dataclass
class Known:
    """What an expression may name.

    Attributes:
        series: names and labels of all series.
        broken: names that are recorded by a rule which breaks, and why it does.
    """

    series: dict[str, Labels]
    broken: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Reading:
    """What is found in one expression.

    Attributes:
        known: what it may name.
        problems: what it names that there is not, without doubles.
    """

    known: Known
    problems: dict[str, None] = field(default_factory=dict)

    def say(self, problem: str) -> None:
        """Note a problem."""
        self.problems[problem] = None

    def expression(self, expr: str) -> Labels | None:
        """Return the labels of the result; None if they cannot be told, as something is wrong."""
        try:
            return self.labels(parse(expr))
        except ValueError as error:
            self.say(f"{expr!r}: {error}")
            return None

    def labels(self, node: Expr) -> Labels | None:
        """Return the labels of the result of a node."""
        if isinstance(node, VectorSelector):
            return self._selected(node)
        if isinstance(node, AggregateExpr):
            return self._aggregated(node)
        if isinstance(node, BinaryExpr):
            return self._joined(node)
        if isinstance(node, Call):
            return self._called(node)
        return next(map(self.labels, children(node)), {})

    def _selected(self, node: VectorSelector) -> Labels | None:
        found = matchers(node)
        names = [one for one in found if one.name == "__name__"]
        wanted = [Matcher("__name__", "=", node.name)] if node.name else names
        chosen = [name for name in self.known.series if all(fits(m, name) for m in wanted)]
        metric = node.name or ", ".join(one.value for one in names)
        if not chosen:
            self.say(f"no metric {metric}")
            return None
        for name in chosen:
            for problem in self.known.broken.get(name, ()):
                self.say(f"{problem}, of which {name} is recorded")
        if any(name in self.known.broken for name in chosen):
            return None
        labels = either(self.known.series[name] for name in chosen)
        for one in found:
            if one.name != "__name__":
                self._matched(metric, labels, one)
        return labels

    def _matched(self, metric: str, labels: Labels, one: Matcher) -> None:
        if one.name not in labels:
            self.say(f"{metric} has no label {one.name}")
            return
        values = labels[one.name]
        texts = alternatives(one.value) if "~" in one.op else [one.value]
        for text in texts:
            if values is None or "$" in text or (not text and "!" in one.op):
                continue
            same = Matcher(one.name, "=~" if "~" in one.op else "=", text)
            if not any(fits(same, value) for value in values):
                self.say(f'{metric}: {one.name} is never "{text}"')

    def _aggregated(self, node: AggregateExpr) -> Labels | None:
        if isinstance(node.param, Expr):
            self.labels(node.param)
        inner = self.labels(node.expr)
        operator, modifier = str(node.op), node.modifier
        names = modifier.labels if modifier is not None else []
        by = modifier is None or modifier.type == AggModifierType.By
        self._has(inner, names, f"{operator} {'by' if by else 'without'}")
        if operator in ("topk", "bottomk", "limitk", "limit_ratio") or inner is None:
            return inner
        kept = {name: inner.get(name) for name in names} if by else without(inner, names)
        if operator == "count_values" and isinstance(node.param, StringLiteral):
            kept[node.param.val] = None
        return kept

    def _joined(self, node: BinaryExpr) -> Labels | None:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        if is_scalar(node.lhs) or is_scalar(node.rhs):
            return right if is_scalar(node.lhs) else left
        operator, modifier = str(node.op), node.modifier
        matching = modifier.matching if modifier is not None else None
        names = matching.labels if matching is not None else []
        on = matching is not None and matching.type == LabelModifierType.Include
        if on:
            self._has(left, names, f"left of {operator} on")
            self._has(right, names, f"right of {operator} on")
        elif left is not None and right is not None:
            self._has(left | right, names, f"{operator} ignoring")
        if operator in ("and", "unless"):
            return left
        if left is None or right is None:
            return None
        if operator == "or":
            return either((left, right))
        if modifier is None or modifier.card == VectorMatchCardinality.OneToOne:
            return {name: left.get(name) for name in names} if on else without(left, names)
        to_left = modifier.card == VectorMatchCardinality.ManyToOne
        many, one = (left, right) if to_left else (right, left)
        taken = modifier.group_labels or []
        self._has(one, taken, f"{operator} group_{'left' if to_left else 'right'}")
        return many | {name: one.get(name) for name in taken}

    def _called(self, node: Call) -> Labels | None:
        name = node.func.name
        inner = [self.labels(argument) for argument in node.args if not is_scalar(argument)]
        if name in ("absent", "absent_over_time"):
            return _of_absent(node)
        found = inner[0] if inner else {}
        if found is None or is_scalar(node):
            return None if found is None else {}
        texts = [argument.val for argument in node.args if isinstance(argument, StringLiteral)]
        if name in ("label_replace", "label_join"):
            self._has(found, texts[2:3] if name == "label_replace" else texts[2:], name)
            return {**found, texts[0]: None}
        if name == "histogram_quantile":
            self._has(found, ["le"], name)
            return without(found, ["le"])
        if name in ("sort_by_label", "sort_by_label_desc"):
            self._has(found, texts, name)
        return found

    def _has(self, labels: Labels | None, names: Iterable[str], where: str) -> None:
        for name in names:
            if labels is not None and name not in labels:
                self.say(f"{where} ({name}): there is no label {name}")


def is_scalar(node: Expr) -> bool:
    """Tell whether the result of a node is a number or a text, and no series."""
    if isinstance(node, (NumberLiteral, StringLiteral)):
        return True
    if isinstance(node, Call):
        return bool(node.func.return_type == ValueType.Scalar)
    if isinstance(node, (BinaryExpr, ParenExpr, UnaryExpr)):
        return all(map(is_scalar, children(node)))
    return False


def alternatives(regex: str) -> list[str]:
    """Return the parts of a regular expression that stand between its outermost ``|``."""
    parts, depth, begin, place = [], 0, 0, 0
    while place < len(regex):
        char = regex[place]
        if char == "[":  # a class: brackets and bars in it are letters
            place = max(place, regex.find("]", place + 2))
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "|" and depth == 0:
            parts.append(regex[begin:place])
            begin = place + 1
        place += 2 if char == "\\" else 1
    parts.append(regex[begin:])
    if len(parts) == 1 and re.fullmatch(r"\([^()]*\)", regex):
        return alternatives(regex[1:-1].removeprefix("?:"))
    return parts


def fits(one: Matcher, text: str) -> bool:
    """Tell whether a matcher matches a text."""
    if "~" in one.op:
        return (re.fullmatch(one.value, text) is not None) == (one.op == "=~")
    return (one.value == text) == (one.op == "=")


def _of_absent(node: Call) -> Labels:
    """Return the labels of the one series that tells that there is none."""
    selectors = (found for found, _ in walk(node) if isinstance(found, VectorSelector))
    found = (one for selector in selectors for one in matchers(selector) if one.op == "=")
    return {one.name: None for one in found if one.name != "__name__"}
