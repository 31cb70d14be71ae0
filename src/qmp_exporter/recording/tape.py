r"""A recording: what one monitor said in one connection, as a file of JSON lines.

The first line says what it is; each further line has the seconds since the beginning, ``at``, to
the microsecond, and one of these::

    {"qmp-exporter-recording": 1, "began": "2026-01-31T10:00:00.123456Z", "qemu": "10.0.2"}
    {"at": 0.000312, "command": "query-status", "return": {"status": "running", "running": true}}
    {"at": 0.000845, "command": "query-balloon", "error": {"class": "DeviceNotActive", "desc": ""}}
    {"at": 1.204518, "event": {"timestamp": {"seconds": 1769853601, ...}, "event": "STOP"}}
    {"at": 2.000000, "broken": "other"}
    {"at": 2.100000, "broken": "STOP", "line": "{\"event\": \"STOP\","}
    {"at": 3.170122, "end": "gone"}

QEMU's stamps are as they were: how much older an event is than its arrival is seen from ``began``.
A ``broken`` line is one that is no event; its text is there only with personal data. It ends as it
ended: QEMU is ``gone``, the connection was ``closed``, or the recording was ``stopped``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from qmp_exporter.errors import ConfigError
from qmp_exporter.recording.conversation import QmpError
from qmp_exporter.recording.event import SECOND, RecordedEvent
from qmp_exporter.recording.monitor import Cue


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self


T = TypeVar("T")

FORMAT: Final = 1
"""Of the file; another one is another number."""

ENDS: Final = ("gone", "closed", "stopped")
"""How a recording ends."""

HEADER: Final = '{"qmp-exporter-recording": 1, "began": "2026-01-31T10:00:00Z", "qemu": "10.0.2"}'
LINE: Final = 'a line such as {"at": 1.5, "event": {"event": "STOP"}}'

_MOST_SECONDS: Final = 1e9
_LONGEST_LINE: Final = 8 * 1024 * 1024  # bytes: more than the largest line of a monitor, escaped
_VERSION: Final = re.compile(r"(\d{1,5})\.(\d{1,5})\.(\d{1,5})")


class Header(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The first line.

    Attributes:
        number: of the format.
        began: when, in UTC.
        qemu: its version, such as ``7.2.22``.
        personal: whether it has personal data in it.
    """

    number: int = msgspec.field(name="qmp-exporter-recording")
    began: datetime
    qemu: str
    personal: bool = False


