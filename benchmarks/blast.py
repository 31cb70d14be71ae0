"""A monitor that sends as fast as it is read: a program, run as ``blast.py PATH KIND NUMBER LAST``.

All bytes are made beforehand. The VM has the name of the socket. It serves one client, says
``ready`` when that has asked LAST, and waits for the order to send; commands are answered before,
meanwhile and after.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import itertools
import json
import os
import select
import socket
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.demo.captures import Recording
from qmp_exporter.recording.conversation import Conversation, crlf, greeting
from qmp_exporter.recording.state import MachineState


if TYPE_CHECKING:
    from collections.abc import Iterable


VERSION: Final = (7, 2, 22)
CAPABILITIES: Final = "query-migrate-capabilities"
"""What the exporter asks last."""

DISKS: Final = "disks"
SOME: Final = 8
"""Disks of that stream."""

PIECE: Final = 256 * 1024
"""Bytes, about, that are sent between two looks for commands."""

NAP: Final = 0.0005
"""Seconds between two looks at what is not read yet."""

STAMP_ENDS: Final = b'}, "event"'
"""What follows the stamp of an event as QEMU writes it."""


def answer(command: str, arguments: dict[str, Any], state: MachineState) -> object:
    """Return what a machine answers on which the migration events are switched on already."""
    if command == CAPABILITIES:
        return [{"capability": "events", "state": True}]
    return state.answer(command, arguments)


def lines(kind: str) -> list[bytes]:
    """Return events as QEMU 7.2 sent them.

    Args:
        kind: ``mixed`` for all kinds, in their order; `DISKS` for errors of several disks, reads
            and writes in turn; or the name of an event: one after which the machine runs on, as
            there is no storm of one that stops it.
    """
    every = [line for one in Recording.shipped("7.2").scenarios for line in one.lines]
    if kind == "mixed":
        return every
    if kind == DISKS:
        (error,) = lines("BLOCK_IO_ERROR")
        return [
            error.replace(b'"dbg"', b'"disk%d"' % disk).replace(b'"read"', b'"%b"' % operation)
            for disk in range(SOME)
            for operation in (b"read", b"write")
        ]
    name, stops = f'"event": "{kind}"'.encode(), b'"action": "stop"'
    return [next(line for line in every if name in line and stops not in line)]


def different(events: Iterable[bytes]) -> int:
    """Return how many of them are different but for the stamp."""
    return len({line[line.index(STAMP_ENDS) :] for line in events})


def stamped(kinds: Iterable[bytes], number: int) -> list[bytes]:
    """Return so many events, stamped from now on, a microsecond apart, in pieces of whole lines."""
    ends = itertools.cycle([line[line.index(STAMP_ENDS) :] + b"\r\n" for line in kinds])
    now = time.time_ns() // 1000
    pieces: list[bytes] = []
    piece = bytearray()
    for moment, end in zip(range(now, now + number), ends, strict=False):
        second, rest = divmod(moment, 1_000_000)
        piece += b'{"timestamp": {"seconds": %d, "microseconds": %d%b' % (second, rest, end)
        if len(piece) >= PIECE:
            pieces.append(bytes(piece))
            piece.clear()
    return [*pieces, bytes(piece)]


class Blast:
    """A client that is served.

    Args:
        client: its socket.
        name: of the VM.
        last: the command after which it is ready.
    """

    def __init__(self, client: socket.socket, name: str, last: str) -> None:
        state = MachineState(name=name, version=VERSION)
        self._client = client
        self._last = last
        self._talk = Conversation(lambda command, arguments: answer(command, arguments, state))
        self.ready = False
        self.commands = 0
        client.sendall(crlf(greeting(VERSION)))

    def serve(self) -> None:
        """Answer what has been asked.

        Raises:
            SystemExit: the client has gone.
        """
        try:
            chunk = self._client.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise SystemExit
        for command, reply in self._talk.feed(chunk):
            self._client.sendall(crlf(reply))
            self.commands += 1
            self.ready = self.ready or command.get("execute") == self._last

    def send(self, pieces: list[bytes], times: int) -> dict[str, float]:
        """Send them so many times, and wait until the client has read them to the end.

        Returns:
            When that began and ended, in seconds since 1970, and how many commands came so far.
        """
        began = time.time()
        for _ in range(times):
            for piece in pieces:
                self._client.sendall(piece)
                self.serve()
        left = array.array("i", [1])
        while left[0]:
            self.serve()
            fcntl.ioctl(self._client, termios.TIOCOUTQ, left)
            time.sleep(NAP)
        return {"began": began, "read": time.time(), "commands": self.commands}


def say(**message: object) -> None:
    """Tell the one who started this program."""
    print(json.dumps(message), flush=True)


def main(path: str, kind: str, number: int, last: str) -> None:
    """Be that monitor until the input ends."""
    pieces = stamped(lines(kind), number)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        say(listens=True)
        client, _ = listener.accept()
        with client:
            blast, told = Blast(client, Path(path).stem, last), False
            while True:
                readable, _, _ = select.select([client, sys.stdin], [], [])
                if client in readable:
                    blast.serve()
                    if blast.ready and not told:
                        say(ready=True)
                        told = True
                if sys.stdin in readable:
                    order = os.read(sys.stdin.fileno(), 4096)
                    if not order:
                        return
                    say(**blast.send(pieces, json.loads(order)["times"]))


if __name__ == "__main__":
    # The client may go at any time.
    with contextlib.suppress(ConnectionError):
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
