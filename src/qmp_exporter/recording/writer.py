"""Lines to a file or a pipe that may be slow, without the monitor having to wait for it."""

from __future__ import annotations

import os
import select
import threading
from typing import Final

from qmp_exporter.errors import RecordingError


ROOM: Final = 16 * 1024 * 1024
"""Bytes that wait to be written."""


class Writer:
    """Writes lines in a thread of its own, as they come.

    Args:
        number: of the file descriptor, which stays open.
        name: of the file, for people.
        most: bytes to write in all.

    Attributes:
        written: bytes that were taken to be written.
    """

    def __init__(self, number: int, name: str, most: int) -> None:
        self.written = 0
        self._number = number
        self._name = name
        self._most = most
        self._waiting: list[bytes] = []
        self._size = 0
        self._over = False
        self._error = ""
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="qmp-exporter-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Have a line written, and its end.

        Raises:
            RecordingError: it cannot be, or it would be too much.
        """
        size = len(line) + 1
        with self._news:
            if self._error:
                raise RecordingError(f"{self._name}: {self._error}")
            if self.written + size > self._most:
                raise RecordingError(f"{self._name}: {self._most} bytes are full (--max-size)")
            if self._size + size > ROOM:
                raise RecordingError(f"{self._name}: it takes less than the monitor says")
            self._waiting += (line, b"\n")
            self._size += size
            self.written += size
            self._news.notify()

    def close(self, timeout: float) -> None:
        """Write what waits, for so many seconds at most.

        Raises:
            RecordingError: not all of it was written.
        """
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join(timeout)
        if self._error or self._thread.is_alive():
            raise RecordingError(f"{self._name}: {self._error or 'nobody takes what is written'}")

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    return
                text, self._waiting = b"".join(self._waiting), []
            try:
                self._write(text)
            except OSError as err:
                self._error = err.strerror or str(err)
                return
            with self._news:
                self._size -= len(text)

    def _write(self, text: bytes) -> None:
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(self._number, rest) :]
            except BlockingIOError:  # somebody else who has it wants it like that
                select.select((), (self._number,), ())
