"""The page of all VMs, kept as text: of each metric, the samples of some VMs at a time.

A scrape mostly finds what the last one found. So what did not change is neither made nor joined nor
packed again, and what did change costs itself and the few that it stands among. No VM's text is
kept twice.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from qmp_exporter.telemetry.body import Piece


if TYPE_CHECKING:
    from qmp_exporter.telemetry.samples import About


SEATS: Final = 16
"""VMs whose samples of one metric stand together: enough for gzip to find what they share."""


class Seats:
    """Numbers of those who have a place on the page: as few, and as low, as can be."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        """Return a number that nobody else has."""
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def leave(self, seat: int) -> None:
        """Let another one have a number."""
        self._free.append(seat)


class _Row:
    """The texts of a row of seats, one after the other."""

    __slots__ = ("_lengths", "_piece", "text")

    def __init__(self) -> None:
        self.text = b""
        self._lengths = array("L", bytes(SEATS * array("L").itemsize))
        self._piece: Piece | None = None

    def put(self, seat: int, text: bytes) -> None:
        begin = sum(self._lengths[:seat])
        end = begin + self._lengths[seat]
        if self.text[begin:end] == text:  # so time alone may have changed nothing
            return
        self.text = b"".join((self.text[:begin], text, self.text[end:]))
        self._lengths[seat] = len(text)
        self._piece = None

    def copy(self) -> _Row:
        other = _Row()
        other.text, other._lengths = self.text, self._lengths[:]
        return other

    @property
    def piece(self) -> Piece:
        if self._piece is None:
            self._piece = Piece(self.text)
        return self._piece


class Family:
    """The text of one metric: its head, and the samples of all.

    Args:
        metric: what it is.
    """

    __slots__ = ("_heads", "_marked", "_rows", "name")

    def __init__(self, metric: About) -> None:
        self.name = metric.name
        told = metric.help.replace("\\", r"\\").replace("\n", r"\n")
        quoted = told.replace('"', r"\"")  # only OpenMetrics escapes it
        self._heads = {
            False: _head(metric, metric.name, told),
            True: _head(metric, metric.name.removesuffix("_total"), quoted),
        }
        self._rows: dict[int, _Row] = {}
        self._marked: dict[int, _Row] = {}  # with exemplars, where a row has any

    def put(self, seat: int, text: bytes, marked: bytes = b"") -> None:
        """Set the samples of a seat, and those with exemplars; empty text takes them away."""
        number, place = divmod(seat, SEATS)
        row = self._rows.get(number)
        if row is None:
            if not text:
                return
            row = self._rows[number] = _Row()
        if marked and number not in self._marked:
            self._marked[number] = row.copy()
        row.put(place, text)
        if number in self._marked:
            self._marked[number].put(place, marked or text)
        if not row.text:
            del self._rows[number]
            self._marked.pop(number, None)

    def pieces(self, *, openmetrics: bool) -> list[Piece]:
        """Return head and samples, or nothing where there are no samples."""
        if not self._rows:
            return []
        rows = self._rows | self._marked if openmetrics and self._marked else self._rows
        return [self._heads[openmetrics], *[row.piece for row in rows.values()]]


def _head(metric: About, name: str, told: str) -> Piece:
    return Piece(f"# HELP {name} {told}\n# TYPE {name} {metric.kind}\n".encode())
