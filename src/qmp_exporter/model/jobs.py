"""The jobs of a VM: backups, mirrors, commits, snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.catalog.states import JOB_STATUSES, JOB_TYPES, OTHER


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


MAX_JOBS: Final = 64
"""Jobs of one VM that are told apart."""

FORGOTTEN: Final = "null"
"""The status in which QEMU forgets a job."""


class Job(msgspec.Struct, frozen=True, gc=False):
    """A job.

    Attributes:
        status: a QAPI JobStatus, ``other`` for one unknown.
        began: Unix seconds at which it was created; none if that was not seen.
    """

    status: str
    began: float | None = None


class Jobs(msgspec.Struct, frozen=True):
    """The jobs that QEMU knows.

    Attributes:
        known: by their ids.
        seconds: how long the last one took that ended, by type; of those that were seen to begin.
        seen: whether there ever was one.
    """

    known: Mapping[str, Job] = {}
    seconds: Mapping[str, float] = {}
    seen: bool = False

    def full(self, name: str) -> bool:
        """Whether there is no room to tell one more job apart."""
        return len(self.known) >= MAX_JOBS and name not in self.known

    def went(self, name: str, status: str, time: float) -> Jobs:
        """Return the jobs after one went to another status."""
        if status == FORGOTTEN:
            left = {known: job for known, job in self.known.items() if known != name}
            return msgspec.structs.replace(self, known=left)
        began = time if status == "created" else None
        if name in self.known:
            began = self.known[name].began
        shown = status if status in JOB_STATUSES else OTHER
        known = {**self.known, name: Job(shown, began)}
        return msgspec.structs.replace(self, known=known, seen=True)

    def ended(self, name: str, kind: str, time: float) -> Jobs:
        """Return the jobs after one ended, well or not; QEMU forgets it later."""
        job = self.known.get(name)
        if job is None or job.began is None:
            return self
        kind = kind if kind in JOB_TYPES else OTHER
        seconds = {**self.seconds, kind: max(0.0, time - job.began)}
        return msgspec.structs.replace(self, seconds=seconds)

    def read(self, found: Iterable[tuple[str, str]]) -> Jobs:
        """Return the jobs as ``query-jobs`` lists them, as pairs of id and status."""
        known: dict[str, Job] = {}
        for name, status in found:
            if len(known) < MAX_JOBS:
                was = self.known.get(name, Job(status))
                known[name] = Job(status if status in JOB_STATUSES else OTHER, was.began)
        return msgspec.structs.replace(self, known=known, seen=self.seen or bool(known))
