"""The watch over one monitor: connect, read the state, stay, and again."""

from __future__ import annotations

import asyncio
import logging
import random
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.errors import DecodeError, LostError, SessionError
from qmp_exporter.model.inputs import Ask, Identity, Input, Link, Reply
from qmp_exporter.qmp.queries import (
    CAPABILITIES,
    EVENTS_ON,
    SET_CAPABILITIES,
    STATE,
    Capability,
    read_as,
    typed,
)


if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmp_exporter.model.target import Target
    from qmp_exporter.qmp.connection import Connection
    from qmp_exporter.qmp.context import Context
    from qmp_exporter.qmp.transport import Transport


log = logging.getLogger(__name__)

MAX_TOLD: Final = 8
"""Reasons logged of one state, each once: some quote what a peer says, which may change."""


class Observer:
    """What a session tells, and the application does: the seam between both."""

    def feed(self, given: Input) -> tuple[Ask, ...]:
        """Take an input; return commands to send."""
        raise NotImplementedError

    def decode_error(self, event: str) -> None:
        """Take note of a line that is not the event that it claims to be."""
        raise NotImplementedError

    def again(self, lines: list[bytes], start: int, end: int) -> int:  # noqa: ARG002 - it may
        """Take lines without their being decoded, from ``start`` to ``end`` at most.

        Returns:
            Where the first is that is to be decoded.
        """
        return start


