"""What is under way in a VM, as spans, and the facts of which a tracer makes them.

``underway.follow`` says what a step means for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from qmp_exporter.catalog.operations import ACTIVITY, INCOMPLETE, SEGMENT
from qmp_exporter.catalog.spec import Operation, Tells


if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Ask
    from qmp_exporter.model.vm import VM


MAX_EVENTS: Final = 100
"""Events noted on one span; the SDK keeps 128 and drops the oldest."""

MAX_AGE: Final = 600.0
"""Seconds after which an operation goes on in another span: one is seen only once it has ended."""

MAX_ACTIVITY: Final = 30.0
"""Seconds after which the next events are on another span of their own."""

AWAITED: Final = 10.0
"""Seconds that an operation which has ended waits for what may still be told of it."""

MAX_CLOSING: Final = 8
"""Operations of one VM that wait like that; with more, the oldest waits no longer."""

CAUSED_WITHIN: Final = 1.0
"""Seconds, by QEMU's stamps, between an event and what follows from it."""

Value: TypeAlias = str | int | float | bool


class Fact(msgspec.Struct, frozen=True, gc=False):
    """Base of the facts; ``id`` is that of a span."""

    id: int


class Began(Fact, frozen=True):
    """A span began.

    Attributes:
        name: of its operation.
        time: Unix seconds.
        parent: of which it is part; none for the root of a trace.
        cause: the span on which the event is that caused it, if one did.
        previous: the span that it goes on from, if there is one.
        attributes: what is known of it.
        error: its ``error.type`` if it is known to have failed.
    """

    name: str
    time: float
    parent: int | None
    cause: int | None
    previous: int | None
    attributes: Mapping[str, Value]
    error: str


class Noted(Fact, frozen=True):
    """The event that was followed is on this span.

    Attributes:
        cause: the name of the event that it follows from; empty if there is none.
    """

    cause: str


class Told(Fact, frozen=True):
    """More became known of a span; as with ``Began``."""

    attributes: Mapping[str, Value]
    error: str


class Ended(Fact, frozen=True):
    """A span ended, at ``time`` in Unix seconds."""

    time: float


class Crowded(Fact, frozen=True):
    """The event is of an operation that has no span, as there are too many; ``name`` is its own."""

    name: str


class Span(msgspec.Struct, frozen=True):
    """A span that is open.

    Attributes:
        id: tells it from all others of its VM.
        operation: what it shows.
        key: which one.
        root: the first span of the operation.
        began: Unix seconds of that one's begin.
        time: Unix seconds of its begin.
        last: Unix seconds of its last event, or of its begin.
        since: monotonic seconds at which it was begun.
        events: how many are on it.
        segment: which span of the operation it is, from 1.
        attributes: all that was told of it.
        error: its ``error.type``; empty while it did not fail.
    """

    id: int
    operation: Operation
    key: str
    root: int
    began: float
    time: float
    last: float
    since: float
    events: int = 0
    segment: int = 1
    attributes: Mapping[str, Value] = {}
    error: str = ""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """An event that another may follow from: its name, Unix seconds, and the span that it is on."""

    name: str
    time: float
    span: int


class Closing(msgspec.Struct, frozen=True):
    """A span whose operation has ended, at ``time``, and of which more may be told.

    Attributes:
        until: monotonic seconds to which that is waited for.
    """

    span: Span
    time: float
    until: float


Key: TypeAlias = tuple[str, str]
"""An operation by its name and key."""

THE_ACTIVITY: Final[Key] = (ACTIVITY.name, "")


class Underway(msgspec.Struct, frozen=True):
    """What is under way in a VM.

    Attributes:
        spans: those that are open.
        closing: those that only wait for more to be told of them.
        causes: events that others may follow from, by the names of those.
        activity: the last span of the activity, open or not.
        next: id of the next span.
        lost: Unix seconds at which the connection was lost last.
    """

    spans: Mapping[Key, Span] = {}
    closing: tuple[Closing, ...] = ()
    causes: Mapping[str, Cause] = {}
    activity: int | None = None
    next: int = 1
    lost: float = float("-inf")

    @property
    def remembered(self) -> frozenset[int]:
        """Spans that another may still name as its parent, its cause or the one before it."""
        roots = {span.root for span in self.spans.values()}
        causes = {cause.span for cause in self.causes.values()}
        found = {span.id for span in self.spans.values()} | roots | causes
        found |= {closing.span.id for closing in self.closing}
        return frozenset(found if self.activity is None else {*found, self.activity})


