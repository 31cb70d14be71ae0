"""How a session comes by its connections: it dials a monitor, or QEMU dials us."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from qmp_exporter.catalog.states import TargetState
from qmp_exporter.errors import GoneError
from qmp_exporter.qmp.connection import Connection
from qmp_exporter.qmp.dial import dial, fingerprint


if TYPE_CHECKING:
    from qmp_exporter.model.target import Target
    from qmp_exporter.qmp.context import Context
    from qmp_exporter.qmp.timing import Timing


log = logging.getLogger(__name__)


class Transport(Protocol):
    """Where a session's connections come from."""

    async def connection(self) -> Connection:
        """Return an open connection.

        Raises:
            SessionError: of the kind that tells what is known of the monitor.
        """

    async def pause(self, attempt: int, state: TargetState) -> bool:
        """Wait before the next attempt; return whether it is the first at something new."""

    def wake(self) -> None:
        """Look at once whether there is something new."""

    async def close(self) -> None:
        """Let go of everything; idempotent."""


class Dialling:
    """Dials a monitor, again and again.

    Args:
        target: the monitor.
        context: what all connections share.
    """

    def __init__(self, target: Target, context: Context) -> None:
        self._target = target
        self._context = context
        self._seen: tuple[int, int, int] | None = None
        self._nap: asyncio.Task[None] | None = None
        self._dialled_at = float("-inf")

    async def connection(self) -> Connection:
        """Dial, and return an open connection.

        Raises:
            SessionError: of the kind that tells what is known of the monitor.
        """
        context = self._context
        leave = await context.entry.enter()
        try:
            self._seen = fingerprint(self._target)
            begun = time()
            sock = await dial(self._target, context.table, context.timing.connect, self._dialled_at)
            self._dialled_at = monotonic()
            connection = await opened(Connection(sock, self._target, context, begun))
        except BaseException:
            leave()
            raise
        connection.settled = leave
        return connection

    async def pause(self, attempt: int, state: TargetState) -> bool:
        """Wait before the next attempt, or until another socket appears.

        Returns:
            Whether one did.
        """
        timing = self._context.timing
        wait = min(timing.last_retry, timing.first_retry * 2 ** min(attempt - 1, 10))
        busy = state is TargetState.BUSY and fingerprint(self._target) is not None
        if busy:
            # The table says when it is free, without a dial; else only a dial can tell.
            shown = self._context.table.states(self._target.address, self._dialled_at)
            wait = min(wait, timing.busy_look) if shown else timing.busy_retry
        deadline = monotonic() + wait * random.uniform(0.75, 1.0)  # noqa: S311 - not all at once
        while (left := deadline - monotonic()) > 0:
            self._nap = asyncio.create_task(asyncio.sleep(min(left, timing.look)))
            try:
                await asyncio.wait((self._nap,))
            finally:
                self._nap.cancel()
            there = fingerprint(self._target)
            if (there is None and busy) or there not in (self._seen, None):
                return True
        return False

    def wake(self) -> None:
        """Look at once whether another socket is there, if the next attempt is not due yet."""
        if self._nap is not None:
            self._nap.cancel()

    async def close(self) -> None:
        """Do nothing: between two connections there is nothing to let go of."""


class DialledIn:
    """Takes what a QEMU dials in with, and knows when its process ends.

    Args:
        timing: time limits.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._news = asyncio.Event()
        self._taken: Connection | None = None
        self._process: int | None = None  # a pidfd
        self._ended = False  # its process, and nobody was told
        self._told = False

    @property
    def free(self) -> bool:
        """Whether no connection waits to be asked for."""
        return self._taken is None

    def take(self, connection: Connection) -> None:
        """Hand over a connection that is open and identified."""
        self._let_go()
        self._taken, self._ended, self._told = connection, False, False
        if connection.pid is not None:
            try:
                self._process = os.pidfd_open(connection.pid)
            except ProcessLookupError:
                self._ended = True
            except OSError as err:
                log.debug("the process %d cannot be watched: %s", connection.pid, err)
            else:
                asyncio.get_running_loop().add_reader(self._process, self._process_ended)
        self._news.set()

    async def connection(self) -> Connection:
        """Wait for QEMU to dial in.

        Raises:
            GoneError: its process has ended, or, where that cannot be seen, it did not dial in
                again in time.
        """
        while self._taken is None:
            if self._ended:
                self._ended, self._told = False, True
                raise GoneError("its process has ended")
            blind = self._process is None and not self._told
            try:
                async with asyncio.timeout(self._timing.redial if blind else None):
                    await self._news.wait()
            except TimeoutError:
                self._told = True
                raise GoneError("it did not dial in again") from None
            self._news.clear()
        taken, self._taken = self._taken, None
        return taken

    async def pause(self, attempt: int, state: TargetState) -> bool:  # noqa: ARG002 - see Transport
        """Wait for nothing: ``connection()`` does."""
        return True

    def wake(self) -> None:
        """Do nothing: QEMU comes by itself."""

    async def close(self) -> None:
        """Let go of the process, and of a connection that was never asked for; idempotent."""
        self._let_go()
        taken, self._taken = self._taken, None
        if taken is not None:
            await taken.close()

    def _process_ended(self) -> None:
        self._let_go()
        self._ended = True
        self._news.set()

    def _let_go(self) -> None:
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._process)
            os.close(self._process)
            self._process = None


async def opened(connection: Connection) -> Connection:
    """Return the connection, open; closed if that fails.

    Raises:
        SessionError: of the kind that tells what is known of the monitor.
    """
    try:
        await connection.open()
    except BaseException:
        await connection.close()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # qemu.qmp raises what the peer did instead, if both come at once.
            raise asyncio.CancelledError from None
        raise
    return connection