class Session:
    """The watch over one monitor.

    Args:
        target: the monitor.
        observer: who is told.
        transport: where its connections come from.
        context: what all connections share.
    """

    def __init__(
        self, target: Target, observer: Observer, transport: Transport, context: Context
    ) -> None:
        self.target = target
        self.transport = transport
        self._observer = observer
        self._context = context
        self._state = TargetState.CONNECTING
        self._told: set[str] = set()  # reasons of this state
        self._connection: Connection | None = None
        self._asking: set[asyncio.Task[object]] = set()
        self._begun = float("-inf")  # the last connection
        self._probed_at: float | None = None
        self._counted_at = float("-inf")
        self._due = float("-inf")  # before this, a tick finds nothing to do
        share = random.uniform(0.8, 1.0)  # noqa: S311 - not all at once
        self._quiet = context.timing.quiet * share
        self._counted = context.timing.counted * share

    async def run(self) -> None:
        """Watch the monitor until cancelled."""
        attempt = 0
        self._context.order.enter(self.target.address)
        try:
            while True:
                try:
                    attempt = await self._once(attempt)
                except Exception:
                    # Whatever one VM brings about, the watch over the others goes on.
                    log.exception("%s: a fault of the exporter", self.target.address)
                    await asyncio.sleep(self._context.timing.last_retry)
        finally:
            self._context.order.leave(self.target.address)
            await self.transport.close()

    async def _once(self, attempt: int) -> int:
        """Watch for the length of a connection, then wait; return how many attempts failed."""
        try:
            await self._watch()
        except LostError as err:
            self._link(TargetState.CONNECTING, err, lost=LostCause(err.cause))
            # A session that lasted was no failed attempt.
            lasted = monotonic() - self._begun > self._context.timing.first_retry
            attempt = 0 if lasted else attempt
        except SessionError as err:
            self._link(TargetState(err.reason), err)
        except Exception as err:
            log.exception("%s: a fault of the exporter", self.target.address)
            lost = LostError(LostCause.ERROR, type(err).__name__)
            self._link(TargetState.CONNECTING, lost, lost=LostCause.ERROR)
        attempt += 1
        return 0 if await self.transport.pause(attempt, self._state) else attempt

    def tick(self, now: float) -> None:
        """Look after a connection that is quiet; called about once a second."""
        connection = self._connection
        if now < self._due or connection is None or self._state not in _WATCHED:
            return
        if now - self._counted_at >= self._counted:
            self._ask((Ask.BLOCKSTATS,))
        if self._probed_at is None:
            if now - connection.read_at >= self._quiet:
                self._probed_at = now
                connection.probe()
        elif connection.read_at >= self._probed_at:  # any line is an answer
            self._probed_at = None
            if self._state is TargetState.UNRESPONSIVE:
                self._link(TargetState.CONNECTED)
        elif (
            now - self._probed_at >= self._context.timing.unresponsive
            and self._state is TargetState.CONNECTED
        ):
            self._link(TargetState.UNRESPONSIVE)
        if self._probed_at is None:  # what is said meanwhile only makes it later
            self._due = min(connection.read_at + self._quiet, self._counted_at + self._counted)

    # ---- one connection

    async def _watch(self) -> None:
        connection = await self.transport.connection()
        self._begun = monotonic()
        self._probed_at = None
        self._due = float("-inf")
        try:
            self._connection = connection
            if self._state is not TargetState.CONNECTING:
                self._link(TargetState.CONNECTING)  # whatever it was, it speaks now
            await self._established(connection)
        finally:
            self._connection = None
            for task in self._asking:
                task.cancel()
            lost = await connection.close()
        raise lost

    async def _established(self, connection: Connection) -> None:
        identity = connection.identity or await connection.identify()
        self._counted_at = monotonic()  # what is read now counts failures, too
        self._link(TargetState.CONNECTED, identity=identity, dialled=connection.begun)
        connection.follow(self._on_event, self._on_reply, self._observer.again)
        for command in STATE:
            await self._execute(connection, command)
        if self._may_turn_events_on():
            await self._turn_events_on(connection)
        self._feed(Link(self._state, time(), monotonic(), read=True))
        connection.settled()
        await connection.ended()

    def _may_turn_events_on(self) -> bool:
        wanted = self.target.migration_events
        return self._context.migration_events if wanted is None else wanted

    async def _turn_events_on(self, connection: Connection) -> None:
        """Let QEMU send MIGRATION, which it does not unless it is told to."""
        found = read_as(await self._execute(connection, CAPABILITIES), list[Capability], [])
        if any(c.capability == "events" and not c.state for c in found):
            await self._execute(connection, SET_CAPABILITIES, EVENTS_ON)

    async def _execute_in_turn(self, connection: Connection, ask: Ask) -> None:
        """Send a command that the model asks for; what counts failures, not too often."""
        if ask is Ask.BLOCKSTATS:
            due = max(monotonic(), self._counted_at + self._context.timing.recounted)
            self._counted_at = due
            await asyncio.sleep(due - monotonic())
        await self._execute(connection, ask)

    async def _execute(
        self,
        connection: Connection,
        command: str,
        arguments: Mapping[str, object] | None = None,
    ) -> object:
        """Send a command and return its reply; none if it fails or is not answered in time."""
        try:
            return await connection.execute(command, arguments)
        except TimeoutError:
            self._feed(Reply(command, None, time(), monotonic()))
            return None

    # ---- what arrives, in the order of the stream

    def _on_event(self, line: bytes) -> None:
        try:
            event = self._context.decode(line, time(), monotonic())
        except DecodeError as err:
            self._observer.decode_error(err.event)
        else:
            self._feed(event)

    def _on_reply(self, command: str, reply: object) -> None:
        if command in STATE:
            self._feed(Reply(command, typed(command, reply), time(), monotonic()))

    def _feed(self, given: Input) -> None:
        asks = self._observer.feed(given)
        if asks:
            self._ask(asks)

    def _ask(self, asks: tuple[Ask, ...]) -> None:
        connection = self._connection
        if connection is None:
            return
        for ask in asks:
            task = asyncio.create_task(self._execute_in_turn(connection, ask))
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
        dialled: float | None = None,
    ) -> None:
        if state is not self._state or lost:
            self._told.clear()
        reason = str(why or "")
        if reason not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(reason)
            log.info("%s is %s%s", self.target.address, state, f": {reason}" if reason else "")
        self._state = state
        self._feed(Link(state, time(), monotonic(), identity, lost, dialled))
        self._context.order.leave(self.target.address)


_WATCHED: Final = frozenset({TargetState.CONNECTED, TargetState.UNRESPONSIVE})
