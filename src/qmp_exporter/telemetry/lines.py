"""Lines to a file descriptor whose reader may be slow, or gone, without anybody waiting for it."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from typing import Final


log = logging.getLogger(__name__)

ROOM: Final = 1024
"""Lines that wait to be written."""


class Lines:
    """Writes lines in a thread of its own.

    Args:
        number: of the file descriptor, which stays open.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting: deque[str] = deque()
        self._there_is = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="qmp-exporter-lines", daemon=True)
        self._thread.start()

    def write(self, line: str) -> bool:
        """Have a line written; return whether there was room for it."""
        if self._over or len(self._waiting) >= ROOM:
            return False
        self._waiting.append(line)
        self._there_is.set()
        return True

    def close(self, timeout: float) -> None:
        """Write what waits, for so many seconds at most, and no more after that."""
        self._over = True
        self._there_is.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._over or self._waiting:
            self._there_is.wait()
            self._there_is.clear()
            while self._waiting:
                try:
                    self._write(f"{self._waiting[0]}\n".encode())
                except OSError as err:
                    if not self._over:
                        log.error("no more lines of events: %s", err.strerror)  # noqa: TRY400 - one line
                    self._over = True
                    return
                self._waiting.popleft()

    def _write(self, text: bytes) -> None:
        while text:
            try:
                text = text[os.write(self._number, text) :]
            except BlockingIOError:  # somebody else who has it wants it like that
                select.select((), (self._number,), ())