class Draft:
    """What is under way, while a step is made of it, and the facts so far.

    Args:
        known: what was under way.
        now: monotonic seconds.
        vm: the VM after the step, for what may begin.

    Attributes:
        spans: those that are open.
        cause: what the event of the step follows from, if it is one and does.
        lost: Unix seconds at which the connection was lost last.
    """

    def __init__(self, known: Underway, now: float, vm: VM | None = None) -> None:
        self._now = now
        self._vm = vm
        self._facts: list[Fact] = []
        self._closing = known.closing
        self._causes = known.causes
        self._activity = known.activity
        self._next = known.next
        self.spans: Mapping[Key, Span] = known.spans
        self.cause: Cause | None = None
        self.lost = known.lost

    def closed(self, asked: frozenset[Ask] | None) -> tuple[Underway, tuple[Fact, ...]]:
        """Return what is under way now, and the facts.

        Args:
            asked: the commands whose replies are still to come; none if only the time counts.
        """
        left = []
        crowd = len(self._closing) - MAX_CLOSING
        for place, one in enumerate(self._closing):
            awaited = asked is None or one.span.operation.awaits in asked
            if awaited and self._now < one.until and place >= crowd:
                left.append(one)
            else:
                self._facts.append(Ended(one.span.id, one.time))
        known = Underway(
            self.spans, tuple(left), self._causes, self._activity, self._next, self.lost
        )
        return known, tuple(self._facts)

    def explain(self, event: Event) -> None:
        """Find what an event follows from; nothing else follows from that then."""
        cause = self._causes.get(event.name)
        if cause is not None and 0.0 <= event.time - cause.time <= CAUSED_WITHIN:
            self._causes = {name: c for name, c in self._causes.items() if name != event.name}
            self.cause = cause

    def parent(self, operation: Operation) -> Span | None:
        """Return the span of which one of ``operation`` is part, if there is one."""
        whole = operation.within
        if whole is None or self._vm is None or not operation.belongs(self._vm):
            return None
        return self.spans.get((whole.name, ""))

    def begin(self, operation: Operation, key: str, time: float, *, caused: bool = False) -> None:
        """Begin a span.

        Args:
            operation: what it shows.
            key: which one.
            time: Unix seconds.
            caused: whether the event of the step begins it, so that their cause is the same.
        """
        whole = self.parent(operation)
        parent = None
        if whole is not None:
            parent = whole.id if time >= whole.time else whole.root
        cause = self.cause if caused else None
        previous = self._activity if operation is ACTIVITY else None
        span = Span(self._next, operation, key, self._next, time, time, time, self._now)
        if operation is ACTIVITY:
            self._activity = span.id
        self._open(span, parent, cause.span if cause else None, previous)

    def crowd(self, operation: Operation) -> None:
        """Say that an operation has no span."""
        self._facts.append(Crowded(0, operation.name))

    def note(self, key: Key, event: Event) -> None:
        """Put an event on a span that is open, or on that of the activity."""
        span = self.spans.get(key)
        if span is not None and span.events >= MAX_EVENTS:
            if key == THE_ACTIVITY:
                self.end(key, span.last)
            else:
                self.go_on(key, event.time)
        if key not in self.spans:
            self.begin(ACTIVITY, "", event.time)
        span = self.spans[key]
        last = max(span.last, event.time)
        self._put(msgspec.structs.replace(span, events=span.events + 1, last=last))
        self._facts.append(Noted(span.id, self.cause.name if self.cause else ""))
        for causes in event.spec.causes:
            if not causes.member or getattr(event.data, causes.member) in causes.values:
                found = Cause(event.spec.otel_name, event.time, span.id)
                self._causes = {**self._causes, causes.event: found}

    def tell(self, key: Key, attributes: Mapping[str, Value], error: str = "") -> None:
        """Tell more of a span that is open."""
        span = self.spans[key]
        self._put(self._told(span, attributes, error))

    def tell_of(self, key: Key, tells: Tells, source: object, *, late: bool = False) -> None:
        """Tell what a change, a reply or an event does.

        Args:
            key: of what it tells; of one that just ended and was not told, if there is none open.
            tells: what it tells.
            source: the change, reply or payload.
            late: whether it tells only of what has ended.
        """
        found = {name: getattr(source, member) for name, member in tells.members.items()}
        attributes = {name: value for name, value in found.items() if value is not None}
        first = next(iter(found.values()), None)
        error = tells.error or tells.failures.get(str(first), "")
        if key in self.spans and not late:
            self.tell(key, attributes, error)
            return
        mine = [one for one in self._closing if one.span.operation is tells.operation]
        if mine and not attributes.keys() & mine[-1].span.attributes.keys():
            told = self._told(mine[-1].span, attributes, error)
            closing = msgspec.structs.replace(mine[-1], span=told)
            self._closing = tuple(closing if c is mine[-1] else c for c in self._closing)

    def end(self, key: Key, time: float, *, incomplete: bool = False) -> None:
        """End an operation; ``incomplete`` if that was not seen."""
        span = self.spans[key]
        if incomplete:
            span = self._told(span, {INCOMPLETE: True}, "")
        if span.segment > 1:
            span = self._told(span, {SEGMENT: span.segment}, "")
        self._drop(key)
        closing = Closing(span, max(time, span.time), self._now + AWAITED)
        if span.operation.awaits is None or incomplete:
            self._facts.append(Ended(span.id, closing.time))
        else:
            self._closing = (*self._closing, closing)

    def go_on(self, key: Key, time: float) -> None:
        """Let an operation go on in another span."""
        span = self._told(self.spans[key], {SEGMENT: self.spans[key].segment}, "")
        time = max(time, span.time)
        self._facts.append(Ended(span.id, time))
        new = msgspec.structs.replace(
            span,
            id=self._next,
            time=time,
            last=time,
            since=self._now,
            events=0,
            segment=span.segment + 1,
            attributes={k: v for k, v in span.attributes.items() if k != SEGMENT},
        )
        self._open(new, span.root, None, span.id)

    def _open(
        self, span: Span, parent: int | None, cause: int | None, previous: int | None
    ) -> None:
        self._next += 1
        self._put(span)
        name, attributes = span.operation.name, span.attributes
        self._facts.append(
            Began(span.id, name, span.time, parent, cause, previous, attributes, span.error)
        )

    def _told(self, span: Span, attributes: Mapping[str, Value], error: str) -> Span:
        """Return a span of which more is known; an error stays the first one."""
        error = span.error or error
        self._facts.append(Told(span.id, attributes, error))
        told = {**span.attributes, **attributes}
        return msgspec.structs.replace(span, attributes=told, error=error)

    def _put(self, span: Span) -> None:
        self.spans = {**self.spans, (span.operation.name, span.key): span}

    def _drop(self, key: Key) -> None:
        self.spans = {k: span for k, span in self.spans.items() if k != key}
