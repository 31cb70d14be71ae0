"""A socket at which QEMU dials in, so that a VM starts whether or not the exporter runs.

One socket serves any number of VMs, each started with ``-qmp unix:PATH,server=off,reconnect=5``,
from QEMU 9.2 on ``reconnect-ms=5000``.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmp_exporter.errors import ListenError, NotQmpError, SessionError
from qmp_exporter.model.target import Listening, Target
from qmp_exporter.qmp.connection import Connection
from qmp_exporter.qmp.transport import opened
from qmp_exporter.qmp.unix import peer


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.qmp.context import Context
    from qmp_exporter.qmp.unix import UnixTable


log = logging.getLogger(__name__)

REJECTED: Final = ("user", "not-qmp", "no-answer", "duplicate", "too-many")
"""Why a connection is not kept."""

BACKLOG: Final = 4096
"""Connections that wait to be taken; all VMs of a host dial in again when the exporter starts."""

MAX_GREETING: Final = 1024
"""Connections of which it is not known yet who they are."""

PAUSE: Final = 1.0
"""Seconds without taking connections after one could not be taken."""


class Listener:
    """A unix socket at which QEMU dials in.

    Args:
        listening: where, and who may.
        context: what all connections share.
        taken: called with each connection that is open and identified, and takes it by returning
            an empty text; else it returns why not.
        rejected: called with the reason for each connection that is not kept.
    """

    def __init__(
        self,
        listening: Listening,
        context: Context,
        taken: Callable[[Listening, Connection], str],
        rejected: Callable[[str], None],
    ) -> None:
        self.listening = listening
        self._context = context
        self._taken = taken
        self._rejected = rejected
        self._users = frozenset[int]()
        self._socket: socket.socket | None = None
        self._inode: tuple[int, int] | None = None
        self._greeting: set[asyncio.Task[None]] = set()
        self._last: tuple[str, str] | None = None
        self._missed = False

    def open(self) -> None:
        """Bind it; from now on QEMUs can dial in.

        Raises:
            ListenError: a user, the group or the path is not to be had.
        """
        where = self.listening
        users, group = _users(where), _group(where)
        _remove_stale(where.path, self._context.table)
        with contextlib.ExitStack() as undo:
            kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            try:
                sock = undo.enter_context(socket.socket(socket.AF_UNIX, kind))
                os.fchmod(sock.fileno(), 0o600)  # nobody else may, until it is whose it is to be
                sock.bind(where.path)
                undo.callback(Path(where.path).unlink, missing_ok=True)
                os.chown(where.path, -1, group)
                Path(where.path).chmod(where.mode)
                sock.listen(BACKLOG)
                self._inode = _inode(where.path)
            except OSError as err:
                raise ListenError(f"{where.path}: cannot listen: {err.strerror or err}") from err
            self._socket, self._users = sock, users
            undo.pop_all()

    @property
    def missing(self) -> bool:
        """Whether its path is not its own any more, so that nobody can dial in."""
        return self._socket is not None and _inode(self.listening.path) != self._inode

    def miss(self, why: str) -> None:
        """Tell, once, that it cannot be bound again."""
        if not self._missed:
            self._missed = True
            log.warning("%s was taken away, and nobody can dial in: %s", self.listening.path, why)

    def change(self, listening: Listening) -> None:
        """Let others dial in, at the same path.

        Raises:
            ListenError: a user or the group is not to be had; then nothing has changed.
        """
        users, group = _users(listening), _group(listening)
        if self.listening.group and not listening.group:
            group = os.getegid()
        try:
            os.chown(listening.path, -1, group)
            Path(listening.path).chmod(listening.mode)
        except OSError as err:
            raise ListenError(f"{listening.path}: {err.strerror}") from err
        self.listening, self._users = listening, users

    async def run(self) -> None:
        """Take connections until cancelled; whoever opened it closes it."""
        assert self._socket is not None  # noqa: S101 - opened before
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    sock, _ = await loop.sock_accept(self._socket)
                except OSError as err:  # no descriptors left, or a security module refuses
                    log.warning("%s: %s", self.listening.path, err.strerror)
                    await asyncio.sleep(PAUSE)
                    continue
                task = asyncio.create_task(self._greet(sock))
                self._greeting.add(task)
                task.add_done_callback(self._greeting.discard)
        finally:
            tasks = tuple(self._greeting)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Stop listening; remove the path if it is still this socket."""
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        if _inode(self.listening.path) == self._inode:
            Path(self.listening.path).unlink(missing_ok=True)

    async def _greet(self, sock: socket.socket) -> None:
        try:
            await self._admit(sock)
        except Exception:
            log.exception("%s: a fault of the exporter", self.listening.path)

    async def _admit(self, sock: socket.socket) -> None:
        """Find out who dialled in, and hand the connection over."""
        pid, uid = peer(sock)
        who = f"pid {pid}, uid {uid}"
        if uid not in self._users:
            sock.close()
            self._reject("user", f"{who}; --listen.user lets another user dial in")
            return
        if len(self._greeting) > MAX_GREETING:
            sock.close()
            self._reject("too-many", who)
            return
        where = self.listening
        target = Target(
            f"{where.path}#{pid or '?'}",
            named=False,
            labels=where.labels,
            migration_events=where.migration_events,
            dialled_in=True,
        )
        try:
            connection = await opened(Connection(sock, target, self._context))
        except SessionError as err:
            kind = "not-qmp" if isinstance(err, NotQmpError) else "no-answer"
            self._reject(kind, f"{who}: {err}")
            return
        reason = "gone"
        try:
            await connection.identify()
            reason = self._taken(where, connection)
        finally:
            if reason:
                await connection.close()
        if reason:
            self._reject(reason, who)

    def _reject(self, reason: str, detail: str) -> None:
        self._rejected(reason)
        if (reason, detail) != self._last:  # QEMU dials again and again
            self._last = reason, detail
            log.warning("%s: rejected, %s: %s", self.listening.path, reason, detail)


def _users(listening: Listening) -> frozenset[int]:
    """Return who may dial in."""
    return frozenset({0, os.geteuid(), *(_user(listening.path, name) for name in listening.users)})


def _user(path: str, name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ListenError(
            f"{path}: users: found {name!r}; expected the name or number of a user here"
        ) from None


def _group(listening: Listening) -> int:
    """Return the group that the socket is to have; -1 for that of the exporter."""
    name = listening.group
    if not name:
        return -1
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ListenError(
            f"{listening.path}: group: found {name!r}; expected the name or number of a group here"
        ) from None


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_stale(path: str, table: UnixTable) -> None:
    """Remove a socket at which nobody listens.

    Raises:
        ListenError: something else is there, or somebody listens.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as err:
        raise ListenError(f"{path}: cannot listen: {err.strerror}") from err
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path}: cannot listen: found something that is no socket there")
    if table.states(path) or _answers(path):
        raise ListenError(f"{path}: cannot listen: another process does")
    try:
        os.unlink(path)  # noqa: PTH108 - as above
    except OSError as err:
        raise ListenError(f"{path}: cannot remove what was left there: {err.strerror}") from err


def _answers(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            sock.connect(path)
    except ConnectionRefusedError:
        return False
    except OSError as err:
        raise ListenError(f"{path}: cannot listen: {err.strerror}") from err
    return True
