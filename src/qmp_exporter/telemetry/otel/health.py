"""Whether a collector takes what it is sent: the log says once that it does not, and once that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from qmp_exporter.telemetry.otel.counts import Counts


log = logging.getLogger(__name__)


class Health:
    """Tells of changes.

    Args:
        what: is exported, such as ``traces``.
        where: it goes, for people.
        counts: of the signal.
    """

    def __init__(self, what: str, where: str, counts: Counts) -> None:
        self._what = what
        self._where = where
        self._counts = counts
        self._before = counts.tally
        self.lost = False

    def failed(self, reason: str) -> None:
        """Take that an export failed, or that a part of it was not taken."""
        if self.lost:
            return
        self.lost = True
        log.warning("%s are not exported to %s: %s", self._what, self._where, reason)

    def well(self) -> None:
        """Take that an export succeeded."""
        now = self._counts.tally
        if self.lost:
            self.lost = False
            log.warning(
                "%s are exported to %s again; meanwhile %d failed and %d were dropped",
                self._what,
                self._where,
                now.failed - self._before.failed,
                now.dropped - self._before.dropped,
            )
        self._before = now
