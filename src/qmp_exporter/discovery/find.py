"""The search for monitors: scans when they are due, and when inotify says that one is."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Final

from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.discovery.scan import folders, scan
from qmp_exporter.discovery.watch import Watch


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qmp_exporter.discovery.scan import Found


log = logging.getLogger(__name__)

SCAN_EVERY: Final = 5.0
"""Seconds between two scans that nothing called for."""

SETTLE: Final = 0.02
"""Seconds between a change and its scan, in which further changes join it."""


class Search:
    """The search for monitors.

    Args:
        patterns: what to look for.
        limit: monitors at most.
        found: called on the event loop with what each scan found.
        beside: paths whose changes call for a scan, too.
    """

    def __init__(
        self,
        patterns: Sequence[Pattern],
        limit: int,
        found: Callable[[Found], None],
        beside: Iterable[str] = (),
    ) -> None:
        self._patterns = tuple(patterns)
        self._beside = tuple(map(Pattern, beside))
        self._limit = limit
        self._found = found
        self._took, self._scanned_at = 0.0, 0.0
        self._failed = False
        # Its own, which no slow name server and no scan of a file system that hangs can take.
        self._thread = ThreadPoolExecutor(1, "qmp-exporter-scan")
        self._due = asyncio.Event()
        self._watch = Watch(self._due.set)

    async def once(self) -> None:
        """Scan now; a scan that fails changes nothing."""
        began = monotonic()
        try:
            loop = asyncio.get_running_loop()
            found, near = await loop.run_in_executor(self._thread, self._scan)
        except Exception as err:  # such as too many folders in one another for `**`
            if not self._failed:
                log.exception("the search for monitors failed", exc_info=err)
            self._failed = True
            return
        self._failed = False
        self._scanned_at = monotonic()
        self._took = self._scanned_at - began
        await self._watch.follow(near)
        self._found(found)

    def _scan(self) -> tuple[Found, set[str]]:
        return scan(self._patterns, self._limit), folders((*self._patterns, *self._beside))

    async def run(self, *, at_once: bool = False) -> None:
        """Scan until cancelled, the first time when it is due or ``at_once``."""
        watching = asyncio.create_task(self._watch.run())
        try:
            if at_once:
                await self.once()
            while True:
                try:
                    async with asyncio.timeout(SCAN_EVERY):
                        await self._due.wait()
                    # Where scanning takes long, no more than half of the time goes into it.
                    rest = self._scanned_at + self._took - monotonic()
                    await asyncio.sleep(max(SETTLE, rest))
                except TimeoutError:
                    pass
                self._due.clear()
                await self.once()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            watching.cancel()
            await asyncio.wait((watching,))
