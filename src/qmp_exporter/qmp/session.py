"""The watch over one monitor: connect, read the state, stay, and again."""

from __future__ import annotations

import asyncio
import logging
import random
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from qemu.qmp import ConnectError, QMPError, Runstate
from qemu.qmp.error import ProtocolError
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.errors import (
    BusyError,
    DecodeError,
    LostError,
    NotQmpError,
    SessionError,
    UnreachableError,
    UnresponsiveError,
)
from qmp_exporter.model.inputs import Ask, Identity, Input, Link, Reply
from qmp_exporter.model.replies import Status
from qmp_exporter.qmp.client import Client
from qmp_exporter.qmp.dial import dial, fingerprint
from qmp_exporter.qmp.queries import (
    CAPABILITIES,
    EVENTS_ON,
    IDENTITY,
    NO_UUID,
    SET_CAPABILITIES,
    STATE,
    Arch,
    Capability,
    Name,
    Uuid,
    Version,
    read_as,
    typed,
)
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.unix import UnixTable, peer_pid, process_started


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from qmp_exporter.model.event import Event
    from qmp_exporter.model.target import Target


log = logging.getLogger(__name__)

MAX_EARLY: Final = 256 * 1024
"""Bytes of events kept until it is known whose they are; with more, that is not waited for."""


class Observer:
    """What a session tells, and the application does: the seam between both."""

    def feed(self, given: Input) -> tuple[Ask, ...]:
        """Take an input; return commands to send."""
        raise NotImplementedError

    def decode_error(self, event: str) -> None:
        """Take note of a line that is not the event that it claims to be."""
        raise NotImplementedError

    def answered(self, command: str, seconds: float) -> None:
        """Take note of how long a command took."""
        raise NotImplementedError


