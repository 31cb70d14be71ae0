"""What became of what was to be exported, by number."""

from __future__ import annotations

import threading
from time import time

import msgspec


class Tally(msgspec.Struct, frozen=True):
    """The numbers of one moment: ``received`` is the sum of the next four.

    Attributes:
        received: all there were.
        queued: neither of the next three yet, be it that they wait or are being sent.
        exported: a collector took them.
        failed: they could not be sent, or were not taken.
        dropped: they were given up before an answer.
        succeeded: when a collector last took some, in Unix seconds; 0 for never.
    """

    received: int = 0
    queued: int = 0
    exported: int = 0
    failed: int = 0
    dropped: int = 0
    succeeded: float = 0.0


class Counts:
    """Counts of one signal, by any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._exported = self._failed = self._dropped = 0
        self._succeeded = 0.0

    def receive(self, number: int = 1) -> None:
        """Count what is queued from now on."""
        with self._lock:
            self._received += number

    def drop(self, number: int = 1) -> None:
        """Count what is given up."""
        with self._lock:
            self._dropped += number

    def sent(self, exported: int, failed: int) -> None:
        """Count what was sent; with none failed, the collector is well."""
        with self._lock:
            self._exported += exported
            self._failed += failed
            if exported or not failed:
                self._succeeded = time()

    @property
    def tally(self) -> Tally:
        """The numbers of this moment."""
        with self._lock:
            done = self._exported + self._failed + self._dropped
            return Tally(
                self._received,
                self._received - done,
                self._exported,
                self._failed,
                self._dropped,
                self._succeeded,
            )
