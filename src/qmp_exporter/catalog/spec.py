"""The shapes of catalog entries: what an event is, what a metric is.

Everything here is frozen data. The decoder, the metrics sink, the reference pages and the tests
derive what they need from it, so that one new event is one new entry.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qmp_exporter.model.changes import Change
    from qmp_exporter.model.inputs import Ask
    from qmp_exporter.model.vm import VM


Values: TypeAlias = tuple[str, ...]
"""Label values in the order of the metric's labels, without ``vm``."""


Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A QAPI int: 64 bits, so that no hostile number outgrows a sample."""


class Payload(msgspec.Struct, frozen=True, rename="kebab", gc=False):
    """Base of the ``data`` member of events: unknown members are ignored."""

    @property
    def failure(self) -> str:
        """What kind of failure the event tells of; empty if it tells of none."""
        return ""


class Severity(enum.IntEnum):
    """How bad an event is, in the numbers of OpenTelemetry's log data model."""

    INFO = 9
    WARN = 13
    ERROR = 17
    FATAL = 21


class Label(msgspec.Struct, frozen=True):
    """A label of a metric and where its value comes from.

    Attributes:
        name: the label's name.
        values: the closed set of its values, anything else is ``other``; empty where the value is
            an id that the host defines.
        field: the member of the payload or change that holds the value; the label's name if empty.
        known: what the VM tells beforehand of an open set, for rows preset at 0.
        disk: the value is the VM's name of the disk that the payload speaks of.
    """

    name: str
    values: tuple[str, ...] = ()
    field: str = ""
    known: Literal["", "disks", "quorums", "displays"] = ""
    disk: bool = False

    @property
    def source(self) -> str:
        """The member that holds the value."""
        return self.field or self.name

    @property
    def free(self) -> bool:
        """Whether the set of values is open, so that its rows must be limited."""
        return not self.values


class Counter(msgspec.Struct, frozen=True):
    """A counter that rises with an event or a change of a VM.

    Attributes:
        name: the series' name, with ``_total``.
        help: HELP, naming the QMP event.
        labels: the labels besides ``vm``.
        on: the change it counts; none where it stands in an event's entry.
        add: the member to add instead of 1 (a non-negative number).
        when: a boolean member without which nothing is counted.
        preset: the rows exposed at 0 from the start; all that are known if None.
        fleet: the same counter over all VMs, without ``vm``, which survives the VMs.
    """

    name: str
    help: str
    labels: tuple[Label, ...] = ()
    on: type[Change] | None = None
    add: str = ""
    when: str = ""
    preset: tuple[Values, ...] | None = None
    fleet: str = ""


class LastValue(msgspec.Struct, frozen=True):
    """A gauge that an event sets: the newest value by QEMU's time.

    Attributes:
        name: the series' name.
        help: HELP, naming the QMP event.
        field: the member that holds the value: a number or a boolean.
        labels: the labels besides ``vm``.
    """

    name: str
    help: str
    field: str
    labels: tuple[Label, ...] = ()


class Sampled(msgspec.Struct, frozen=True):
    """A metric read from the state of a VM when it is rendered.

    Attributes:
        name: the series' name; a counter's ends in ``_total``.
        help: HELP, naming the QMP command or event.
        labels: the labels besides ``vm``.
        read: from the VM and the monotonic time in seconds, the rows.
        ticks: whether it can change with time alone.
        further: from the VM, names and values of labels that the configuration gives it.
    """

    name: str
    help: str
    read: Callable[[VM, float], Iterable[tuple[Values, float]]]
    labels: tuple[Label, ...] = ()
    ticks: bool = False
    further: Callable[[VM], tuple[tuple[str, str], ...]] | None = None


