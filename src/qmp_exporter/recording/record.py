"""``qmp-exporter record``: a session of the exporter that writes down what it hears.

It dials, asks and follows up as the exporter does, as the very same session and model do it: so
what is recorded is the stream that an exporter gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextlib import ExitStack
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.states import LostCause
from qmp_exporter.errors import DecodeError, RecordingError, SessionError
from qmp_exporter.model.fleet import Fleet
from qmp_exporter.model.inputs import Ask, Input, Link
from qmp_exporter.qmp.client import Limits
from qmp_exporter.qmp.connection import Connection
from qmp_exporter.qmp.context import Context
from qmp_exporter.qmp.dial import dial
from qmp_exporter.qmp.queries import NEGOTIATE
from qmp_exporter.qmp.session import Observer, Session
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.transport import opened
from qmp_exporter.qmp.unix import UnixTable, process_started
from qmp_exporter.recording.event import RecordedEvent
from qmp_exporter.recording.scrub import Scrubber
from qmp_exporter.recording.tape import encoded, header
from qmp_exporter.recording.writer import Writer


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from qmp_exporter.catalog.states import TargetState
    from qmp_exporter.config.settings import Settings
    from qmp_exporter.model.target import Target


TICK: Final = 1.0
"""Seconds between two looks whether the monitor is silent."""

LAST_WORDS: Final = 5.0
"""Seconds for what is not written yet."""

FAREWELL: Final = 1.0
"""Seconds that QEMU may take to end after it hung up; what is there then, is dialled once."""

_LOOK: Final = 0.05

_FAULTS: Final = {
    LostCause.LONG_LINE: "the connection was given up: a line is longer than --limits.line-length",
    LostCause.PROTOCOL: "the connection was given up: what came is not QMP",
    LostCause.ERROR: "the connection ended by a fault of qmp-exporter",
}


async def record(  # noqa: PLR0913 - all that is not a place has its name at the call
    target: Target,
    path: Path | None,
    settings: Settings,
    *,
    personal: bool,
    most: int,
    say: Callable[[str], None],
) -> None:
    """Record one connection to a monitor until it ends, or this is cancelled.

    Args:
        target: the monitor.
        path: of the file, which must not exist; standard output if there is none.
        settings: of what is sent to the monitor, and of the longest line.
        personal: whether personal data is written, too.
        most: bytes to write at most.
        say: told in a line what goes on.

    Raises:
        SessionError: there is no connection.
        RecordingError: the recording ended before its time.
    """
    with ExitStack() as stack:
        number = stack.enter_context(_opened(path)) if path else sys.stdout.fileno()
        name = str(path or "standard output")
        writer = Writer(number, name, most)
        tape = _Recorder(writer, None if personal else Scrubber())
        context = Context(
            decoder(),
            UnixTable(),
            limits=Limits(settings.max_line, settings.max_lines),
            migration_events=settings.migration_events,
            tap=tape,
        )
        line = _Once(target, context, tape, say)
        session = Session(target, _Model(target, tape), line, context)
        tasks = [asyncio.create_task(session.run()), asyncio.create_task(_watch(session))]
        try:
            await tape.over.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            _finish(tape, writer)
            if tape.begun:
                say(f"{name}: {tape.summary}, {writer.written} bytes")
            if tape.error is not None:
                raise tape.error


def _finish(tape: _Recorder, writer: Writer) -> None:
    """Write the end; what does not work is an error of the tape."""
    for step in (tape.end, lambda: writer.close(LAST_WORDS)):
        try:
            step()
        except RecordingError as err:
            tape.error = tape.error or err


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Make a file that nobody else may read, which goes again if nothing is written to it."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", None) or err
        raise RecordingError(f"{path}: {why}; expected the path of a new file") from err
    try:
        yield number
    finally:
        if not os.fstat(number).st_size:
            path.unlink(missing_ok=True)
        os.close(number)


async def _watch(session: Session) -> None:
    while True:
        await asyncio.sleep(TICK)
        session.tick(monotonic())


class _Recorder:
    """Writes down what is heard.

    Attributes:
        over: set when the recording is to end.
        error: why, if that is wrong.
        how: the connection ended; ``stopped`` until it did.
        events, replies, broken: how many were written.
        seconds: that it took, so far.
    """

    def __init__(self, writer: Writer, scrubber: Scrubber | None) -> None:
        self.over = asyncio.Event()
        self.error: RecordingError | SessionError | None = None
        self.how = "stopped"
        self.events = self.replies = self.broken = 0
        self._writer = writer
        self._scrubber = scrubber
        self._decode = decoder()
        self._began: float | None = None
        self._early: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether a QEMU has greeted."""
        return self._began is not None

    @property
    def summary(self) -> str:
        """What was written, for people."""
        text = f"{self.events} events and {self.replies} replies in {self.seconds:.1f} s"
        text += f", {self.broken} lines that are no events" if self.broken else ""
        ends = {"gone": "QEMU has ended", "closed": "the monitor hung up"}
        return f"{ends[self.how]}: {text}" if self.how in ends else text

    @property
    def seconds(self) -> float:
        """Since the beginning; 0 before it."""
        return 0.0 if self._began is None else monotonic() - self._began

    def begin(self, version: str) -> None:
        """Begin with the QEMU that has greeted."""
        self._began = monotonic()
        self._write(header(time(), version, personal=self._scrubber is None))
        early, self._early = self._early, []
        for line in early:
            self.line(line)

    def line(self, line: bytes) -> None:
        """Take a line that is no reply."""
        if self._began is None:  # it came together with the answer to our negotiation
            self._early.append(line)
            return
        try:
            self._decode(line, 0.0, 0.0)
            event = self._event(line)
        except (DecodeError, msgspec.MsgspecError, UnicodeError, RecursionError) as err:
            self.broken += 1
            label = err.event if isinstance(err, DecodeError) else "other"
            text = {} if self._scrubber else {"line": line.rstrip(b"\r").decode("latin-1")}
            self._write(encoded(self.seconds, broken=label, **text))
        else:
            self.events += 1
            self._write(encoded(self.seconds, event=event))

    def reply(self, command: str, message: Mapping[str, object]) -> None:
        """Take the reply to a command."""
        if command == NEGOTIATE or self._began is None:
            return
        self.replies += 1
        key = "error" if "error" in message else "return"
        found = message.get(key)
        if self._scrubber is not None:
            scrub = self._scrubber
            found = scrub.error(found) if key == "error" else scrub.reply(command, found)
        if key == "error":
            found = _error(found)
        try:
            self._write(encoded(self.seconds, command=command, **{key: found}))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):  # a lone surrogate
            self._write(encoded(self.seconds, command=command, error=_error(None)))

    def end(self) -> None:
        """Write how it ended.

        Raises:
            RecordingError: there is no room for it.
        """
        if self._began is not None:
            self._writer.write(encoded(self.seconds, end=self.how))

    def fail(self, error: RecordingError | SessionError) -> None:
        """End it, and say why."""
        self.error = self.error or error
        self.over.set()

    def _event(self, line: bytes) -> object:
        parsed = RecordedEvent.parse(line)
        if self._scrubber is None:
            return msgspec.Raw(msgspec.json.encode(parsed.members))
        return self._scrubber.event(msgspec.json.decode(line))

    def _write(self, line: bytes) -> None:
        if self.over.is_set():
            return
        try:
            self._writer.write(line)
        except RecordingError as err:
            self.fail(err)


def _error(found: Any) -> dict[str, str]:
    """Return an error reply as QEMU makes them, whatever it was."""
    found = found if isinstance(found, dict) else {}
    kind, text = found.get("class"), found.get("desc")
    return {
        "class": kind if isinstance(kind, str) and kind else "GenericError",
        "desc": text if isinstance(text, str) else "",
    }


class _Model(Observer):
    """Asks what the exporter would ask."""

    def __init__(self, target: Target, tape: _Recorder) -> None:
        self._fleet = Fleet()
        self._fleet.add(target)
        self._address = target.address
        self._tape = tape

    def feed(self, given: Input) -> tuple[Ask, ...]:
        if isinstance(given, Link) and given.lost in _FAULTS:
            self._tape.how = "closed"
            self._tape.fail(RecordingError(_FAULTS[given.lost]))
        return self._fleet.feed(self._address, given).step.asks

    def decode_error(self, event: str) -> None:
        """Do nothing: it is written down as what it is."""


class _Once:
    """A transport of one connection."""

    def __init__(
        self, target: Target, context: Context, tape: _Recorder, say: Callable[[str], None]
    ) -> None:
        self._target = target
        self._context = context
        self._tape = tape
        self._say = say
        self._pid: int | None = None
        self._started: float | None = None

    async def connection(self) -> Connection:
        """Dial, and return an open connection."""
        try:
            begun = time()
            sock = await dial(self._target, self._context.table, self._context.timing.connect)
            connection = await opened(Connection(sock, self._target, self._context, begun))
        except SessionError as err:
            self._tape.fail(type(err)(f"{self._target.address} is {err.reason}: {err}"))
            raise
        self._pid, self._started = connection.pid, process_started(connection.pid)
        self._tape.begin(connection.version)
        self._say(f"{self._target.address}: QEMU {connection.version}; Ctrl-C ends the recording")
        return connection

    async def pause(self, attempt: int, state: TargetState) -> bool:  # noqa: ARG002 - a transport
        """End the recording: there is no second connection."""
        if self._tape.error is None:
            self._tape.how = "gone" if await self._gone() else "closed"
        self._tape.over.set()
        await asyncio.Event().wait()
        return False

    def wake(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing: between two connections there is nothing to let go of."""

    async def _gone(self) -> bool:
        """Tell whether QEMU has ended, which may come a little after its last word."""
        deadline = monotonic() + FAREWELL
        while monotonic() < deadline:
            if self._started != process_started(self._pid):
                return True
            await asyncio.sleep(_LOOK)
        try:
            sock = await dial(self._target, self._context.table, Timing().connect, monotonic())
        except SessionError as err:
            return err.reason in {"gone", "refused"}
        sock.close()
        return False
