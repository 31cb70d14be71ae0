"""inotify: what says that a scan is worth while before it is due.

Without asyncinotify, or where the kernel refuses (a limit, a file system without it), nothing is
said, and the scans alone find every change. Source: inotify(7).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

asyncinotify: Any
try:
    import asyncinotify
except ImportError:  # the extra is not installed
    asyncinotify = None


log = logging.getLogger(__name__)

MAX_FOLDERS: Final = 1024
"""Folders watched; the kernel's own limit for a user is often 8192, of all programs."""

AT_ONCE: Final = 64
"""Folders of one turn of the event loop: about a millisecond."""


class Watch:
    """Watches folders, and calls back when something in them may have changed.

    Args:
        changed: called on the event loop, with the path that may have changed, or nothing.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._inotify: Any = None
        self._watches: dict[str, Any] = {}

    @property
    def available(self) -> bool:
        """Whether the kernel tells of changes."""
        return self._inotify is not None

    async def run(self) -> None:
        """Call back until cancelled."""
        if asyncinotify is None:
            log.info("asyncinotify is not installed: new sockets are found by scanning alone")
            return
        try:
            self._inotify = asyncinotify.Inotify()
        except OSError as err:
            log.warning("no inotify, new sockets are found by scanning alone: %s", err.strerror)
            return
        try:
            self._changed("")  # to be told the folders
            async for event in self._inotify:
                self._changed(str(event.path or ""))
                await asyncio.sleep(0)
        finally:
            self._inotify.close()
            self._inotify = None
            self._watches.clear()

    async def follow(self, folders: Iterable[str]) -> bool:
        """Watch these folders, and no others; others have turns of the event loop meanwhile.

        Returns:
            Whether all of them are watched now.
        """
        if self._inotify is None:
            return False
        found = sorted(folders)
        wanted = found[:MAX_FOLDERS]
        for folder in self._watches.keys() - set(wanted):
            self._drop(folder)
        for number, folder in enumerate(wanted, 1):
            self._add(folder)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
                if self._inotify is None:
                    return False
        return self._watches.keys() == set(found)

    def _add(self, folder: str) -> None:
        """Watch what is at this path now: a folder made again is another one.

        Of one that is watched already the kernel returns the same watch.
        """
        mask = asyncinotify.Mask
        events = (
            mask.CREATE | mask.DELETE | mask.MOVED_TO | mask.MOVED_FROM | mask.ATTRIB
            | mask.DELETE_SELF | mask.MOVE_SELF | mask.ONLYDIR
        )  # fmt: skip
        try:
            watch = self._inotify.add_watch(folder, events)
        except OSError as err:
            log.debug("%s is not watched: %s", folder, err)
            if folder in self._watches:  # as it was before
                self._drop(folder)
            return
        if self._watches.get(folder, watch) is not watch:
            self._drop(folder)
        self._watches[folder] = watch

    def _drop(self, folder: str) -> None:
        watch = self._watches.pop(folder)
        try:
            self._inotify.rm_watch(watch)
        except (OSError, ValueError):
            log.debug("%s went by itself", folder)
