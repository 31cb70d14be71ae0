"""One connection to a monitor: who answers, and what it says until it is lost."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from qemu.qmp import ConnectError, QMPError, Runstate
from qemu.qmp.error import ProtocolError
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from qmp_exporter.catalog.states import LostCause
from qmp_exporter.errors import (
    BusyError,
    LostError,
    NotQmpError,
    UnreachableError,
    UnresponsiveError,
)
from qmp_exporter.model.inputs import Ask, Identity
from qmp_exporter.model.replies import Status
from qmp_exporter.qmp.client import PROBE, Client, LineError
from qmp_exporter.qmp.queries import IDENTITY, NO_UUID, Arch, Name, Uuid, Version, read_as
from qmp_exporter.qmp.unix import peer_pid, process_started


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from qemu.qmp.message import Message

    from qmp_exporter.model.target import Target
    from qmp_exporter.qmp.context import Context


log = logging.getLogger(__name__)

MAX_EARLY: Final = 64 * 1024
"""Bytes of events kept until it is known whose they are; with more, that is not waited for."""


class Connection:
    """One connection to a monitor; good for one ``open()``.

    Until ``follow()`` the events that come are kept, as it is not known yet whose they are.

    Args:
        sock: connected, not blocking.
        target: the monitor at its other end, for the log and for ``Identity.monitor``.
        context: what all connections share.
        begun: Unix seconds at which it was dialled; now, if somebody dialled in.

    Attributes:
        pid: of the process at its other end, where the kernel tells.
        identity: who answers; none before ``identify()``.
        settled: to be called once its state is read, or will not be.
    """

    def __init__(
        self, sock: socket.socket, target: Target, context: Context, begun: float | None = None
    ) -> None:
        self.target = target
        self.begun = time() if begun is None else begun
        self._sock = sock
        self._context = context
        self.pid = peer_pid(sock)
        self._client = Client(
            self._tapped if context.tap else self._event,
            self._reply,
            context.limits,
            context.turns,
            context.yielded,
        )
        self._early: _Early | None = _Early()
        self.identity: Identity | None = None
        self.settled: Callable[[], None] = _nothing
        self._probed = 0.0  # monotonic seconds
        self._on_event: Callable[[bytes], None]
        self._on_reply: Callable[[str, object], None]

    @property
    def read_at(self) -> float:
        """Monotonic seconds at which a line was last received."""
        return self._client.read_at

    @property
    def version(self) -> str:
        """Of QEMU, by its greeting, such as ``7.2.22``."""
        greeting = self._client.greeting
        version = read_as(greeting.QMP.version if greeting else {}, Version, Version()).qemu
        return f"{version.major}.{version.minor}.{version.micro}"

    async def open(self) -> None:
        """Wait for the greeting and negotiate.

        Raises:
            SessionError: of the kind that tells what is known of the monitor.
        """
        client = self._client
        try:
            async with asyncio.timeout(self._context.timing.connect):
                await client.connect(self._sock)
        except TimeoutError:
            if client.greeting is None:
                raise BusyError("no greeting; another client may hold it") from None
            raise UnresponsiveError("no answer to the negotiation") from None
        except ConnectError as err:
            if isinstance(err.exc, _NOT_QMP):
                raise NotQmpError(f"no QMP monitor: {err.exc}"[:300]) from err
            raise UnreachableError("closed before it greeted") from err
        except (QMPError, OSError, AssertionError, EOFError) as err:
            raise UnreachableError(f"{type(err).__name__} while connecting") from err

    async def identify(self) -> Identity:
        """Return who answers; what is not told in time, or under a flood, stays empty."""
        assert self._early is not None  # noqa: S101 - asked before it is followed
        crowded = self._early.crowded
        questions = asyncio.create_task(self._execute_all(IDENTITY))
        try:
            await asyncio.wait((questions, crowded), return_when=asyncio.FIRST_COMPLETED)
            told = questions.result() if questions.done() else (None,) * len(IDENTITY)
            name, uuid, arch, status = told
            order, address = self._context.order, self.target.address
            enough = [crowded]
            if read_as(status, Status, Status("")).status == "inmigrate":
                # The other end, if it is here, has the better claim to the name of both.
                order.leave(address)
            else:
                enough.append(order.turn(address))
            await asyncio.wait(
                enough,
                timeout=self._context.timing.yielding,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            questions.cancel()
        number = read_as(uuid, Uuid, Uuid(uuid="")).uuid
        self.identity = Identity(
            name=read_as(name, Name, Name()).name,
            uuid="" if number == NO_UUID else number,
            qemu_version=self.version,
            arch=read_as(arch, Arch, Arch("")).arch,
            monitor=self.target.path,
            pid=self.pid,
            started=process_started(self.pid),
            labels=self.target.labels,
        )
        return self.identity

    def follow(
        self,
        on_event: Callable[[bytes], None],
        on_reply: Callable[[str, object], None],
        again: Callable[[list[bytes], int, int], int],
    ) -> None:
        """Hand over what was kept, and from now on all that comes, in the order of the stream.

        Args:
            on_event: called with each line that is no reply.
            on_reply: called with the command and its reply (None for an error).
            again: as ``Client.again``.
        """
        early, self._early = self._early, None
        self._on_event, self._on_reply = on_event, on_reply
        if self._context.tap is None:  # which hears every line
            self._client.again, self._client.on_same = again, self._answered
        for line in early.lines if early else ():
            on_event(line)

    async def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Send a command and return its reply; none if QEMU refuses it.

        Raises:
            TimeoutError: no reply came in time.
        """
        began = monotonic()
        try:
            async with asyncio.timeout(self._context.timing.command):
                reply = await self._client.execute(command, dict(arguments) if arguments else None)
        except QMPError as err:
            log.debug("%s: %s failed: %s", self.target.address, command, type(err).__name__)
            return None
        self._context.answered(command, monotonic() - began)
        return reply

    def probe(self) -> None:
        """Ask whether somebody is there; any line is an answer."""
        self._probed = monotonic()
        self._client.probe(Ask.STATUS)

    async def ended(self) -> None:
        """Wait until it is lost."""
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()

    async def close(self) -> LostError:
        """Close it, and return why it ended.

        qemu.qmp does not bear being cancelled here, so that is put off until it is done.
        """
        self.settled()
        try:
            return await self._disconnect()
        finally:
            self._sock.close()

    async def _disconnect(self) -> LostError:
        client = self._client
        if client.runstate is Runstate.IDLE:
            return LostError(LostCause.EOF, "closed")
        closing = asyncio.ensure_future(client.disconnect())
        # It may wait for a peer that reads nothing, but not for ever.
        limit = asyncio.get_running_loop().call_later(self._context.timing.disconnect, client.abort)
        cancelled = None
        while not closing.done():
            try:
                await asyncio.wait((closing,))
            except asyncio.CancelledError as err:
                cancelled = err
        limit.cancel()
        lost = _lost(closing.exception())
        if cancelled is not None:
            raise cancelled
        return lost

    async def _execute_all(self, commands: tuple[str, ...]) -> list[object]:
        return await asyncio.gather(*(self._told(command) for command in commands))

    async def _told(self, command: str) -> object:
        try:
            return await self.execute(command)
        except TimeoutError:
            return None

    def _tapped(self, line: bytes) -> None:
        assert self._context.tap is not None  # noqa: S101 - it is why this is called
        self._context.tap.line(line)
        self._event(line)

    def _event(self, line: bytes) -> None:
        if self._early is None:
            self._on_event(line)
        else:
            self._early.add(line)

    def _reply(self, command: str, message: Message) -> None:
        if message.get("id") == PROBE:
            self._answered()
        if self._context.tap is not None:
            self._context.tap.reply(command, message)
        if self._early is None:
            self._on_reply(command, message.get("return"))

    def _answered(self) -> None:
        self._context.answered(Ask.STATUS, monotonic() - self._probed)


class _Early:
    """Events of which it is not known yet whose they are."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.crowded = asyncio.get_running_loop().create_future()
        self._size = 0

    def add(self, line: bytes) -> None:
        self.lines.append(line)
        self._size += len(line)
        if self._size > MAX_EARLY and not self.crowded.done():
            self.crowded.set_result(None)


def _nothing() -> None:
    """Settle nothing: it does not keep others waiting."""


def _lost(err: BaseException | None) -> LostError:
    """Return what ended a connection, from what its reader raised."""
    if err is None or isinstance(err, EOFError):
        return LostError(LostCause.EOF, "the connection was closed")
    if isinstance(err, ConnectionError):
        return LostError(LostCause.RESET, type(err).__name__)
    if isinstance(err, LineError):
        return LostError(LostCause.LONG_LINE, str(err))
    if isinstance(err, ProtocolError | ValueError):
        return LostError(LostCause.PROTOCOL, type(err).__name__)
    return LostError(LostCause.ERROR, type(err).__name__)


_NOT_QMP: Final = (GreetingError, NegotiationError, ProtocolError, ValueError, RecursionError)
