"""How a monitor is reached, and what it means when it is not."""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.errors import (
    BusyError,
    DeniedError,
    GoneError,
    NotQmpError,
    RefusedError,
    SessionError,
    UnreachableError,
)
from qmp_exporter.qmp.unix import CONNECTED, CONNECTING


if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmp_exporter.model.target import Target
    from qmp_exporter.qmp.unix import UnixTable


_ERRORS: Final[dict[int | None, type[SessionError]]] = {
    errno.ENOENT: GoneError,
    errno.ENOTDIR: GoneError,
    errno.ECONNREFUSED: RefusedError,
    errno.EACCES: DeniedError,
    errno.EPERM: DeniedError,
    errno.EAGAIN: BusyError,  # its backlog is full
    errno.EPROTOTYPE: NotQmpError,  # a datagram socket
}


# A client that is served, or one that waits; an attempt of ours that was given up waits, too.
_SERVING: Final = frozenset({CONNECTED, CONNECTING})


async def dial(
    target: Target, table: UnixTable, limit: float, since: float = float("-inf")
) -> socket.socket:
    """Return a connected socket.

    A unix monitor that serves a client is not dialled at all: the attempt would stay in its
    backlog, and three of them shut its owner out.

    Args:
        target: the monitor.
        table: the kernel's table of unix sockets.
        limit: seconds for a connection over TCP.
        since: monotonic seconds of the dial before, which the table must show.

    Raises:
        SessionError: of the kind that tells what is known of the monitor.
    """
    if target.tcp:
        return await _dial_tcp(target.address, limit)
    try:
        if not _SERVING.isdisjoint(table.states(target.address, since)):
            raise BusyError("it serves another client")
        with ExitStack() as undo:
            kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            sock = undo.enter_context(socket.socket(socket.AF_UNIX, kind))
            sock.connect(target.address)
            undo.pop_all()
            return sock
    except ValueError as err:  # a path that no file can have
        raise UnreachableError(str(err)) from err
    except OSError as err:
        if err.errno == errno.ECONNREFUSED and _is_no_socket(target.address):
            raise NotQmpError("it is no socket") from err
        raise _meaning(err) from err


async def _dial_tcp(address: str, limit: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit):
            found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            sock = await _connect_to_any(found)
    except TimeoutError:
        raise UnreachableError(f"no connection within {limit:g} s") from None
    except OSError as err:
        raise _meaning(err) from err
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return sock


async def _connect_to_any(found: Sequence[tuple[Any, ...]]) -> socket.socket:
    """Return a socket connected to the first address that takes it, of those of a name."""
    errors: list[OSError] = []
    for family, kind, protocol, _, where in found:
        try:
            with ExitStack() as undo:
                sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
                undo.enter_context(sock)
                await asyncio.get_running_loop().sock_connect(sock, where)
                undo.pop_all()
                return sock
        except OSError as err:
            errors.append(err)
    # Where one address says that nothing listens, the others are those of nobody.
    raise max(errors, key=lambda err: err.errno == errno.ECONNREFUSED)


def _meaning(err: OSError) -> SessionError:
    kind = _ERRORS.get(err.errno, UnreachableError)
    return kind(err.strerror or str(err))


def _is_no_socket(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False


def fingerprint(target: Target) -> tuple[int, int, int] | None:
    """Return what tells one socket at a path from the next; none where there is nothing."""
    if target.tcp:
        return None
    try:
        found = Path(target.address).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns
