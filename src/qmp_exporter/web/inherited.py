"""Sockets that a service manager opened for us: sd_listen_fds(3), without its library."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from qmp_exporter.errors import ListenError


if TYPE_CHECKING:
    from collections.abc import MutableMapping


FIRST: Final = 3
"""The descriptor of the first one: SD_LISTEN_FDS_START."""

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def inherited(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that this process was started with, of TCP or unix.

    They are there once: what the environment says of them is taken out of it.

    Raises:
        ListenError: there is none, or one is something else; the message names it.
    """
    count = environment.pop("LISTEN_FDS", "")
    pid = environment.pop("LISTEN_PID", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()) or int(count) == 0:
        raise ListenError(
            "found no socket of systemd; expected at least one, from a .socket unit or"
            " systemd-socket-activate (--web.systemd-socket)"
        )
    with ExitStack() as undo:
        found = []
        for number in range(int(count)):
            descriptor = FIRST + number
            name = names[number] if number < len(names) else ""
            shown = f"descriptor {descriptor}{f' ({name})' if name else ''} of systemd"
            try:
                sock = undo.enter_context(socket.socket(fileno=descriptor))
                listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            except OSError as error:
                raise ListenError(f"{shown}: found {error.strerror}; expected a socket") from error
            if sock.family not in _FAMILIES or sock.type != socket.SOCK_STREAM or not listens:
                raise ListenError(
                    f"{shown}: found a socket that does not listen for streams; expected"
                    " ListenStream= of TCP or a path"
                )
            sock.set_inheritable(False)
            sock.setblocking(False)  # noqa: FBT003 - the standard library's
            found.append(sock)
        undo.pop_all()
    return found
