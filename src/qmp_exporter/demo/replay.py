"""Serves recorded events as a QMP monitor again: no QEMU is needed to see one.

A monitor that is played behaves as QEMU's does: it greets, wants to negotiate, answers the
queries in `captures.state` and serves one client at a time, while others wait in the backlog
without a greeting. Each scenario is the life of one machine: at its end the connection is closed
and the socket removed, as when QEMU exits, and the next machine listens on the same path.

In one point it is kinder than QEMU: an event waits until there is a client that has negotiated.
Nothing of a recording is lost because nobody listened.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from qmp_exporter.demo.captures import RecordedEvent, Recording, Scenario
from qmp_exporter.demo.captures.conversation import Conversation, crlf, greeting
from qmp_exporter.demo.captures.state import MachineState
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


__all__ = ["Recording", "ReplayMonitor", "listening", "replay", "timetable"]

BACKLOG = 1
"""That of QEMU: two may wait while one is served, the next connect() gets EAGAIN."""

_SECOND = 1_000_000  # in microseconds, the unit of QEMU's stamps
_QUIET_START = 0.2  # seconds, for the client to read the state before the first event
_BETWEEN = 1.0  # seconds without a socket, for the client to see that QEMU has gone
_FAREWELL = 1.0  # seconds, for a client to take what was sent before the connection closed


async def replay(  # noqa: PLR0913 - all that is not a place has its name at the call
    recording: Recording,
    socket_path: Path,
    *,
    name: str,
    loop: bool,
    max_gap: float,
    say: Callable[[str], None],
) -> None:
    """Play a recording on a unix socket, once or until cancelled.

    Args:
        recording: what to play.
        socket_path: where to listen; nothing may be there. It is removed at the end.
        name: what ``query-name`` says.
        loop: begin again after the last scenario.
        max_gap: no pause between events is longer than this many seconds; 0: no pause at all.
        say: told in one line what is played next.

    Raises:
        ConfigError: the socket cannot be made.
    """
    monitor = ReplayMonitor(recording, socket_path, name=name, max_gap=max_gap)
    while True:
        for scenario in recording.scenarios:
            role = f" ({scenario.role})" if scenario.role else ""
            say(f"{scenario.name}{role}: {len(scenario.events)} events: {scenario.recipe}")
            await monitor.play(scenario)
            await asyncio.sleep(min(max_gap, _BETWEEN))
        if not loop:
            return


def timetable(
    events: Iterable[RecordedEvent], max_gap: float
) -> Iterator[tuple[int, int, RecordedEvent]]:
    """Yield each event with its pause and its lateness, both in microseconds.

    The pause is the time since the event before, the lateness how much older than that it is: an
    event that QEMU held back keeps its stamp and comes after younger ones. Neither is longer than
    `max_gap` seconds.
    """
    longest = round(max_gap * _SECOND)
    latest: int | None = None
    for event in events:
        stamp = event.microseconds
        if stamp is None:
            yield 0, 0, event
            continue
        ahead = 0 if latest is None else stamp - latest
        latest = stamp if latest is None else max(latest, stamp)
        yield min(max(ahead, 0), longest), min(max(-ahead, 0), longest), event


@contextlib.contextmanager
def listening(path: Path, backlog: int = BACKLOG) -> Iterator[socket.socket]:
    """Listen on a unix socket, which is removed at the end.

    Raises:
        ConfigError: something is there already, or the path is no path for a socket.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(0)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise ConfigError(f"{path}: cannot listen there: {error.strerror or error}") from error
        try:
            listener.listen(backlog)
            yield listener
        finally:
            path.unlink(missing_ok=True)


class ReplayMonitor:
    """The monitor of machines which live one after the other, on one path.

    Args:
        recording: tells which QEMU to be.
        path: of the socket.
        name: what ``query-name`` says.
        max_gap: longest pause between two events, in seconds.
    """

    def __init__(self, recording: Recording, path: Path, *, name: str, max_gap: float) -> None:
        self._version = recording.version
        self._path = path
        self._name = name
        self._max_gap = max_gap
        self._client: asyncio.StreamWriter | None = None
        self._negotiated = asyncio.Event()

    async def play(self, scenario: Scenario) -> None:
        """Live through a scenario: listen, send its events to whoever comes, hang up.

        Raises:
            ConfigError: the socket cannot be made.
        """
        state = MachineState(
            scenario.events,
            name=self._name,
            version=self._version,
            status="inmigrate" if scenario.role == "dst" else "running",
        )
        with listening(self._path) as listener:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._serve(listener, state))
                await self._send(scenario, state)
                # First: a client may dial again as soon as it is cut off.
                self._path.unlink(missing_ok=True)
                serving.cancel()

    async def _send(self, scenario: Scenario, state: MachineState) -> None:
        clock = _now()
        for pause, lateness, event in timetable(scenario.events, self._max_gap):
            clock += pause
            await asyncio.sleep((clock - _now()) / _SECOND)
            while not self._negotiated.is_set():
                await self._negotiated.wait()
                await asyncio.sleep(min(self._max_gap, _QUIET_START))
                clock = _now()
            state.follow(event.name, event.data)
            if self._client is not None:
                self._client.write(event.stamped(clock - lateness) + b"\r\n")
                with contextlib.suppress(ConnectionError):
                    await self._client.drain()

    async def _serve(self, listener: socket.socket, state: MachineState) -> None:
        """Serve one client after the other."""
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                await self._converse(reader, writer, state)
            except ConnectionError:
                pass  # it hung up while we spoke
            finally:
                self._negotiated.clear()
                self._client = None
                await _close(writer)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: MachineState
    ) -> None:
        conversation = Conversation(state.answer)
        writer.write(crlf(greeting(self._version, "played by qmp-exporter")))
        while chunk := await reader.read(65536):
            for _, reply in conversation.feed(chunk):
                writer.write(crlf(reply))
            await writer.drain()
            if conversation.negotiated:
                self._client = writer
                self._negotiated.set()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection when what was written has been taken, or abandon it."""
    writer.close()
    try:
        async with asyncio.timeout(_FAREWELL):
            await writer.wait_closed()
    except (TimeoutError, ConnectionError):
        writer.transport.abort()


def _now() -> int:
    return time.time_ns() // 1000
