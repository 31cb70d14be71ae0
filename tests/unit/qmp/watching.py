"""A session under test, and what it says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.model.event import Event
from qmp_exporter.model.inputs import Link, Reply
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.context import Context, Tap
from qmp_exporter.qmp.session import Observer, Session
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.transport import Dialling
from qmp_exporter.qmp.unix import UnixTable


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fake_qmp import FakeMonitor
    from qmp_exporter.catalog.states import TargetState
    from qmp_exporter.model.inputs import Ask, Input


PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""

QUICK = Timing(first_retry=0.01, last_retry=0.05, busy_retry=0.05, look=0.005)
"""Tries again at once; everything else may take its time."""

decode = decoder()


async def until(reached: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not reached():  # noqa: ASYNC110 - what is waited for does not tell
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE} s for {what}") from None


class Notes(Observer):
    """Writes down what a session tells."""

    def __init__(self) -> None:
        self.given: list[Input] = []
        self.errors: list[str] = []
        self.answers: list[str] = []
        self.answer: Callable[[Input], tuple[Ask, ...]] = lambda _: ()

    def feed(self, given: Input) -> tuple[Ask, ...]:
        """Take an input."""
        self.given.append(given)
        return self.answer(given)

    def decode_error(self, event: str) -> None:
        """Take a line that is no event."""
        self.errors.append(event)

    def answered(self, command: str, seconds: float) -> None:
        """Take the duration of a command."""
        assert seconds >= 0
        self.answers.append(command)

    @property
    def links(self) -> list[Link]:
        """What became of the connection, in order."""
        return [one for one in self.given if isinstance(one, Link) and not one.read]

    @property
    def read(self) -> int:
        """How often all of the state was read."""
        return sum(isinstance(one, Link) and one.read for one in self.given)

    @property
    def states(self) -> list[TargetState]:
        """The states that were told, in order, a repeated one once."""
        states = [link.state for link in self.links]
        return [s for s, before in zip(states, [None, *states], strict=False) if s != before]

    @property
    def events(self) -> list[str]:
        """The names of the events, in order."""
        return [one.name for one in self.given if isinstance(one, Event)]

    @property
    def replies(self) -> list[str]:
        """The commands that were answered, in order."""
        return [one.command for one in self.given if isinstance(one, Reply)]

    async def state(self, state: TargetState) -> Link:
        """Wait for a state."""
        await until(lambda: state in [link.state for link in self.links], f"{state}: {self.states}")
        return next(link for link in self.links if link.state == state)


def target_of(monitor: FakeMonitor) -> Target:
    """How a monitor is dialled."""
    if isinstance(monitor.address, str):
        return Target(monitor.address)
    host, port = monitor.address
    return Target(f"{host}:{port}", tcp=True)


def session_of(  # noqa: PLR0913 - what a test may want to differ
    target: Target,
    notes: Notes,
    timing: Timing = QUICK,
    *,
    table: UnixTable | None = None,
    migration_events: bool = True,
    tap: Tap | None = None,
) -> Session:
    """A session that dials, and does not run yet."""
    context = Context(
        decode,
        table or UnixTable(),
        timing=timing,
        migration_events=migration_events,
        answered=notes.answered,
        tap=tap,
    )
    return Session(target, notes, Dialling(target, context), context)


@asynccontextmanager
async def watching(
    where: FakeMonitor | Path | Target,
    timing: Timing = QUICK,
    *,
    table: UnixTable | None = None,
    migration_events: bool = True,
    tap: Tap | None = None,
) -> AsyncIterator[tuple[Session, Notes]]:
    """Run a session, and fail if it leaves a task or a file descriptor behind."""
    if isinstance(where, Path):
        where = Target(str(where))
    elif not isinstance(where, Target):
        where = target_of(where)
    notes = Notes()
    async with nothing_left():
        session = session_of(
            where, notes, timing, table=table, migration_events=migration_events, tap=tap
        )
        task = asyncio.create_task(session.run())
        try:
            yield session, notes
        finally:
            task.cancel()
            await asyncio.wait((task,))
        assert task.cancelled()


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail if what is done here leaves a task or a socket behind."""
    tasks, files = asyncio.all_tasks(), sockets()
    yield
    mine = asyncio.current_task()  # that of a fixture may be another now
    left: set[object] = set()

    def gone() -> bool:
        left.clear()
        left.update(asyncio.all_tasks() - tasks - {mine}, sockets() - files)
        return not left

    try:
        await until(gone, "tasks to end and sockets to be closed")
    except AssertionError as err:
        raise AssertionError(f"{err}: {left}") from None


def sockets() -> set[Path]:
    """The open sockets of this process."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing
            found.add(fd.readlink())
    return {path for path in found if path.name.startswith("socket:")}