class Line(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Any further line."""

    at: float
    event: msgspec.Raw = msgspec.Raw()
    command: str = ""
    returned: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="return")
    error: dict[Literal["class", "desc"], str] = {}
    broken: str = ""
    line: str = ""
    end: Literal["", "gone", "closed", "stopped"] = ""


class Tape(msgspec.Struct, frozen=True):
    """What was read of a file.

    Attributes:
        began: Unix microseconds.
        version: of QEMU: major, minor, micro.
        cues: what was said.
        end: one of `ENDS`; ``stopped`` where the file does not say.
        seconds: from its beginning to its end.
    """

    began: int
    version: tuple[int, int, int]
    cues: tuple[Cue, ...]
    end: str
    seconds: float

    @property
    def events(self) -> int:
        """How many events it has."""
        return sum(cue.event is not None for cue in self.cues)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            ConfigError: it cannot be read, or a line of it is wrong; the text names the line.
        """
        try:
            with path.open("rb") as file:
                return cls._read(path, _lines(path, file))
        except OSError as error:
            raise ConfigError(
                f"{path}: {error.strerror}; expected a file of `qmp-exporter record`"
            ) from error

    @classmethod
    def _read(cls, path: Path, lines: Iterator[tuple[int, bytes]]) -> Self:
        _, first = next(lines, (1, b""))
        try:
            began, version = _header(first)
        except _Wrong as wrong:
            raise ConfigError(f"{path}:1: {wrong}; expected {HEADER}") from None
        cues: list[Cue] = []
        at, end = 0, ""
        for number, text in lines:
            try:
                found = _line(text, after=at, over=bool(end))
                at, end = round(found.at * SECOND), found.end
                if not end:
                    cues.append(_cue(found, at, began))
            except _Wrong as wrong:
                raise ConfigError(f"{path}:{number}: {wrong}; expected {wrong.expected}") from None
        return cls(began, version, tuple(cues), end or "stopped", at / SECOND)


class _Wrong(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, found: str, expected: str = LINE) -> None:
        super().__init__(found)
        self.expected = expected


def header(began: float, version: str, *, personal: bool) -> bytes:
    """Return the first line of a file; ``began`` in Unix seconds."""
    when = datetime.fromtimestamp(began, UTC)
    return msgspec.json.encode(
        Header(number=FORMAT, began=when, qemu=version, personal=personal), order="deterministic"
    )


def encoded(at: float, **found: Any) -> bytes:
    """Return a line; the members of `Line`, what is raw as ``msgspec.Raw``."""
    return b'{"at": %.6f, %s' % (max(at, 0.0), msgspec.json.encode(found)[1:])


def _lines(path: Path, file: Any) -> Iterator[tuple[int, bytes]]:
    number = 0
    while text := file.readline(_LONGEST_LINE):
        number += 1
        if len(text) == _LONGEST_LINE:
            raise ConfigError(
                f"{path}:{number}: found a line of {_LONGEST_LINE} bytes or more; expected {LINE}"
            )
        yield number, text.rstrip(b"\r\n")


def _header(text: bytes) -> tuple[int, tuple[int, int, int]]:
    if b"qmp-exporter-recording" not in text:
        raise _Wrong(f"found {_shown(text)}")
    found = _decoded(text, Header)
    if found.number != FORMAT:
        raise _Wrong(f"found a recording of format {found.number}")
    if found.began.tzinfo is None:
        raise _Wrong(f"found {found.began} without a time zone")
    if not (version := _VERSION.fullmatch(found.qemu)):
        raise _Wrong(f"found {found.qemu[:32]!r} as the version of QEMU")
    major, minor, micro = map(int, version.groups())
    since = found.began - datetime(1970, 1, 1, tzinfo=UTC)
    began = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
    return began, (major, minor, micro)


def _line(text: bytes, *, after: int, over: bool) -> Line:
    if over:
        raise _Wrong(f"found {_shown(text)} after the end", "no more lines")
    found = _decoded(text, Line)
    if not 0 <= found.at <= _MOST_SECONDS:
        raise _Wrong(f"found at {found.at:g}")
    if round(found.at * SECOND) < after:
        raise _Wrong(f"found at {found.at:g} after {after / SECOND:g}")
    kinds = sum(map(bool, (bytes(found.event), found.command, found.broken, found.end)))
    if kinds != 1:
        raise _Wrong(f"found {kinds} of event, command, broken and end")
    if (bytes(found.returned) or found.error) and not found.command:
        raise _Wrong("found a return or an error without a command")
    if found.line and not found.broken:
        raise _Wrong("found a line without broken")
    return found


def _cue(found: Line, now: int, began: int) -> Cue:
    if found.command:
        return Cue(at=now, command=found.command, reply=_reply(found))
    if found.broken:
        # The decoder names what is wrong by as much as it sees of it.
        noise = b'{"event": "%s"' % found.broken.encode("ascii", "replace")
        return Cue(at=now, noise=found.line.encode("latin-1", "replace") or noise)
    try:
        event = RecordedEvent.parse(bytes(found.event))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _Wrong(f"event: {error}", "an event as QEMU sends it") from None
    stamp = event.microseconds
    return Cue(at=now, event=event, late=0 if stamp is None else now - (stamp - began))


def _reply(found: Line) -> object:
    if found.error and not bytes(found.returned):
        return QmpError(found.error.get("class", "GenericError"), found.error.get("desc", ""))
    if found.error or not bytes(found.returned):
        raise _Wrong("found not one of return and error", "what the command returned, or its error")
    try:
        return msgspec.json.decode(found.returned)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong(f"return: {error}", "what the command returned") from None


def _decoded(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong(f"found {_shown(text)}: {error}") from None


def _shown(text: bytes) -> str:
    """Return the beginning of a line, for people."""
    most = 60
    shown = text[:most].decode("utf-8", "backslashreplace")
    return f"{shown!r}{'...' if len(text) > most else ''}" if text else "nothing"
