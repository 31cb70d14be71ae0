"""Programs that are measured, each in a process of its own and on a core of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


REPOSITORY: Final = Path(__file__).parent.parent
CORES: Final = sorted(os.sched_getaffinity(0))

PATIENCE: Final = 600.0
"""Seconds that an answer of a program may take."""

END: Final = 30.0
"""Seconds that a program may take to end."""

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MEBI: Final = 2**20


class BenchError(Exception):
    """A measurement cannot be made, or is not valid."""


def measured() -> int:
    """The core of what is measured; nothing else runs there."""
    return CORES[0]


def beside() -> int:
    """The core of everything else."""
    if len(CORES) == 1:
        raise BenchError("found one core, expected two: one for what is measured, one for the rest")
    return CORES[1]


def cpu(pid: int) -> float:
    """Return the seconds of CPU time of a process so far, of all its threads."""
    # What is in brackets may hold anything, so the fields are counted from its end.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Child:
    """A process that was started.

    A program of ours says one line of JSON at a time on its standard output, reads orders of the
    same kind, and ends when its input does.

    Attributes:
        pid: its id.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log
        self._rest = b""

    def hear(self, patience: float = PATIENCE) -> dict[str, Any]:
        """Return what it says next.

        Raises:
            BenchError: it ended, or said nothing for `patience` seconds.
        """
        output = cast("IO[bytes]", self._process.stdout)
        ends = time.monotonic() + patience
        while b"\n" not in self._rest:
            left = max(0.0, ends - time.monotonic())
            readable, _, _ = select.select([output], [], [], left)
            chunk = os.read(output.fileno(), 1 << 16) if readable else b""
            if not chunk:
                raise BenchError(f"{self._words()}: said nothing; its log ends: {self.log()}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, **order: object) -> None:
        """Give it an order."""
        orders = cast("IO[bytes]", self._process.stdin)
        orders.write(json.dumps(order).encode() + b"\n")
        orders.flush()

    def ask(self, **order: object) -> dict[str, Any]:
        """Give it an order, and return what it says."""
        self.tell(**order)
        return self.hear()

    def log(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._log.read_text(errors="replace")[-2000:]

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def cpu(self) -> float:
        """Seconds of CPU time so far, of all its threads."""
        return cpu(self.pid)

    def resident(self) -> int:
        """Bytes in memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    def end(self) -> None:
        """Close its input, and wait for it; kill it where that is not enough."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        else:
            self._process.terminate()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _words(self) -> str:
        words = self._process.args
        return " ".join(map(str, words)) if isinstance(words, (list, tuple)) else str(words)


@contextmanager
def child(
    *command: str | Path,
    log: Path,
    core: int | None,
    speaks: bool = True,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Run a program until the context is left.

    Args:
        command: program and arguments.
        log: where its standard error goes.
        core: the only one that it may use, which also its start sees; None: all.
        speaks: whether it reads orders and says something; else it ends by SIGTERM.
        env: variables besides ours.
    """
    # However this process ends, what it started does, too.
    words = ["setpriv", "--pdeathsig", "KILL"]
    words += ["taskset", "--cpu-list", str(core) if core is not None else ",".join(map(str, CORES))]
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - the programs are ours
            [*words, *map(str, command)],
            stdin=subprocess.PIPE if speaks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if speaks else subprocess.DEVNULL,
            stderr=stderr,
            env=_variables() | dict(env or {}),
        )
    found = Child(process, log)
    try:
        yield found
        found.end()
    finally:
        if found.running:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _variables() -> dict[str, str]:
    """Return our variables, without those that would change what is measured."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "QMP_EXPORTER_"))}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)  # else what was not compiled before is compiled now
    folders = (REPOSITORY / "src", REPOSITORY / "tests", REPOSITORY)
    return ours | {"PYTHONPATH": os.pathsep.join(map(str, folders))}


def program(module: str) -> tuple[str, str, str]:
    """Return the command that runs a module of this package."""
    return sys.executable, "-m", f"benchmarks.{module}"


def built(place: Path, name: str) -> Path | None:
    """Build a program of ``benchmarks/go``, and return its path; None where there is no Go."""
    go = shutil.which("go")
    if go is None:
        return None
    path = place / f"go-{name}"
    if not path.exists():
        subprocess.run(  # noqa: S603 - as above
            [go, "build", "-o", path, f"./{name}"], cwd=REPOSITORY / "benchmarks/go", check=True
        )
    return path
