"""What the kernel tells of unix sockets and processes, without touching a monitor."""

from __future__ import annotations

import os
import re
import socket
import struct
from pathlib import Path
from time import monotonic
from typing import Final


CONNECTED: Final = 3
CONNECTING: Final = 2
"""States of a socket in /proc/net/unix: SS_CONNECTED and SS_CONNECTING of linux/net.h."""

_TABLE_AGE: Final = 0.1  # seconds for which the table is good enough
_SHARE: Final = 20  # at most one part in so many of the time goes into reading it
# Num RefCount Protocol Flags Type St Inode Path. Anybody may give a socket a name with line feeds,
# which the kernel prints as they are: what they make is most often no row, and must do no harm.
_ROW: Final = re.compile(
    r"[0-9A-Fa-f]+: +(?:[0-9A-F]+ +){4}(?P<state>[0-9A-F]{2}) +[0-9]+ (?P<path>.+)", re.DOTALL
)
_START_TIME: Final = 19  # field 22 of /proc/PID/stat, counted from field 3: proc(5)


class UnixTable:
    """The sockets of /proc/net/unix that have a path.

    It is read again when it is older than 0.1 s, or than 20 times what reading it takes. An
    accepted connection carries the path of its listener, so a monitor that serves a client is seen
    here without dialling it. Source: proc_net(5), unix(7).
    """

    def __init__(self, path: Path = Path("/proc/net/unix")) -> None:
        self._path = path
        self._read_at = float("-inf")
        self._age = _TABLE_AGE
        self._states: dict[str, list[int]] = {}

    def states(self, path: str, since: float = float("-inf")) -> tuple[int, ...]:
        """Return the states of all sockets of ``path``; empty where the table does not show it.

        Where the path goes through links, the table may have it with or without them.

        Args:
            path: of the sockets.
            since: monotonic seconds of something that it must show.
        """
        if monotonic() - self._read_at > self._age or self._read_at <= since:
            began = monotonic()
            self._read()
            self._age = max(_TABLE_AGE, _SHARE * (monotonic() - began))
        return tuple(
            state for name in {path, os.path.realpath(path)} for state in self._states.get(name, ())
        )

    def _read(self) -> None:
        self._states = {}
        try:
            text = self._path.read_text(errors="surrogateescape")
        except OSError:
            text = ""  # no such table here: nothing is shown
        for line in text.split("\n")[1:]:
            found = _ROW.fullmatch(line)
            if found:
                self._states.setdefault(found["path"], []).append(int(found["state"], 16))
        self._read_at = monotonic()


def peer(sock: socket.socket) -> tuple[int | None, int]:
    """Return pid and uid of the process that made the peer's unix socket.

    The pid is None for a process of another pid namespace. Source: unix(7), SO_PEERCRED.
    """
    size = struct.calcsize("3I")
    found = struct.unpack("3I", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return found[0] or None, found[1]


def peer_pid(sock: socket.socket) -> int | None:
    """Return the pid of the process that made the peer's socket, if the kernel tells."""
    return peer(sock)[0] if sock.family == socket.AF_UNIX else None


def process_started(pid: int | None) -> float | None:
    """Return when a process started, in Unix seconds; none if it is not there to be seen."""
    if pid is None:
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # a process may call itself anything
        boot = Path("/proc/stat").read_text()
    except OSError:
        return None
    ticks = int(stat.rpartition(b")")[2].split()[_START_TIME])
    booted = next(int(line.split()[1]) for line in boot.splitlines() if line.startswith("btime"))
    return float(booted + ticks / os.sysconf("SC_CLK_TCK"))
