"""Spans as an outline that people can read and a test can compare with one that is written down.

::

    qemu.activity: BLOCK_IO_ERROR
        * qemu.block_io_error  qemu.action=stop, qemu.device=disk0, …
    qemu.stop: STOP to RESUME
        error.type=io-error, qemu.stop.cause=io-error
        cause -> qemu.activity
        * qemu.stop  qemu.cause=qemu.block_io_error
        * qemu.resume

A span that is not indented begins a trace; a child stands in its parent. After the name stands
from when to when it lasts, by the names of the QEMU events that have exactly these stamps. Below
are its attributes, its links and, with a star, its events with their attributes.

In what is written down ``…`` is any value, and at the end of a line any further attributes;
``(some QEMUs)`` and ``(each pass)`` are lines that need not be there, the latter may repeat.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

import msgspec


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from otlp_data import Attributes, Span, SpanEvent

ANY: Final = "…"
ONCE, OFTEN = "(some QEMUs)", "(each pass)"
STEP: Final = 4

Stamps = dict[tuple[str, int], str]
"""Names of QEMU's events, by the label of the VM and Unix nanoseconds."""


class Line(msgspec.Struct, frozen=True):
    """A line.

    Attributes:
        depth: how far it is indented, in steps.
        head: what stands before the attributes.
        attributes: as texts, by name.
        more: whether there may be others.
        remark: ``ONCE``, ``OFTEN`` or nothing.
    """

    depth: int
    head: str
    attributes: Mapping[str, str]
    more: bool = False
    remark: str = ""

    def fits(self, found: Line) -> bool:
        """Whether this one, which is written down, stands for one that was found."""
        same = (self.depth, self.head) == (found.depth, found.head)
        names = found.attributes.keys()
        there = self.attributes.keys() <= names if self.more else self.attributes.keys() == names
        return (
            same
            and there
            and all(
                value in {ANY, found.attributes[name]} for name, value in self.attributes.items()
            )
        )


def outline(spans: Sequence[Span], stamps: Stamps) -> str:
    """Return the outline of spans of one VM.

    Args:
        spans: all of them.
        stamps: when which event of QEMU was.
    """
    lines: list[str] = []

    def tell(span: Span, depth: int) -> None:
        def put(deeper: int, head: str, attributes: Attributes | None = None) -> None:
            told = ", ".join(f"{k}={_text(v)}" for k, v in sorted((attributes or {}).items()))
            line = "  ".join(part for part in (head, told) if part)
            lines.append(" " * STEP * (depth + deeper) + line)

        put(0, f"{span.name}: {_times(span, stamps)}")
        if span.attributes:
            put(1, "", span.attributes)
        for link in span.links:
            target = (
                s.name for s in spans if (s.trace_id, s.span_id) == (link.trace_id, link.span_id)
            )
            put(1, f"{link.attributes['qmp_exporter.link']} -> {next(target, '?')}")
        for event in span.events:
            put(1, f"* {event.name}", event.attributes)
        for child in inside(span.span_id):
            tell(child, depth + 1)

    def inside(parent: str) -> Iterable[Span]:
        return sorted((s for s in spans if s.parent_id == parent), key=lambda s: s.start)

    known = {span.span_id for span in spans}
    lost = [span.name for span in spans if span.parent_id and span.parent_id not in known]
    assert not lost, f"no parent: {lost}"
    for root in inside(""):
        tell(root, 0)
    return "\n".join(lines)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _times(span: Span, stamps: Stamps) -> str:
    """Return from when to when a span lasts."""
    begin = _stamp(span, span.start, span.events, stamps)
    end = _stamp(span, span.end, reversed(span.events), stamps)
    if span.name == "qmp.connect":
        begin, end = "the dial", "the state read" if span.status == "unset" else "the loss"
    elif not begin and span.attributes.get("qmp_exporter.resumed"):
        begin = "found"
    if "qemu.exit.cause" in span.attributes:
        end = end or "the end of QEMU"
    elif span.attributes.get("qmp_exporter.incomplete"):
        end = end or "out of sight"
    elif span.attributes.get("error.type") == "timeout":
        end = end or "the time-out"
    if begin and span.start == span.end:
        return begin
    return f"{begin or '?'} to {end or '?'}"


def _stamp(span: Span, time: int, events: Iterable[SpanEvent], stamps: Stamps) -> str:
    """Return the name of the event at a time: one of the span's own where there are several."""
    own = [e.name.removeprefix("qemu.").upper() for e in events if e.time == time]
    return own[0] if own else stamps.get((span.resource["qemu.vm"], time), "")


def parse(text: str) -> list[Line]:
    """Return the lines of an outline."""
    return [_parse(line) for line in text.splitlines() if line.strip()]


def _parse(line: str) -> Line:
    depth = (len(line) - len(line.lstrip())) // STEP
    body = line.strip()
    remark = next((one for one in (ONCE, OFTEN) if body.endswith(one)), "")
    body = body.removesuffix(remark).strip()
    # A value may have spaces and commas in it; what follows a comma and has a `=` is the next.
    head, _, told = body.partition("  ")
    if not told and re.match(r"[a-z_.]+=", head):
        head, told = "", head
    parts = re.split(r", (?=[a-z_.]+=|…$)", told) if told else []
    pairs = dict(part.split("=", 1) for part in parts if part != ANY)
    return Line(depth, head, pairs, ANY in parts, remark)


def compare(expected: str, found: str) -> None:
    """Fail unless an outline is as it is written down."""
    left = parse(found)
    fits = True
    for line in parse(expected):
        if line.remark == OFTEN:
            while left and line.fits(left[0]):
                left.pop(0)
        elif left and line.fits(left[0]):
            left.pop(0)
        elif line.remark != ONCE:
            fits = False
            break
    if not fits or left:
        lines = (text.strip("\n").splitlines() for text in (expected, found))
        raise AssertionError("\n".join(difflib.ndiff(*lines)))


def written(page: Path, heading: str) -> list[str]:
    """Return the outlines in a section of a page."""
    _, found, rest = page.read_text().partition(f"\n## {heading}\n")
    assert found, f"{page}: no section {heading!r}"
    section = rest.partition("\n## ")[0]
    return re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
