"""The search for monitors: scans when they are due, and when inotify says that one is.

A scan is the truth. Where it takes long, a path that inotify names is looked at before.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.discovery.scan import Found, enclosed, folders, look, scan
from qmp_exporter.discovery.watch import Watch


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qmp_exporter.model.target import Target


log = logging.getLogger(__name__)

SCAN_EVERY: Final = 5.0
"""Seconds between two scans that nothing called for."""

SCAN_RARELY: Final = 30.0
"""The same where inotify tells of every change: where all is in folders that it follows, and
nothing that was found is a link. What it cannot tell of is left to these: a mount over a folder."""

SETTLE: Final = 0.02
"""Seconds between a change and its scan, in which further changes join it."""

NAMED: Final = 256
"""Paths that are looked at between two scans; of more than that, scans tell."""


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
        self._beside = frozenset(beside)
        self._limit = limit
        self._found = found
        self._took, self._scanned_at = 0.0, 0.0
        self._every = SCAN_EVERY
        self._failed = False
        # Its own, which no slow name server and no scan of a file system that hangs can take.
        self._threads = ThreadPoolExecutor(2, "qmp-exporter-scan")
        self._due, self._look_due = asyncio.Event(), asyncio.Event()
        self._watch = Watch(self._changed)
        self._last = Found({}, {})
        self._named: set[str] = set()
        self._seen: dict[str, Target] = {}  # since the last scan began

    async def once(self) -> None:
        """Scan now; a scan that fails changes nothing."""
        began = monotonic()
        self._seen.clear()
        loop = asyncio.get_running_loop()
        try:
            near, enough = await loop.run_in_executor(self._threads, self._near)
            followed = await self._watch.follow(near)  # first, so that nothing comes between
            found = await loop.run_in_executor(self._threads, scan, self._patterns, self._limit)
        except Exception as err:  # such as too many folders in one another for `**`
            if not self._failed:
                log.exception("the search for monitors failed", exc_info=err)
            self._failed, self._every = True, SCAN_EVERY
            return
        self._failed = False
        self._scanned_at = monotonic()
        self._took = self._scanned_at - began
        told = enough and followed and not found.links
        self._every = SCAN_RARELY if told else SCAN_EVERY
        self._take(found, self._seen)

    def _take(self, found: Found, seen: dict[str, Target]) -> None:
        """Tell of what was found, and of what was seen besides, if there is room for it."""
        targets = {**seen, **found.targets}
        if len(targets) <= max(self._limit, len(found.targets)):
            found = msgspec.structs.replace(found, targets=targets)
        self._last = found
        self._found(found)

    def _changed(self, path: str) -> None:
        if path and len(self._named) < NAMED:
            self._named.add(path)
            self._look_due.set()
        self._due.set()

    async def _look(self) -> None:
        """Look at the paths that inotify names, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._look_due.wait()
            await asyncio.sleep(SETTLE)
            paths, self._named = self._named, set()
            self._look_due.clear()
            try:
                seen = await loop.run_in_executor(self._threads, look, self._patterns, paths)
            except Exception:  # noqa: BLE001, S112 - whatever it is, the scan that is due tells
                continue
            if self._seen.keys() & paths - seen.keys():
                self._due.set()  # what goes during a scan would be taken from here
            self._seen = {p: t for p, t in self._seen.items() if p not in paths} | seen
            if seen or not self._beside.isdisjoint(paths):
                self._take(self._last, seen)

    def _near(self) -> tuple[set[str], bool]:
        """Return the folders to follow, and whether those are enough to know of every change."""
        patterns = (*self._patterns, *map(Pattern, self._beside))
        near = folders(patterns)
        return near, enclosed(patterns, near)

    async def run(self, *, at_once: bool = False) -> None:
        """Scan until cancelled, the first time when it is due or ``at_once``."""
        helpers = asyncio.create_task(self._watch.run()), asyncio.create_task(self._look())
        try:
            if at_once:
                await self.once()
            while True:
                try:
                    async with asyncio.timeout(self._every):
                        await self._due.wait()
                    # Where scanning takes long, no more than half of the time goes into it.
                    rest = self._scanned_at + self._took - monotonic()
                    await asyncio.sleep(max(SETTLE, rest))
                except TimeoutError:
                    pass
                self._due.clear()
                await self.once()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)
