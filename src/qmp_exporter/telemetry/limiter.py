"""A limit on the lines of the log, so that nothing a VM or a client does can fill a disk."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from qmp_exporter.telemetry.bucket import Bucket


if TYPE_CHECKING:
    from collections.abc import Callable


class Limiter(logging.Filter):
    """Lets so many records a second through, on average; in a burst, those of some seconds.

    Attributes:
        burst: seconds' worth of records that may come at once.
        suppressed: called with the number of records that were not let through.
    """

    def __init__(self, rate: int = 0, burst: float = 10.0) -> None:
        super().__init__()
        self.burst = burst
        self.suppressed: Callable[[int], None] = lambda _: None
        self._lock = threading.Lock()
        self.set(rate)

    def set(self, rate: int) -> None:
        """Let another number of records a second through from now on; 0 for no limit."""
        with self._lock:
            self._bucket = Bucket(1 / rate, rate * self.burst, monotonic) if rate else None
            self._missing = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is let through; the next one tells how many were not."""
        with self._lock:
            if self._bucket is None:
                return True
            passed = self._bucket.take()
            if not passed:
                self._missing += 1
            elif self._missing:
                record.msg = f"{record.getMessage()} (after {self._missing} suppressed lines)"
                record.args = ()
                self._missing = 0
        if not passed:
            self.suppressed(1)
        return passed
