"""The series of one VM: rows that count, and rows read from its state."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite, isnan
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.model.vm import VM
from qmp_exporter.sinks import LATE


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.catalog.spec import Values
    from qmp_exporter.sinks import Trace


class Row:
    """One series that counts: the text of its labels but for the VM, and its value."""

    __slots__ = ("labels", "value")

    def __init__(self, labels: str, value: int = 0) -> None:
        self.labels = labels
        self.value = value


class Exemplar(msgspec.Struct, frozen=True, gc=False):
    """What raised a row: text after its value, in OpenMetrics.

    Source: OpenMetrics 1.0, "Exemplars"; their labels have at most 128 characters, these 63.

    Attributes:
        trace: where it stands in a trace.
        time: Unix seconds, of the input that did it.
        value: by how much.
    """

    trace: Trace
    time: float
    value: int = 1

    def by(self, amount: int) -> Exemplar:
        """Return the same, which raises by ``amount``."""
        return self if amount == self.value else msgspec.structs.replace(self, value=amount)

    def __str__(self) -> str:
        """As it stands after the value of a sample."""
        trace = self.trace
        labels = f'trace_id="{trace.trace_id}",span_id="{trace.span_id}"'
        return f" # {{{labels}}} {self.value} {self.time}"


class Table:
    """The rows of one counter.

    ``stale`` says that its text is to be made again; it is set after a value changed and cleared
    before the values are read, so that a reader in another thread misses nothing. ``exemplars``
    has one for each row that has any; it is none as long as no row has.
    """

    __slots__ = ("exemplars", "labels", "metric", "rows", "stale")

    def __init__(self, metric: str, labels: tuple[str, ...]) -> None:
        self.metric = metric
        self.labels = labels
        self.rows: dict[Values, Row] = {}
        self.exemplars: dict[Row, Exemplar] | None = None
        self.stale = True

    def row(self, values: Values) -> Row:
        """Return the row of ``values``, those of all labels but the VM's; made if it is new."""
        row = self.rows.get(values)
        if row is None:
            of_vm = self.labels[:1] == ("vm",)
            values, labels = shared(self.labels[of_vm:], values)
            row = self.rows[values] = Row(labels if of_vm else labels[1:])
            self.stale = True
        return row

    def mark(self, row: Row, exemplar: Exemplar) -> None:
        """Let a row of this table have an exemplar, instead of the one that it had.

        But not of an event that QEMU held back: Prometheus refuses an exemplar that is older than
        the last one of its series, and logs that at each scrape as long as it is there.
        """
        if self.exemplars is None:
            self.exemplars = {}
        kept = self.exemplars.get(row)
        if kept is None or not 0.0 < kept.time - exemplar.time <= LATE:
            self.exemplars[row] = exemplar

    def renewed(self, start: str = "{") -> tuple[bytes, bytes] | None:
        """Return the rows as lines of the exposition format; none if they are as they were.

        And the same lines with exemplars, which only OpenMetrics has; empty if there are none.
        Args: ``start`` is ``Series.start``, for a table of a VM.
        """
        if not self.stale:
            return None
        self.stale = False
        rows = list(self.rows.values())  # in one step, as rows may be added meanwhile
        start = f"{self.metric}{start}" if self.labels else self.metric
        text = "".join([f"{start}{row.labels}{row.value}\n" for row in rows])
        last = self.exemplars
        if last is None:
            return text.encode(), b""
        marked = "".join([f"{start}{row.labels}{row.value}{last.get(row, '')}\n" for row in rows])
        return text.encode(), marked.encode()

    def numbers(self, *before: str) -> list[tuple[Values, int]]:
        """Return the rows as label values, ``before`` put before those, and the number."""
        return [((*before, *values), row.value) for values, row in list(self.rows.items())]


class Series:
    """All series of a VM.

    Attributes:
        name: the VM's name.
        tables: its counters, by the index of their metric; none for metrics read from its state.
        vm: the state to read the others from.
        last_event: Unix seconds of its newest event; none before the first.
        queued: whether it waits to be rendered.
        changed: whether the metrics read from its state are to be rendered again.
        dropped: whether it is to vanish.
        start: the text of the label that all of its series have.
        seat: its place on the page; none before it has one.
        floor: the largest value shown, of counters of seconds that are not 0.
    """

    __slots__ = (
        "__weakref__",  # others keep things for as long as the series are there
        "changed",
        "dropped",
        "floor",
        "last_event",
        "name",
        "queued",
        "seat",
        "start",
        "tables",
        "vm",
    )

    def __init__(self, name: str, tables: list[Table | None]) -> None:
        self.name = name
        self.tables = tables
        self.vm = VM()
        self.last_event: float | None = None
        self.queued = False
        self.changed = True
        self.dropped = False
        self.start = f'{{vm="{_escaped(name)}"'
        self.seat: int | None = None
        self.floor: dict[tuple[str, Values], float] = {}

    def happened(self, time: float) -> None:
        """Remember the newest event, by its Unix seconds."""
        if self.last_event is None or time > self.last_event:
            self.last_event = time
            self.changed = True

    def lines(
        self, metric: str, labels: tuple[str, ...], rows: Iterable[tuple[Values, float]]
    ) -> str:
        """Return rows read from the state as lines of the exposition format."""
        start = f"{metric}{self.start}"
        return "".join([f"{start}{shared(labels, v)[1]}{number(n)}\n" for v, n in rows])

    def further(
        self,
        metric: str,
        labels: tuple[str, ...],
        rows: Iterable[tuple[Values, float]],
        more: tuple[tuple[str, str], ...],
    ) -> str:
        """Return rows as lines, with more labels, as pairs of name and value."""
        names = (*labels, *(name for name, _ in more))
        told = tuple(value for _, value in more)
        start = f"{metric}{self.start}"
        return "".join([f"{start}{_text(names, (*v, *told))}{number(n)}\n" for v, n in rows])

    def risen(
        self, metric: str, rows: Iterable[tuple[Values, float]]
    ) -> list[tuple[Values, float]]:
        """Return the rows of a counter of seconds, none less than was shown before.

        A period may end, by the time stamped on its end, a little before the last rendering.
        """
        risen = []
        for values, seconds in rows:
            key = (metric, values)
            most = max(seconds, self.floor.get(key, 0.0))
            if most:
                self.floor[key] = most
            risen.append((values, most))
        return risen


MOST_SHARED: Final = 8192
"""Sets of label values kept; more than there are, unless ids change all the time."""


@lru_cache(MOST_SHARED)
def shared(labels: tuple[str, ...], values: Values) -> tuple[Values, str]:
    """Return label values and their text, which are the same objects for all VMs that have them."""
    return values, _text(labels, values)


def _text(labels: tuple[str, ...], values: Values) -> str:
    """Return labels after others, up to the value of the sample.

    Source: Prometheus' text exposition format 0.0.4 and OpenMetrics 1.0, which agree on it.
    """
    pairs = [f',{n}="{_escaped(v)}"' for n, v in zip(labels, values, strict=True)]
    return f"{''.join(pairs)}}} "


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a number as a sample shows it: whole ones without a fraction."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer():
        return str(int(value))
    if isfinite(value):
        return repr(value)
    return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"
