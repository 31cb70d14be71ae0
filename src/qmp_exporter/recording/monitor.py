"""Plays what a monitor said to whoever connects: no QEMU is needed to see one.

A monitor that is played behaves as QEMU's does: it greets, wants to negotiate, answers queries,
refuses all else, and serves one client at a time, while others wait in the backlog without a
greeting.

A reply that was recorded is given where it stands, between the same events: the question waits
for it, or it waits for the question, if the client is one that asks. So an exporter that is played
to hears the stream that was recorded, line for line, at any speed. What the recording has no reply
to is answered by `MachineState`, which follows the events.

In one point it is kinder than QEMU: an event waits until there is a client that has negotiated.
Nothing of a recording is lost because nobody listened.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.errors import ConfigError
from qmp_exporter.recording.conversation import LATER, Conversation, crlf, greeting, reply_to
from qmp_exporter.recording.event import SECOND, RecordedEvent


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from qmp_exporter.recording.state import MachineState


BACKLOG: Final = 1
"""That of QEMU: two may wait while one is served, the next connect() gets EAGAIN."""

QUIET: Final = 0.2
"""Seconds that a new client has to read the state before the first event."""

PATIENCE: Final = 1.0
"""Seconds that a recorded reply waits for its question; of a client that does not ask, once."""

MAX_SPEED: Final = math.inf

_PROMPT: Final = (
    SECOND  # a question and its reply are no further apart than this, nor from an event
)
_FAREWELL: Final = 1.0  # seconds, for a client to take what was sent before the connection closed
_PACKAGE: Final = "played by qmp-exporter"


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """Something to say: an event, a reply, or bytes that are no message.

    Attributes:
        at: microseconds since the beginning.
        event: what is sent, if it is an event.
        late: microseconds by which its stamp is older than its arrival.
        command: of which it is the reply, if it is one.
        reply: what the command returned, or a `QmpError`.
        noise: a line that is neither.
    """

    at: int
    event: RecordedEvent | None = None
    late: int = 0
    command: str = ""
    reply: Any = None
    noise: bytes = b""


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
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"{path}: cannot listen there: {why}") from error
        try:
            listener.listen(backlog)
            yield listener
        finally:
            path.unlink(missing_ok=True)


class Monitor:
    """The monitor of machines which live one after the other, on one path.

    Args:
        path: of the socket.
        version: of QEMU: major, minor, micro.
        speed: how many times as fast as it was; `MAX_SPEED` for no pauses.
        quiet: seconds that a new client has before the first event.
        patience: seconds that a recorded reply waits for its question.
    """

    def __init__(
        self,
        path: Path,
        version: tuple[int, int, int],
        *,
        speed: float = 1.0,
        quiet: float = QUIET,
        patience: float = PATIENCE,
    ) -> None:
        self._path = path
        self._version = version
        self._speed = speed
        self._quiet = quiet
        self._patience = patience
        self._client: asyncio.StreamWriter | None = None
        self._negotiated = asyncio.Event()
        self._hushed = True  # the first event to this client is still to come
        self._asks = True
        self._asked = asyncio.Event()
        self._waiting: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self._cues: Sequence[Cue] = ()
        self._next = 0
        self._state: MachineState

    async def play(
        self,
        cues: Sequence[Cue],
        state: MachineState,
        *,
        stays: bool = False,
        hangs_up: bool = True,
    ) -> None:
        """Live through all cues: listen, say them to whoever comes.

        Args:
            cues: in their order.
            state: the machine at the beginning.
            stays: go on for ever after the last cue, as a machine to which nothing happens.
            hangs_up: close the connection after the last cue.

        Raises:
            ConfigError: the socket cannot be made.
        """
        self._cues, self._next, self._state = cues, 0, state
        with listening(self._path) as listener:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._serve(listener))
                await self._perform()
                if stays:
                    if hangs_up and self._client is not None:
                        await _close(self._client)
                    await asyncio.Event().wait()
                # First: a client may dial again as soon as it is cut off.
                self._path.unlink(missing_ok=True)
                serving.cancel()

    # ---- what is said

    async def _perform(self) -> None:
        clock = began = _now()
        before = last_event = 0
        for number, cue in enumerate(self._cues):
            self._next = number
            clock += round((cue.at - before) / self._speed)
            before = cue.at
            await asyncio.sleep(max(0, clock - _now()) / SECOND)
            if await self._waited_for_client(cue) or self._speed == MAX_SPEED:
                clock = max(clock, _now())
                if number == 0:
                    began = clock - round(cue.at / self._speed)
            if cue.command:
                prompted = cue.at - last_event <= _PROMPT
                if await self._reply(cue, prompted=prompted):
                    clock = max(clock, _now())
            elif cue.event is None:
                await self._say(cue.noise)
            else:
                last_event = cue.at
                self._state.follow(cue.event.name, cue.event.data)
                await self._say(cue.event.stamped(self._stamp(cue, clock, began)))
        self._next = len(self._cues)

    def _stamp(self, cue: Cue, clock: int, began: int) -> int:
        if cue.late > cue.at:  # of before the beginning
            return began - (cue.late - cue.at)
        return clock - round(cue.late / self._speed)

    async def _waited_for_client(self, cue: Cue) -> bool:
        """Wait until there is a client to speak to; return whether that took any time."""
        waited = False
        while not self._negotiated.is_set() or (self._hushed and not cue.command):
            waited = True
            await self._negotiated.wait()
            if not cue.command:
                self._hushed = False
                await asyncio.sleep(self._quiet)
        return waited

    async def _reply(self, cue: Cue, *, prompted: bool) -> bool:
        """Give a reply to who asked for it; return whether the question had to be waited for."""
        waiting = self._waiting[cue.command]
        wait = not waiting and prompted and self._asks
        if wait:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    while not waiting:
                        self._asked.clear()
                        await self._asked.wait()
            self._asks = bool(waiting)
        self._state.learn(cue.command, cue.reply)
        if waiting:
            await self._say(crlf(reply_to(waiting.popleft(), cue.reply)).rstrip())
        return wait

    async def _say(self, line: bytes) -> None:
        if self._client is not None:
            self._client.write(line + b"\r\n")
            with contextlib.suppress(ConnectionError):
                await self._client.drain()

    # ---- to whom

    async def _serve(self, listener: socket.socket) -> None:
        """Serve one client after the other."""
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                await self._converse(reader, writer)
            except ConnectionError:
                pass  # it hung up while we spoke
            finally:
                self._negotiated.clear()
                self._client = None
                self._waiting.clear()
                await _close(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(self._answer)
        self._hushed = self._asks = True
        writer.write(crlf(greeting(self._version, _PACKAGE)))
        while chunk := await reader.read(65536):
            for command, reply in conversation.feed(chunk):
                if reply:
                    writer.write(crlf(reply))
                else:
                    self._waiting[command["execute"]].append(command)
                    self._asked.set()
            await writer.drain()
            if conversation.negotiated:
                self._client = writer
                self._negotiated.set()

    def _answer(self, command: str, arguments: dict[str, Any]) -> object:
        """Answer a command, or leave that to a reply that is to come soon."""
        later = self._due(command) > len(self._waiting[command])
        if later and not arguments:
            return LATER
        answer = self._state.answer(command, arguments)
        return LATER if later else answer

    def _due(self, command: str) -> int:
        """Return how many replies to a command are to come within a second."""
        count = 0
        position = self._cues[self._next - 1].at if self._next else 0
        for number in range(self._next, len(self._cues)):
            cue = self._cues[number]
            if cue.at > position + _PROMPT:
                break
            count += cue.command == command
        return count


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
