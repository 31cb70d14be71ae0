"""A server in a thread of its own, so that no flood of events delays an answer."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .server import Server


class Apart:
    """Runs a server in an event loop and a thread of its own, once.

    What the server calls (to render, to look at the VMs) is called in that thread or in those of
    its pool, so it must be thread-safe.

    Attributes:
        turned_at: when its loop last turned after a ``beat``, in monotonic seconds.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self.turned_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="qmp-exporter-web", daemon=True)

    def beat(self) -> None:
        """Let the thread write down, when it comes to that, the time in ``turned_at``."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self.turned_at = monotonic()

    @property
    def bound(self) -> tuple[str, ...]:
        """The addresses really bound, as URLs or ``unix:PATH``; empty before ``start``."""
        return self._server.bound

    async def bind(self) -> None:
        """Bind every address; nobody is served yet.

        Raises:
            ListenError: an address cannot be bound; none is left bound then.
        """
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        try:
            await self._there(self._server.bind())
        except BaseException:
            self._end()
            raise

    async def start(self) -> None:
        """Serve; bind first, if that was not done.

        Raises:
            ListenError: an address cannot be bound; none is left bound then.
        """
        if self._loop is None:
            await self.bind()
        await self._there(self._server.start())

    async def stop(self) -> None:
        """Let requests under way finish, within seconds; nothing where it was not started."""
        if self._loop is None:
            return
        try:
            await self._there(self._server.stop())
        finally:
            self._end()

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None  # noqa: S101 - started
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        assert loop is not None  # noqa: S101 - started
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - started
        loop = self._loop
        asyncio.set_event_loop(loop)
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
