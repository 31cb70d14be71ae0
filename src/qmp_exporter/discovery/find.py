"""The search for monitors: scans when they are due, and when inotify says that one is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from qmp_exporter.discovery.scan import folders, scan
from qmp_exporter.discovery.watch import Watch


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmp_exporter.discovery.pattern import Pattern
    from qmp_exporter.discovery.scan import Found


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
    """

    def __init__(
        self, patterns: Sequence[Pattern], limit: int, found: Callable[[Found], None]
    ) -> None:
        self._patterns = tuple(patterns)
        self._limit = limit
        self._found = found
        self._due = asyncio.Event()
        self._watch = Watch(self._due.set)

    async def once(self) -> None:
        """Scan now."""
        patterns = self._patterns
        found, near = await asyncio.to_thread(
            lambda: (scan(patterns, self._limit), folders(patterns))
        )
        self._watch.follow(near)
        self._found(found)

    async def run(self) -> None:
        """Scan until cancelled."""
        watching = asyncio.create_task(self._watch.run())
        try:
            while True:
                try:
                    async with asyncio.timeout(SCAN_EVERY):
                        await self._due.wait()
                    await asyncio.sleep(SETTLE)
                except TimeoutError:
                    pass
                self._due.clear()
                await self.once()
        finally:
            watching.cancel()
            await asyncio.wait((watching,))
