"""A monitor for tests: at scale, at fault, hostile.

By default it answers as QEMU does for a machine with one IDE disk, with the code that also plays
recordings. Its knobs make it lie, stall, and vanish.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from qmp_exporter.recording.conversation import Conversation, QmpError, crlf, greeting
from qmp_exporter.recording.monitor import BACKLOG, listening
from qmp_exporter.recording.state import NO_UUID, MachineState


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self


PATIENCE = 5.0
"""Seconds that any of the waiting methods waits before it fails."""


class FakeMonitor:
    """A QMP monitor that serves one client at a time, as an asynchronous context manager.

    Args:
        path: of the unix socket; without one it listens on TCP, 127.0.0.1 and any free port.
        name: what ``query-name`` says; empty: none.
        uuid: what ``query-uuid`` says.
        version: of QEMU, in the greeting.
        replies: for a command, what is returned instead of the default: a value, a function of
            the arguments, or a `QmpError` (also raised by that function) to refuse.
        silent_to: commands that get no reply; ``qmp_capabilities`` is one of them.
        reply_delay: seconds before each reply.
        greet: False: take the connection and say nothing.
        greeting: these bytes instead of a greeting.
        accept: False: listen, but never take a connection, so that the backlog fills.
        backlog: of listen(2); QEMU's is 1.
        before: for a command, bytes that are sent right before its reply.
        cut: called for each client: after so many bytes to it, hang up; None: never.
        stall: after so many bytes to a client, send it no more, but stay.
        drip: send one byte at a time.

    Attributes:
        replies, silent_to, reply_delay, greet, before, cut, stall, drip: as above; they may be
            changed at any time.
        rename: what becomes of the id of a command in its reply.
        state: the machine behind the default replies; `send_event` keeps it up to date.
        received: every byte from every client.
        sent: every byte to the client that is being served, or was last.
        commands: every command, in order, refused and silent ones too.
        connections: how many clients have been taken so far.
    """

    def __init__(  # noqa: PLR0913 - knobs are what it is for, and they are keywords
        self,
        path: Path | None = None,
        *,
        name: str = "vm",
        uuid: str = NO_UUID,
        version: tuple[int, int, int] = (7, 2, 22),
        replies: Mapping[str, object] | None = None,
        silent_to: Collection[str] = (),
        reply_delay: float = 0.0,
        greet: bool = True,
        greeting: bytes | None = None,
        accept: bool = True,
        backlog: int = BACKLOG,
        before: Mapping[str, bytes] | None = None,
        cut: Callable[[], int | None] = lambda: None,
        stall: int | None = None,
        drip: bool = False,
    ) -> None:
        self.state = MachineState(name=name, uuid=uuid, version=version)
        self.received = bytearray()
        self.commands: list[dict[str, Any]] = []
        self.connections = 0
        self.replies = dict(replies or {})
        self.silent_to = set(silent_to)
        self.reply_delay = reply_delay
        self.sent = bytearray()
        self.greet = greet
        self.before = dict(before or {})
        self.cut = cut
        self.stall = stall
        self.drip = drip
        self.rename: Callable[[Any], Any] = lambda given: given
        self._path = path
        self._greeting = _greeting(version) if greeting is None else greeting
        self._limit: int | None = None
        self._accept = accept
        self._backlog = backlog
        self._address: str | tuple[str, int] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._negotiated = False
        self._news = asyncio.Condition()
        self._stack = contextlib.AsyncExitStack()

    @property
    def address(self) -> str | tuple[str, int]:
        """What a client dials: the path of the socket, or host and port."""
        assert self._address is not None, "not entered"
        return self._address

    async def __aenter__(self) -> Self:
        listener = self._stack.enter_context(self._listen())
        self._address = listener.getsockname()
        if self._accept:
            serving = asyncio.create_task(self._serve(listener))
            self._stack.push_async_callback(cancel, serving)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def connected(self) -> bool:
        """Whether a client is being served."""
        return self._writer is not None

    async def wait_connected(self) -> None:
        """Wait until a client has been taken; it may not have negotiated."""
        await self._until(lambda: self._writer is not None, "a client")

    async def wait_negotiated(self) -> None:
        """Wait until events may be sent: before that, QEMU sends none."""
        await self._until(lambda: self._negotiated, "qmp_capabilities")

    async def wait_disconnected(self) -> None:
        """Wait until no client is being served."""
        await self._until(lambda: self._writer is None, "the client to go")

    async def wait_command(self, name: str, times: int = 1) -> dict[str, Any]:
        """Wait until a command has come this many times in all, and return the last of them."""

        def of_that_name() -> list[dict[str, Any]]:
            return [one for one in self.commands if one.get("execute") == name]

        await self._until(lambda: len(of_that_name()) >= times, f"{name}, {times} times")
        return of_that_name()[times - 1]

    async def send_event(
        self,
        name: str,
        data: dict[str, Any] | None = None,
        *,
        seconds: int | None = None,
        microseconds: int = 0,
    ) -> None:
        """Send an event, stamped now unless told otherwise, once the client has negotiated."""
        await self.wait_negotiated()
        if seconds is None:
            seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        stamp = {"seconds": seconds, "microseconds": microseconds}
        event = {"timestamp": stamp, "event": name} | ({} if data is None else {"data": data})
        self.state.follow(name, data or {})
        await self.send_raw(crlf(event))

    async def send_raw(self, line: bytes) -> None:
        """Send bytes as they are, once there is a client, whatever it has said."""
        await self.wait_connected()
        assert self._writer is not None
        await self._write(self._writer, line)

    async def flood(self, lines: bytes, times: int) -> None:
        """Send the same lines again and again, as fast as a negotiated client takes them."""
        await self.wait_negotiated()
        for _ in range(times):
            await self.send_raw(lines)

    async def drop(self) -> None:
        """Close the connection; the next client may come."""
        await self.wait_connected()
        assert self._writer is not None
        self._writer.close()
        await self.wait_disconnected()

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(reached)
        except TimeoutError:
            got = [command.get("execute") for command in self.commands]
            raise AssertionError(f"waited {PATIENCE} s for {what}; commands: {got}") from None

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    @contextlib.contextmanager
    def _listen(self) -> Iterator[socket.socket]:
        if self._path is not None:
            with listening(self._path, self._backlog) as listener:
                yield listener
            return
        with socket.create_server(("127.0.0.1", 0), backlog=self._backlog) as listener:
            listener.settimeout(0)
            yield listener

    async def _serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            await self._attend(*await asyncio.open_connection(sock=connection))

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it has gone."""
        self._writer = writer
        self.connections += 1
        try:
            await self._tell()
            await self._converse(reader, writer)
        except ConnectionError:
            pass  # the client, or drop(), was quicker
        finally:
            writer.transport.abort()
            self._writer, self._negotiated = None, False
        await self._tell()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(self._answer)
        self._limit = self.cut()
        self.sent.clear()
        if self.greet:
            await self._write(writer, self._greeting)
        while chunk := await reader.read(65536):
            self.received += chunk
            for command, reply in conversation.feed(chunk):
                self.commands.append(command)
                if command.get("execute") not in self.silent_to:
                    await asyncio.sleep(self.reply_delay)
                    if "id" in reply:
                        reply["id"] = self.rename(reply["id"])
                    first = self.before.get(command.get("execute", ""), b"")
                    await self._write(writer, first + crlf(reply))
                    self._negotiated = conversation.negotiated
                await self._tell()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send as much as is to be sent; hang up where that is due."""
        limits = [one for one in (self._limit, self.stall) if one is not None]
        if limits:
            data = data[: max(0, min(limits) - len(self.sent))]
        self.sent += data
        for piece in (data[at : at + 1] for at in range(len(data))) if self.drip else (data,):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if self._limit is not None and len(self.sent) >= self._limit:
            writer.transport.abort()
            raise ConnectionAbortedError

    def _answer(self, command: str, arguments: dict[str, Any]) -> object:
        if command not in self.replies:
            return self.state.answer(command, arguments)
        reply = self.replies[command]
        if callable(reply):
            reply = reply(arguments)
        if isinstance(reply, QmpError):
            raise reply
        return reply


def _greeting(version: tuple[int, int, int]) -> bytes:
    return crlf(greeting(version))


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
