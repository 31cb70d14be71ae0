"""The page of all VMs, kept as text: of each metric the samples of each VM, joined by the hundred.

A scrape mostly finds what the last one found. So what did not change is neither made nor joined nor
packed again, and what did change costs its own part and those it is joined to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qmp_exporter.telemetry.body import Piece


if TYPE_CHECKING:
    from qmp_exporter.telemetry.samples import About


JOINED: Final = 64 * 1024
"""Bytes from which on parts are not joined to more: twice what deflate looks back on."""


class Segment:
    """The parts of some owners, joined.

    Parts that have exemplars are kept without and with them, and so is what they are joined to.
    """

    __slots__ = ("_joined", "_marked", "_parts", "size")

    def __init__(self) -> None:
        self._parts: dict[object, bytes] = {}
        self._marked: dict[object, bytes] = {}
        self._joined: dict[bool, Piece] = {}
        self.size = 0

    def put(self, owner: object, text: bytes, marked: bytes) -> None:
        """Set the part of ``owner``, and that part with exemplars, if it has any."""
        self.size += len(text) - len(self._parts.get(owner, b""))
        self._parts[owner] = text
        if marked:
            self._marked[owner] = marked
        elif self._marked:
            self._marked.pop(owner, None)
        self._joined.clear()

    def drop(self, owner: object) -> None:
        """Take the part of ``owner`` away."""
        self.size -= len(self._parts.pop(owner))
        self._marked.pop(owner, None)
        self._joined.clear()

    def piece(self, *, openmetrics: bool) -> Piece:
        """Return the parts in the order in which their owners came."""
        marked = openmetrics and bool(self._marked)
        piece = self._joined.get(marked)
        if piece is None:
            parts = self._parts | self._marked if marked else self._parts
            piece = self._joined[marked] = Piece(b"".join(parts.values()))
        return piece


class Family:
    """The text of one metric: its head, and the samples of all owners.

    Args:
        metric: what it is.
    """

    __slots__ = ("_heads", "_of", "_segments", "name")

    def __init__(self, metric: About) -> None:
        self.name = metric.name
        self._heads = {False: _head(metric, metric.name)}
        self._heads[True] = _head(metric, metric.name.removesuffix("_total"))
        self._of: dict[object, Segment] = {}
        self._segments: dict[Segment, None] = {}  # a set that keeps its order

    def put(self, owner: object, text: bytes, marked: bytes = b"") -> None:
        """Set the samples of ``owner``, and those with exemplars; empty text takes them away."""
        segment = self._of.get(owner)
        if text:
            if segment is None:
                segment = self._of[owner] = self._open()
            segment.put(owner, text, marked)
        elif segment is not None:
            del self._of[owner]
            segment.drop(owner)
            if not segment.size:
                del self._segments[segment]

    def pieces(self, *, openmetrics: bool) -> list[Piece]:
        """Return head and samples, or nothing where there are no samples."""
        if not self._segments:
            return []
        joined = [segment.piece(openmetrics=openmetrics) for segment in self._segments]
        return [self._heads[openmetrics], *joined]

    def _open(self) -> Segment:
        """Return the last segment, or a new one where that is full."""
        last = next(reversed(self._segments), None)
        if last is None or last.size >= JOINED:
            last = Segment()
            self._segments[last] = None
        return last


def _head(metric: About, name: str) -> Piece:
    told = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    return Piece(f"# HELP {name} {told}\n# TYPE {name} {metric.kind}\n".encode())
