"""What the web configuration file says, as it is now: read again when it changes.

Certificates and keys are part of it. A new state holds for the connections and requests that begin
after it; one that is wrong is told in the log, once, and the old state stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from time import sleep, time
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from qmp_exporter.config.file import kept
from qmp_exporter.config.web_file import WebFile, read_web_file
from qmp_exporter.config.web_tls import Pem
from qmp_exporter.errors import ConfigError
from qmp_exporter.telemetry.bucket import Bucket

from . import tls
from .handshakes import Handshakes, Terms


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web


log = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds between two looks at the files."""

_RECENT: Final = 2.0  # seconds in which a file may change without another time or size
_WRITING: Final = 0.2  # seconds between two writes of one change
_Stats: TypeAlias = tuple[tuple[int, ...], ...]


class State(msgspec.Struct, frozen=True):
    """What holds.

    Attributes:
        file: what the web configuration file says.
        terms: of a connection that begins; None for plain HTTP.
        bucket: of all requests; None for no limit.
    """

    file: WebFile
    terms: Terms | None
    bucket: Bucket | None


class Security:
    """The state of one web configuration file.

    Args:
        path: of the file.
        reloaded: called with whether it could be read again, in any thread.

    Attributes:
        state: what holds now; replaced as a whole, in any thread.

    Raises:
        ConfigError: the file, or a certificate or key that it names, is wrong.
    """

    def __init__(
        self,
        path: str,
        reloaded: Callable[[bool], None] = lambda successful: None,  # noqa: ARG005
    ) -> None:
        self._path = path
        self._reloaded = reloaded
        self._stats: _Stats = ()
        self._recent = True
        self._seen = {path: _digest(path)}
        file = read_web_file(path)
        self._watch(file)
        self.state = State(file, _terms(file), _bucket(file))
        self._remark()

    def handshakes(self, counted: Callable[[str], None]) -> Handshakes | None:
        """Return what makes connections, each by what holds then; None for plain HTTP.

        Args:
            counted: called with the reason of each handshake that fails.
        """
        return None if self.state.terms is None else Handshakes(self._now, counted)

    def _now(self) -> Terms:
        assert self.state.terms is not None  # noqa: S101 - whether there is TLS does not change
        return self.state.terms

    async def watching(self, _app: web.Application) -> AsyncIterator[None]:
        """Look at the files while an application runs (for its ``cleanup_ctx``)."""
        task = asyncio.create_task(self._keep_looking())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def look(self) -> None:
        """Read the file again if it has changed, or a certificate or key that it names."""
        stats = tuple(map(_stat, self._seen))
        if stats == self._stats and not self._recent:
            return
        # The clock of files is coarse: of one that was just written, the time says nothing.
        self._recent = any(stat and stat[0] > (time() - _RECENT) * 10**9 for stat in stats)
        self._stats = stats
        seen = self._digests()
        # One that cannot be read may be so tomorrow, and look the same.
        self._recent = self._recent or b"" in seen.values()
        if seen == self._seen:
            return
        # Half of a file, or none of it yet, may be one that asks nobody for a password.
        sleep(_WRITING)
        if seen != self._digests():
            self._recent = True
            return
        self._seen = seen
        try:
            self._reload()
        except ConfigError as err:
            log.error("the web configuration stays as it was: %s", err)  # noqa: TRY400 - one line
            self._reloaded(False)  # noqa: FBT003 - a callback
        else:
            log.info("the web configuration was read again")
            self._reloaded(True)  # noqa: FBT003 - a callback

    def _digests(self) -> dict[str, bytes]:
        return {path: _digest(path) for path in self._seen}

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                log.exception("a fault of the exporter")

    def _reload(self) -> None:
        file = read_web_file(self._path)
        self._watch(file)
        terms, old = _terms(file), self.state.terms
        if (terms is None) != (old is None):
            log.warning(
                "tls_server_config came or went, which takes a restart: the listeners stay %s TLS",
                "without" if old is None else "with",
            )
            terms = old
        same = file.rate == self.state.file.rate
        bucket = self.state.bucket if same else _bucket(file)
        self.state = State(file, terms, bucket)
        self._remark()

    def _remark(self) -> None:
        for remark in self.state.file.remarks:
            log.warning("%s", remark)

    def _watch(self, file: WebFile) -> None:
        """Look at the files that it names, too; and now, before they are read."""
        paths = (self._path, *(pem.path for pem in _pems(file) if pem.path))
        if {*paths} != {*self._seen}:
            self._seen = {path: self._seen.get(path) or _digest(path) for path in paths}


def check(path: str) -> None:
    """Read a web configuration file, and the certificates and keys that it names.

    Raises:
        ConfigError: something in it is wrong.
    """
    _terms(read_web_file(path))


def _terms(file: WebFile) -> Terms | None:
    if file.tls is None:
        return None
    return Terms(tls.context(file.tls), file.tls.allowed_sans)


def _bucket(file: WebFile) -> Bucket | None:
    return Bucket(file.rate.interval, file.rate.burst) if file.rate else None


def _pems(file: WebFile) -> tuple[Pem, ...]:
    if file.tls is None:
        return ()
    found = (file.tls.cert, file.tls.key, file.tls.client_ca)
    return tuple(pem for pem in found if pem is not None)


def _digest(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb", opener=kept) as file:
        return hashlib.sha256(file.read(tls.MOST_BYTES + 1)).digest()
    return b""


def _stat(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text all the way
    except OSError:
        return ()
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    return (changed, found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