class Own(msgspec.Struct, frozen=True):
    """A metric of the exporter as a whole, kept by ``telemetry.self_metrics``.

    Attributes:
        name: the series' name.
        kind: ``counter``, ``gauge`` or ``histogram``.
        help: HELP.
        labels: the names of its labels.
        buckets: upper bounds of a histogram, in its unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Operation(msgspec.Struct, frozen=True):
    """Something that takes its time, shown as a span.

    Attributes:
        name: of its spans.
        help: one sentence: from when to when it lasts.
        under_way: from a VM to the keys of those under way: the empty key where there is one at a
            time, else what tells them apart, the oldest first.
        found: from a VM and a key to what would have been told of the operation, had its begin
            been seen.
        outlasts: whether one that was seen to begin goes on, although ``under_way`` shows none.
        unseen: whether the begin of one under way was not seen, although an event told of it.
        within: the operation that it is part of, where ``belongs`` says so of the VM.
        belongs: see ``within``.
        awaits: the command whose reply may tell more of it after its end.
        gathers: whether events that no operation claims are noted on it while it lasts; of several
            that do, the first in ``OPERATIONS`` has them.
        timeout: seconds after which it failed; 0 for never.
        end_only: whether QEMU tells of its end alone: it is taken to begin with what it is part of.
    """

    name: str
    help: str
    under_way: Callable[[VM], Iterable[str]] = lambda _: ()
    found: Callable[[VM, str], Change | None] = lambda *_: None
    outlasts: Callable[[VM], bool] = lambda _: False
    unseen: Callable[[VM], bool] = lambda _: False
    within: Operation | None = None
    belongs: Callable[[VM], bool] = lambda _: True
    awaits: Ask | None = None
    gathers: bool = False
    timeout: float = 0.0
    end_only: bool = False


class Tells(msgspec.Struct, frozen=True):
    """What a change, a reply or an event tells of an operation.

    Attributes:
        operation: which.
        members: the members to show of it, by the names of the span's attributes.
        failures: from values of the first of them with which the operation failed to its
            ``error.type``: that of the event which says so.
        error: the ``error.type``, if to be told of is to have failed.
    """

    operation: Operation
    members: dict[str, str] = {}
    failures: Mapping[str, str] = {}
    error: str = ""


class Causes(msgspec.Struct, frozen=True):
    """An event that follows from another within a second.

    Attributes:
        event: the name of what follows.
        member: of the other's data, that decides.
        values: of that member, with which it follows.
    """

    event: str
    member: str = ""
    values: tuple[str, ...] = ()


class EventSpec(msgspec.Struct, frozen=True):
    """One QMP event.

    Attributes:
        name: QEMU's name of it.
        help: one sentence: when QEMU sends it.
        source: the QAPI schema file that defines it.
        samples: ``data`` members as QEMUs of several ages send them; the first is the newest.
        payload: the type of its ``data``.
        severity: for log records.
        counters: what it counts, besides ``qemu_events_total``.
        gauges: what it sets.
        shows: what people are shown of its data, besides what it counts and sets.
        operation: what it begins, ends or otherwise is part of.
        key: the member that tells which one, if there may be several at a time.
        tells: what else it tells of that operation.
        causes: the events that follow from it.
        limited: what QEMU coalesces it by (at most one a second), if it does.
        rare: whether its row of ``qemu_events_total`` comes with the first one, not at 0 before.
        note: what a reader of the reference should know.
    """

    name: str
    help: str
    source: str
    samples: tuple[dict[str, Any] | None, ...]
    payload: type[Payload] = Payload
    severity: Severity = Severity.INFO
    counters: tuple[Counter, ...] = ()
    gauges: tuple[LastValue, ...] = ()
    shows: tuple[Label, ...] = ()
    operation: Operation | None = None
    key: str = ""
    tells: Tells | None = None
    causes: tuple[Causes, ...] = ()
    limited: str = ""
    rare: bool = False
    note: str = ""

    @property
    def labels(self) -> dict[str, Label]:
        """The labels of what it counts, sets and shows, by their names."""
        rows: tuple[Counter | LastValue, ...] = (*self.counters, *self.gauges)
        labels = (*(label for row in rows for label in row.labels), *self.shows)
        return {label.name: label for label in labels}

    @property
    def otel_name(self) -> str:
        """Name of its span event and of its log event."""
        return f"qemu.{self.name.lower()}"


NONE: Final[tuple[Values, ...]] = ()
"""For ``Counter.preset``: no row before the first event."""
