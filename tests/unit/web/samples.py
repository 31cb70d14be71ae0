"""Rows, machines and entries for tests of the pages, and how to read a page."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import msgspec
from hypothesis import strategies as st

from qmp_exporter.catalog.spec import Severity
from qmp_exporter.journal import Entry
from qmp_exporter.web import Display, Machine, Migrated, Overview, Row


if TYPE_CHECKING:
    from typing import TypeVar

    S = TypeVar("S", bound=msgspec.Struct)


NOW = 1_000_060.0
LINKS = (("/metrics", "Metrics"),)
EVIL = "</td><script>"


CALM = Row(
    vm="web-1",
    monitor="/run/qemu/web-1.qmp",
    state="connected",
    status="running",
    cause="",
    stopped_seconds=None,
    events=3,
    last_event="RTC_CHANGE",
    last_event_time=1_000_000.0,
    io_errors=0,
    panics=0,
    watchdogs=0,
    sessions=0,
    migration="",
)

_TAGS = st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</td></table>", "&amp;", "'"]
)
# Lone surrogates included: a path on Linux is bytes, and may hold any of them.
_TEXT = st.text(st.characters(exclude_categories=())) | _TAGS | st.builds(str.__add__, _TAGS, _TAGS)
_STATES = st.sampled_from(["connected", "gone", "busy", "unresponsive", "connecting"]) | _TEXT
_STATUSES = st.sampled_from(["", "running", "paused", "io-error", "inmigrate"]) | _TEXT
_NUMBER = st.integers()

ROWS = st.builds(
    Row,
    vm=_TEXT,
    monitor=_TEXT,
    state=_STATES,
    status=_STATUSES,
    cause=_STATUSES,
    stopped_seconds=st.none() | st.floats(),
    events=_NUMBER,
    last_event=_TEXT,
    last_event_time=st.none() | st.floats(),
    io_errors=_NUMBER,
    panics=_NUMBER,
    watchdogs=_NUMBER,
    sessions=_NUMBER,
    migration=_TEXT,
    passes=_NUMBER,
    disks=st.lists(st.tuples(_TEXT, _TEXT), max_size=2).map(tuple),
)

ENTRIES = st.builds(
    Entry,
    number=_NUMBER,
    vm=_TEXT,
    event=_TEXT,
    time=st.floats(0, 4e9),
    details=_TEXT,
    severity=st.sampled_from(Severity),
    count=st.integers(1),
)

_PAIRS = st.lists(st.tuples(_TEXT, _TEXT), max_size=2).map(tuple)
_SECONDS = st.none() | st.floats(0, allow_nan=False, allow_infinity=False)

MACHINES = st.builds(
    Machine,
    overview=st.just(Overview(version="1.2.3", now=NOW, rows=(), links=LINKS)),
    row=ROWS,
    facts=_PAIRS,
    events=st.lists(st.tuples(_TEXT, _NUMBER), max_size=2).map(tuple),
    stopped=st.lists(st.tuples(_TEXT, st.floats(0, 1e9)), max_size=2).map(tuple),
    unobserved=st.floats(0, 1e9),
    disks=_PAIRS,
    displays=st.lists(st.builds(Display, _TEXT, _NUMBER, _NUMBER), max_size=2).map(tuple),
    migration=st.none() | st.builds(Migrated, _TEXT, _TEXT, _NUMBER, _SECONDS, _SECONDS, _NUMBER),
    entries=st.lists(ENTRIES, max_size=4).map(tuple),
)


class Outline(HTMLParser):
    """The tags of a document with their attributes, and the text of each cell.

    Attributes:
        tags: the names of tags, and their attributes.
        shape: the same, without the values of attributes.
        cells: the text of each cell of a table.
        text: all text.
    """

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.cells: list[str] = []
        self.text = ""
        self._in_cell = False
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag; a new cell begins with td and th."""
        self.tags.append((tag, tuple(attrs)))
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        if tag in {"td", "th"}:
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        """A cell ends; what follows is not its text."""
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        """Text belongs to the open cell."""
        self.text += data
        if self._in_cell:
            self.cells[-1] += data

    def attributes(self, tag: str, name: str) -> list[str | None]:
        """Return the values of an attribute of all tags of one name."""
        return [
            dict(attrs)[name] for found, attrs in self.tags if found == tag and name in dict(attrs)
        ]


# One stand-in for each character that means something to HTML, so that equal stays equal.
HARMLESS = str.maketrans(dict(zip("<>&\"'", "\ue000\ue001\ue002\ue003\ue004", strict=True)))


def harmless(given: S) -> S:
    """The same without a character that HTML could mind."""
    return msgspec.structs.replace(
        given, **{name: _harmless(value) for name, value in msgspec.structs.asdict(given).items()}
    )


def _harmless(value: object) -> object:
    if type(value) is str:
        return value.translate(HARMLESS)
    if isinstance(value, msgspec.Struct):
        return harmless(value)
    return tuple(map(_harmless, value)) if isinstance(value, tuple) else value
