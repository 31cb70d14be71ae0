"""Jobs: what QEMU knows of them, and how long they took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders import Watch, connected, event, link, lost, ready, reply, status
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.jobs import MAX_JOBS
from qmp_exporter.model.replies import JobInfo, JobInfos


if TYPE_CHECKING:
    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Reply


JOBS = "qemu_jobs"
SECONDS = "qemu_block_job_last_duration_seconds"


def job(state: str, at: float, name: str = "backup0") -> Event:
    """Return JOB_STATUS_CHANGE."""
    return event("JOB_STATUS_CHANGE", {"id": name, "status": state}, at)


def completed(at: float, name: str = "backup0", kind: str = "backup") -> Event:
    """Return BLOCK_JOB_COMPLETED."""
    data = {"type": kind, "device": name, "len": 1, "offset": 1, "speed": 0}
    return event("BLOCK_JOB_COMPLETED", data, at)


def listed(*jobs: tuple[str, str], at: float = 0.0) -> Reply:
    """Return the answer to query-jobs."""
    return reply(Ask.JOBS, JobInfos(tuple(JobInfo(*one) for one in jobs)), at)


def running() -> Watch:
    """Return a VM that runs."""
    watch = Watch()
    watch.all(connected(), status("running"), ready())
    return watch


def test_there_is_nothing_of_jobs_before_the_first() -> None:
    """Most machines never have one: no rows are wasted on them."""
    watch = running()
    watch.feed(listed())
    assert watch.rows(JOBS) == {}
    assert watch.rows(SECONDS) == {}


def test_jobs_are_shown_by_status() -> None:
    """Until QEMU forgets them; then all read 0."""
    watch = running()
    watch.all(job("created", 1), job("running", 1), job("running", 2, "mirror0"))
    assert watch.risen(JOBS) == {("running",): 2}
    watch.all(job("ready", 3, "mirror0"))
    assert watch.risen(JOBS) == {("running",): 1, ("ready",): 1}
    watch.all(job("null", 4), job("null", 4, "mirror0"))
    assert watch.risen(JOBS) == {}
    assert len(watch.rows(JOBS)) == 10


def test_a_job_takes_from_created_to_its_end() -> None:
    """By type, of the last one; one that was not seen to begin has no duration."""
    watch = running()
    watch.all(job("created", 1), job("running", 1.1), completed(3.5), job("null", 4))
    assert watch.rows(SECONDS) == {("backup",): 2.5}
    watch.all(job("running", 5, "c"), completed(9, "c", "commit"))
    assert watch.rows(SECONDS) == {("backup",): 2.5}
    watch.all(job("created", 10), completed(11, kind="of QEMU 99"))
    assert watch.rows(SECONDS) == {("backup",): 2.5, ("other",): 1.0}


def test_a_status_that_is_new_is_other() -> None:
    """It is counted all the same."""
    watch = running()
    watch.feed(job("melting", 1))
    assert watch.risen(JOBS) == {("other",): 1}


def test_the_jobs_of_a_connection_are_those_that_qemu_lists() -> None:
    """What ended out of sight is gone, what goes on keeps its begin, what is new is there."""
    watch = running()
    watch.all(job("created", 1), job("running", 1), job("created", 1, "gone"), lost(2))
    watch.all(connected(3), listed(("backup0", "ready"), ("new", "running"), at=3.1), ready(3.2))
    assert watch.risen(JOBS) == {("ready",): 1, ("running",): 1}
    watch.feed(completed(5))
    assert watch.rows(SECONDS) == {("backup",): 4.0}


def test_only_so_many_are_told_apart() -> None:
    """A host that makes jobs without end is counted, not remembered."""
    watch = running()
    watch.all(*(job("created", 1, f"job{n}") for n in range(MAX_JOBS + 3)))
    assert watch.risen(JOBS) == {("created",): MAX_JOBS}
    assert watch.overflows == [JOBS] * 3
    watch.feed(listed(*((f"job{n}", "running") for n in range(MAX_JOBS + 9))))
    assert watch.risen(JOBS) == {("running",): MAX_JOBS}


def test_no_job_outlives_qemu() -> None:
    """Nor does one begin in the next process."""
    watch = running()
    watch.all(job("created", 1), lost(2), link(TargetState.GONE, 2.1))
    assert watch.risen(JOBS) == {}
    watch.all(connected(3, pid=2), listed(), ready(3.1))
    assert watch.rows(JOBS) == {}
