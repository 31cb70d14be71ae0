"""One look at the file system: which sockets the patterns match now."""

from __future__ import annotations

import os
import stat
from glob import escape, iglob
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.discovery.pattern import managed
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qmp_exporter.discovery.pattern import Pattern


MAX_PATH: Final = 107
"""Bytes of a unix socket's path: unix(7), without the closing NUL."""

SKIPPED: Final = ("not-a-socket", "excluded", "managed", "no-name", "path-too-long", "too-many")
"""Why a path that a pattern matches is not watched."""


class Found(msgspec.Struct, frozen=True):
    """What a scan found.

    Attributes:
        targets: the monitors by address.
        skipped: from the paths that were left out to why.
        links: whether a path that matches is a link, so that what it leads to may change elsewhere.
    """

    targets: dict[str, Target]
    skipped: dict[str, str]
    links: bool = False


def scan(patterns: Iterable[Pattern], limit: int) -> Found:
    """Return the sockets that the patterns match now.

    An exact path is always a target, whether something is there or not; where two patterns match
    a path, the first one says what it is. It reads folders and may take long: run it in a thread.

    Args:
        patterns: what to look for.
        limit: targets at most; which ones are left out is the same at every scan.
    """
    targets: dict[str, Target] = {}
    skipped: dict[str, str] = {}
    eye = _Eye()
    for pattern in patterns:
        for path in _paths(pattern):
            if path in targets:
                continue
            seen = eye.see(path, pattern)
            if isinstance(seen, Target) and len(targets) >= limit:
                seen = "too-many"
            if isinstance(seen, Target):
                targets[path] = seen
            elif seen is not None:
                skipped[path] = seen
    return Found(targets, skipped, eye.links)


def look(patterns: Iterable[Pattern], paths: Iterable[str]) -> dict[str, Target]:
    """Return those of some paths that a scan would find, as far as the paths alone tell.

    From the first ``**`` on, patterns are left to a scan.
    """
    known = list(takewhile(lambda pattern: not pattern.deep, patterns))
    found: dict[str, Target] = {}
    eye = _Eye()
    for path in paths:
        for pattern in known:
            seen = eye.see(path, pattern) if pattern.shows(path) else None
            if isinstance(seen, Target):
                found[path] = seen
                break
    return found


def _paths(pattern: Pattern) -> Iterator[str]:
    if pattern.exact:
        yield pattern.path
    else:
        yield from sorted(set(_matches(pattern.path)))


def _matches(glob: str) -> Iterator[str]:
    """Yield the paths that a glob matches now, some perhaps more than once.

    Links to folders are not followed below ``**``, as two that lead in circles make paths without
    end; and nothing is looked for where a path would be too long for a socket.
    """
    head, found, tail = f"{glob}/".partition("/**/")
    if not found:
        yield from iglob(glob)  # noqa: PTH207 - thousands of them
        return
    for base in iglob(head or "/"):  # noqa: PTH207 - as above
        for folder, below, _ in os.walk(base):
            below[:] = [] if len(os.fsencode(folder)) > MAX_PATH else filter(_shown, below)
            yield from _matches(f"{escape(folder.rstrip('/'))}/{tail.rstrip('/') or '*'}")


def _shown(name: str) -> bool:
    return not name.startswith(".")


class _Eye:
    """Looks at paths; what it has to know of a folder it finds out once.

    Attributes:
        links: whether one of them was a link.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self.links = False

    def see(self, path: str, pattern: Pattern) -> Target | str | None:
        """Return the target that a path is, why it is none, or None if nothing is there."""
        reason = self._unfit(path, pattern)
        return (pattern.target(path) or "no-name") if reason == "" else reason

    def _unfit(self, path: str, pattern: Pattern) -> str | None:
        """Return why a path is no target, empty if it is one, None if nothing is there any more."""
        if pattern.exact:
            return ""
        if pattern.excluded(path):
            return "excluded"
        if len(os.fsencode(path)) > MAX_PATH:
            return "path-too-long"
        try:
            mode = os.lstat(path).st_mode
            link = stat.S_ISLNK(mode)
            self.links |= link
            mode = os.stat(path).st_mode if link else mode  # noqa: PTH116 - thousands of them
        except OSError:
            return "not-a-socket" if os.path.islink(path) else None  # noqa: PTH114 - as above
        if not stat.S_ISSOCK(mode):
            return "not-a-socket"
        real = self._real(path, link=link)
        return "managed" if managed(path) or (real != path and managed(real)) else ""

    def _real(self, path: str, *, link: bool) -> str:
        """Return a path without links."""
        if link:
            return os.path.realpath(path)
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder or "/")
        return f"{self._folders[folder]}/{name}"


def folders(patterns: Iterable[Pattern]) -> set[str]:
    """Return the folders in which a change may make or end a socket of a pattern.

    For a folder that is not there yet, the nearest one above that is.
    """
    found: set[str] = set()
    for pattern in patterns:
        parent = os.path.dirname(pattern.path)  # noqa: PTH120 - a glob is no path
        if pattern.exact or not _has_magic(parent):
            found.add(_existing(parent))
            continue
        fixed = parent
        while _has_magic(fixed):
            fixed = os.path.dirname(fixed)  # noqa: PTH120 - a glob is no path
        found.add(_existing(fixed))
        found.update(p for p in _matches(parent) if os.path.isdir(p))  # noqa: PTH112 - as above
    return found


def enclosed(patterns: Iterable[Pattern], near: set[str]) -> bool:
    """Whether what the patterns match changes only with what is in these folders, links aside.

    So it is where each pattern is one of names in one folder, which is there, and no link leads to.

    Args:
        patterns: what to look for.
        near: the folders of them, as ``folders`` returns them.
    """
    parents = {
        None if pattern.deep else os.path.dirname(pattern.path)  # noqa: PTH120 - as above
        for pattern in patterns
    }
    return near == parents and all(os.path.realpath(folder) == folder for folder in near)


def _has_magic(path: str) -> bool:
    return any(c in path for c in "*?[")


def _existing(folder: str) -> str:
    while folder != "/" and not os.path.isdir(folder):  # noqa: PTH112 - a text all the way
        folder = os.path.dirname(folder)  # noqa: PTH120 - a text all the way
    return folder or "/"
