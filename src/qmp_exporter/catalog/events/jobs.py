"""Events of jobs: QEMU's qapi/job.json, and those of block jobs in block-core.json."""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.operations import JOB
from qmp_exporter.catalog.spec import (
    NONE,
    Counter,
    EventSpec,
    Label,
    Payload,
    Severity,
    Tells,
)
from qmp_exporter.catalog.states import IO_ERROR_ACTIONS, IO_OPERATIONS, JOB_STATUSES, JOB_TYPES


SOURCE: Final = "block-core.json"


class JobStatus(Payload, frozen=True):
    """Data of JOB_STATUS_CHANGE: a QAPI JobStatus."""

    id: str
    status: str


class BlockJob(Payload, frozen=True):
    """Data of BLOCK_JOB_READY, and what those of the ends have in common.

    Attributes:
        type: a QAPI JobType.
        device: the job's id, which may be that of its device.
    """

    type: str
    device: str

    @property
    def id(self) -> str:
        """The job's id."""
        return self.device


class BlockJobCompleted(BlockJob, frozen=True):
    """Data of BLOCK_JOB_COMPLETED.

    Attributes:
        error: why it failed, as text for people; none if it did not.
    """

    error: str | None = None

    @property
    def outcome(self) -> str:
        """How it ended."""
        return "completed" if self.error is None else "failed"

    @property
    def failure(self) -> str:
        """What kind of failure it is, if it is one."""
        return "" if self.error is None else "block-job-failed"


class BlockJobCancelled(BlockJob, frozen=True):
    """Data of BLOCK_JOB_CANCELLED."""

    @property
    def outcome(self) -> str:
        """How it ended."""
        return "cancelled"


class BlockJobPending(Payload, frozen=True):
    """Data of BLOCK_JOB_PENDING."""

    type: str
    id: str


class BlockJobError(Payload, frozen=True):
    """Data of BLOCK_JOB_ERROR; the job's id is its ``device``."""

    device: str
    operation: str
    action: str

    @property
    def id(self) -> str:
        """The job's id."""
        return self.device

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "block-job-error"


TYPE: Final = Label("type", JOB_TYPES)
ENDED: Final = Counter(
    "qemu_block_jobs_total",
    "Block jobs that ended. QMP events BLOCK_JOB_COMPLETED and BLOCK_JOB_CANCELLED.",
    (TYPE, Label("outcome", ("completed", "failed", "cancelled"))),
    preset=NONE,
)
OUTCOME: Final = Tells(
    JOB,
    {"qemu.job.outcome": "outcome", "qemu.job.type": "type"},
    {"failed": "block-job-failed"},
)
OF_TYPE: Final = Tells(JOB, {"qemu.job.type": "type"})
_PROGRESS: Final = {
    "type": "mirror",
    "device": "drive-virtio-disk0",
    "len": 10737418240,
    "offset": 10737418240,
    "speed": 0,
}

EVENTS: Final = (
    EventSpec(
        "JOB_STATUS_CHANGE",
        "A job went to another status.",
        "job.json",
        rare=True,
        payload=JobStatus,
        samples=({"id": "backup0", "status": "running"}, {"id": "backup0", "status": "null"}),
        shows=(Label("status", JOB_STATUSES),),
        operation=JOB,
        key="id",
        note="Sets `qemu_jobs`.",
    ),
    EventSpec(
        "BLOCK_JOB_COMPLETED",
        "A block job ended, well or with an error.",
        SOURCE,
        rare=True,
        payload=BlockJobCompleted,
        samples=(_PROGRESS, _PROGRESS | {"error": "No space left on device"}),
        counters=(ENDED,),
        operation=JOB,
        key="id",
        tells=OUTCOME,
    ),
    EventSpec(
        "BLOCK_JOB_CANCELLED",
        "A block job was cancelled.",
        SOURCE,
        rare=True,
        payload=BlockJobCancelled,
        samples=(_PROGRESS | {"offset": 4096},),
        counters=(ENDED,),
        operation=JOB,
        key="id",
        tells=OUTCOME,
    ),
    EventSpec(
        "BLOCK_JOB_READY",
        "A block job has done what it could, and waits to be completed.",
        SOURCE,
        rare=True,
        payload=BlockJob,
        samples=(_PROGRESS,),
        shows=(TYPE,),
        operation=JOB,
        key="id",
        tells=OF_TYPE,
    ),
    EventSpec(
        "BLOCK_JOB_PENDING",
        "A block job waits to be finalized.",
        SOURCE,
        rare=True,
        payload=BlockJobPending,
        samples=({"type": "commit", "id": "job0"},),
        shows=(TYPE,),
        operation=JOB,
        key="id",
        tells=OF_TYPE,
    ),
    EventSpec(
        "BLOCK_JOB_ERROR",
        "A read or write of a block job failed.",
        SOURCE,
        rare=True,
        payload=BlockJobError,
        samples=({"device": "ide0-hd1", "operation": "write", "action": "stop"},),
        severity=Severity.ERROR,
        operation=JOB,
        key="id",
        counters=(
            Counter(
                "qemu_block_job_errors_total",
                "Failed reads and writes of block jobs, by what QEMU did: pause the job, fail it,"
                " or ignore. QMP event BLOCK_JOB_ERROR.",
                (Label("operation", IO_OPERATIONS), Label("action", IO_ERROR_ACTIONS)),
                preset=NONE,
            ),
        ),
    ),
)
