"""The migration of a VM, as one end of it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.catalog.states import (
    MIGRATION_IDLE,
    MIGRATION_OUTCOMES,
    MIGRATION_STATUSES,
    MIGRATION_SWITCHED,
    OTHER,
    Role,
)
from qmp_exporter.model.changes import Change, MigrationBegan, MigrationEnded


if TYPE_CHECKING:
    from qmp_exporter.model.replies import MigrationInfo


class Migration(msgspec.Struct, frozen=True):
    """The migration under way, or the last one.

    Attributes:
        status: a QAPI MigrationStatus; empty if there never was one.
        role: which end this VM is, or would be.
        began: Unix seconds of its begin, if that was seen.
        seconds: duration of the last one that ended, if known.
        downtime: seconds that the guest did not run, of the last one, if known.
        transferred: bytes of memory moved by the last one, if known.
        lost: whether the last one failed with this VM as its destination.
        early: how often QEMU was asked for the outcome before it had reckoned it.
    """

    status: str = ""
    role: Role = Role.SOURCE
    began: float | None = None
    seconds: float | None = None
    downtime: float | None = None
    transferred: int | None = None
    lost: bool = False
    early: int = 0

    @property
    def open(self) -> bool:
        """Whether one is under way."""
        return bool(self.status) and self.status not in MIGRATION_IDLE

    @property
    def switched(self) -> bool:
        """Whether the guest is stopped by it, or runs at the destination only."""
        return self.status in MIGRATION_SWITCHED

    def begins(self, status: str) -> bool:
        """Whether this status is the begin of another migration.

        Where a destination recovers, QEMU 7.2 goes from ``postcopy-paused`` to ``setup`` and on.
        """
        return status == "setup" and self.status != "postcopy-paused"

    def went(self, status: str, time: float) -> tuple[Migration, tuple[Change, ...]]:
        """Return the migration in another status since ``time``, and what that means."""
        status = status if status in MIGRATION_STATUSES else OTHER
        if status in MIGRATION_OUTCOMES:
            return self.ended(status, time)
        went = msgspec.structs.replace(self, status=status)
        if not went.open or (self.open and not self.begins(status)):
            return went, ()
        # Only `setup` is a begin; another status says that the begin was missed.
        began = time if status == "setup" else None
        return (
            msgspec.structs.replace(went, began=began, lost=False),
            (MigrationBegan(self.role),),
        )

    def ended(self, outcome: str, time: float) -> tuple[Migration, tuple[Change, ...]]:
        """Return the migration after its outcome, and that outcome; one repeated says nothing."""
        if self.status == outcome:
            return self, ()
        seconds = max(0.0, time - self.began) if self.began is not None else None
        ended = msgspec.structs.replace(
            self,
            status=outcome,
            began=None,
            seconds=seconds if seconds is not None else self.seconds,
            lost=outcome == "failed" and self.role is Role.DESTINATION,
            early=0,
        )
        return ended, (MigrationEnded(self.role, outcome, seconds),)

    def read(self, info: MigrationInfo) -> Migration:
        """Return the migration as ``query-migrate`` tells of it."""
        if info.status == "none":
            return self
        status = info.status if info.status in MIGRATION_STATUSES else OTHER
        return msgspec.structs.replace(
            self,
            status=status,
            downtime=self.downtime if info.downtime_seconds is None else info.downtime_seconds,
            transferred=self.transferred if info.transferred is None else info.transferred,
            early=self.early + 1 if info.early else 0,
        )