class Session:
    """The watch over one monitor.

    Args:
        target: the monitor.
        observer: who is told.
        decode: from a line, Unix and monotonic seconds to an event.
        table: the kernel's table of unix sockets.
        migration_events: whether QEMU may be told to send MIGRATION, which it does not by itself.
        timing: time limits.
    """

    def __init__(  # noqa: PLR0913 - the parts it is put together from
        self,
        target: Target,
        observer: Observer,
        decode: Callable[[bytes, float, float], Event],
        table: UnixTable,
        *,
        migration_events: bool = True,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self.target = target
        self._observer = observer
        self._decode = decode
        self._table = table
        self._migration_events = migration_events
        self._timing = timing
        self._state = TargetState.CONNECTING
        self._why = ""
        self._client: Client | None = None
        self._early: _Early | None = None
        self._nap: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[object]] = set()
        self._probed_at: float | None = None
        self._quiet = timing.quiet * random.uniform(0.8, 1.2)  # noqa: S311 - not all at once

    async def run(self) -> None:
        """Watch the monitor until cancelled."""
        attempt = 0
        while True:
            began = monotonic()
            seen = fingerprint(self.target)
            try:
                await self._watch()
            except LostError as err:
                self._link(TargetState.CONNECTING, err, lost=LostCause(err.cause))
                # A session that lasted was no failed attempt.
                attempt = 0 if monotonic() - began > self._timing.first_retry else attempt
            except SessionError as err:
                self._link(TargetState(err.reason), err)
            except Exception as err:
                # Whatever one VM brings about, the watch over the others goes on.
                log.exception("%s: a fault of the exporter", self.target.address)
                lost = LostError(LostCause.ERROR, type(err).__name__)
                self._link(TargetState.CONNECTING, lost, lost=LostCause.ERROR)
            attempt += 1
            if await self._pause(attempt, seen):
                attempt = 0

    def tick(self, now: float) -> None:
        """Look after a connection that is quiet; called about once a second."""
        client = self._client
        if client is None or self._state not in _WATCHED:
            return
        if self._probed_at is None:
            if now - client.read_at >= self._quiet:
                self._probed_at = now
                self._ask((Ask.STATUS,))
        elif client.read_at >= self._probed_at:  # any line is an answer
            self._probed_at = None
            if self._state is TargetState.UNRESPONSIVE:
                self._link(TargetState.CONNECTED)
        elif (
            now - self._probed_at >= self._timing.unresponsive
            and self._state is TargetState.CONNECTED
        ):
            self._link(TargetState.UNRESPONSIVE)

    # ---- one connection

    async def _watch(self) -> None:
        sock = await dial(self.target, self._table, self._timing.connect)
        pid = peer_pid(sock)
        client = Client(self._on_event, self._on_reply)
        self._early = _Early()
        self._probed_at = None
        try:
            await self._connect(client, sock)
            self._client = client
            if self._state is not TargetState.CONNECTING:
                self._link(TargetState.CONNECTING)  # whatever it was, it speaks now
            await self._established(client, pid, self._early)
        finally:
            self._client = None
            for task in self._asking:
                task.cancel()
            lost = await self._disconnect(client)
            sock.close()
        raise lost

    async def _connect(self, client: Client, sock: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._timing.connect):
                await client.connect(sock)
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

    async def _established(self, client: Client, pid: int | None, early: _Early) -> None:
        identity = await self._identify(client, pid, early.crowded)
        self._link(TargetState.CONNECTED, identity=identity)
        self._early = None
        for line in early.lines:
            self._on_event(line)
        for command in STATE:
            await self._execute(client, command)
        if self._migration_events:
            await self._turn_events_on(client)
        while client.runstate is Runstate.RUNNING:
            await client.runstate_changed()

    async def _identify(
        self, client: Client, pid: int | None, crowded: asyncio.Future[None]
    ) -> Identity:
        """Return who answers; what is not told in time, or under a flood, stays empty."""
        questions = asyncio.create_task(self._execute_all(client, IDENTITY))
        try:
            await asyncio.wait((questions, crowded), return_when=asyncio.FIRST_COMPLETED)
            told = questions.result() if questions.done() else (None,) * len(IDENTITY)
            name, uuid, arch, status = told
            if read_as(status, Status, Status("")).status == "inmigrate":
                # The other end, if it is here, has the better claim to the name of both.
                await asyncio.wait((crowded,), timeout=self._timing.yielding)
        finally:
            questions.cancel()
        greeting = client.greeting
        version = read_as(greeting.QMP.version if greeting else {}, Version, Version()).qemu
        number = read_as(uuid, Uuid, Uuid(uuid="")).uuid
        return Identity(
            name=read_as(name, Name, Name()).name,
            uuid="" if number == NO_UUID else number,
            qemu_version=f"{version.major}.{version.minor}.{version.micro}",
            arch=read_as(arch, Arch, Arch("")).arch,
            monitor=self.target.address,
            pid=pid,
            started=process_started(pid),
        )

    async def _turn_events_on(self, client: Client) -> None:
        """Let QEMU send MIGRATION, which it does not unless it is told to."""
        found = read_as(await self._execute(client, CAPABILITIES), list[Capability], [])
        if any(c.capability == "events" and not c.state for c in found):
            await self._execute(client, SET_CAPABILITIES, EVENTS_ON)

    async def _execute_all(self, client: Client, commands: tuple[str, ...]) -> list[object]:
        return await asyncio.gather(*(self._execute(client, command) for command in commands))

    async def _execute(
        self, client: Client, command: str, arguments: Mapping[str, object] | None = None
    ) -> object:
        """Send a command and return its reply; none if it fails or is not answered in time."""
        began = monotonic()
        try:
            async with asyncio.timeout(self._timing.command):
                reply = await client.execute(command, dict(arguments) if arguments else None)
        except (TimeoutError, QMPError) as err:
            log.debug("%s: %s failed: %s", self.target.address, command, type(err).__name__)
            if isinstance(err, TimeoutError):
                self._feed(Reply(command, None, time(), monotonic()))
            return None
        self._observer.answered(command, monotonic() - began)
        return reply

    async def _disconnect(self, client: Client) -> LostError:
        """Close the connection, and return why it ended.

        qemu.qmp does not bear being cancelled here, so that is put off until it is done.
        """
        if client.runstate is Runstate.IDLE:
            return LostError(LostCause.EOF, "closed")
        closing = asyncio.ensure_future(client.disconnect())
        # It may wait for a peer that reads nothing, but not for ever.
        limit = asyncio.get_running_loop().call_later(self._timing.disconnect, client.abort)
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

    # ---- what arrives, in the order of the stream

    def _on_event(self, line: bytes) -> None:
        if self._early is not None:
            self._early.add(line)
            return
        try:
            event = self._decode(line, time(), monotonic())
        except DecodeError as err:
            self._observer.decode_error(err.event)
        else:
            self._feed(event)

    def _on_reply(self, command: str, reply: object) -> None:
        if command in STATE and self._early is None:
            self._feed(Reply(command, typed(command, reply), time(), monotonic()))

    def _feed(self, given: Input) -> None:
        asks = self._observer.feed(given)
        if asks:
            self._ask(asks)

    def _ask(self, asks: tuple[Ask, ...]) -> None:
        client = self._client
        if client is None:
            return
        for ask in asks:
            task = asyncio.create_task(self._execute(client, ask))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    # ---- between connections

    def _link(
        self,
        state: TargetState,
        why: SessionError | None = None,
        *,
        identity: Identity | None = None,
        lost: LostCause | None = None,
    ) -> None:
        if (state, str(why or "")) != (self._state, self._why) or lost:
            log.info("%s is %s%s", self.target.address, state, f": {why}" if why else "")
        self._state, self._why = state, str(why or "")
        self._feed(Link(state, time(), monotonic(), identity, lost))

    def wake(self) -> None:
        """Look at once whether another socket is there, if the next attempt is not due yet."""
        if self._nap is not None:
            self._nap.cancel()

    async def _pause(self, attempt: int, seen: tuple[int, int, int] | None) -> bool:
        """Wait before the next attempt, or until another socket appears; return whether one did."""
        timing = self._timing
        wait = min(timing.last_retry, timing.first_retry * 2 ** min(attempt - 1, 10))
        if self._state is TargetState.BUSY and not self._table.states(self.target.address):
            wait = timing.busy_retry
        deadline = monotonic() + wait * random.uniform(0.75, 1.0)  # noqa: S311 - not all at once
        while (left := deadline - monotonic()) > 0:
            self._nap = asyncio.create_task(asyncio.sleep(min(left, timing.look)))
            try:
                await asyncio.wait((self._nap,))
            finally:
                self._nap.cancel()
            if not self.target.tcp and fingerprint(self.target) not in (seen, None):
                return True
        return False


def _lost(err: BaseException | None) -> LostError:
    """Return what ended a connection, from what its reader raised."""
    if err is None or isinstance(err, EOFError):
        return LostError(LostCause.EOF, "the connection was closed")
    if isinstance(err, ConnectionError):
        return LostError(LostCause.RESET, type(err).__name__)
    if isinstance(err, ProtocolError | ValueError):
        return LostError(LostCause.PROTOCOL, type(err).__name__)
    return LostError(LostCause.ERROR, type(err).__name__)


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


_NOT_QMP: Final = (GreetingError, NegotiationError, ProtocolError, ValueError, RecursionError)
_WATCHED: Final = frozenset({TargetState.CONNECTED, TargetState.UNRESPONSIVE})
