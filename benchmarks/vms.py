"""VMs by the thousand, in processes that hold as many as they have descriptors for."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.processes import beside, child, program


if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.processes import Child


EACH: Final = 5_000
"""VMs of a process: each takes two descriptors, of which a process here may have 20,000."""


class Vms:
    """Those of some processes.

    Attributes:
        pattern: of their sockets.
        number: of VMs.
    """

    def __init__(self, processes: list[Child], pattern: str, number: int) -> None:
        self._processes = processes
        self.pattern = pattern
        self.number = number

    def served(self) -> float:
        """Wait until an exporter has read the state of all; return when, in seconds since 1970."""
        return max(told["at"] for told in self._ask(do="served"))

    def alone(self) -> None:
        """Wait until no exporter is connected to any."""
        self._ask(do="alone")

    def change(self, vms: int) -> None:
        """Let so many send an event each, and wait until that has been read."""
        for process in self._processes:
            some = min(vms, EACH)
            process.ask(do="change", vms=some)
            vms -= some

    def talk(self, some: int, every: float, seconds: float) -> None:
        """Let the first of them begin to send events; `talked` waits for the end.

        Args:
            some: of those of the first process.
            every: seconds between two events of one.
            seconds: for which they do.
        """
        self._processes[0].tell(do="talk", vms=some, every=every, seconds=seconds)

    def talked(self) -> int:
        """Return how many events that were."""
        return int(self._processes[0].hear()["sent"])

    def _ask(self, **order: object) -> list[dict[str, float]]:
        for process in self._processes:
            process.tell(**order)
        return [process.hear() for process in self._processes]


@contextmanager
def vms(place: Path, number: int) -> Iterator[Vms]:
    """Run so many VMs beside what is measured.

    Args:
        place: for sockets and logs.
        number: of VMs.
    """
    folder = Path(tempfile.mkdtemp(prefix="vms-", dir=place))
    with ExitStack() as stack:
        processes = []
        for first in range(0, number, EACH):
            words = (*program("monitors"), folder, str(first), str(min(EACH, number - first)))
            log = folder / f"{first}.log"
            processes.append(stack.enter_context(child(*words, log=log, core=beside())))
        for process in processes:
            process.hear()
        yield Vms(processes, f"{folder}/*.qmp", number)
