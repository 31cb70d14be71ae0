"""The exporter as people run it, and the pages that it serves."""

from __future__ import annotations

import re
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.processes import BenchError, child, measured


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.processes import Child


START: Final = 30.0
"""Seconds that it may take to listen."""

SCRAPE: Final = 60.0
"""Seconds without a byte after which a scrape has failed."""

STALLED: Final = 30.0
"""Seconds after which what has not changed is taken not to change any more."""

NAP: Final = 0.005
"""Seconds between two looks."""

BUFFER: Final = 1 << 20
"""Bytes that are read at once."""

SERVED_AT: Final = re.compile(r"listens on http://127\.0\.0\.1:([0-9]+)")
SAMPLE: Final = re.compile(rb"^([a-z_A-Z0-9:]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """Of one GET.

    Attributes:
        seconds: from the connect() to the last byte.
        head: status line and headers.
        body: as it came, packed or not.
    """

    seconds: float
    head: bytes
    body: bytes

    def rows(self, name: str) -> dict[bytes, float]:
        """The samples of that name by their labels, as they are written."""
        wanted = name.encode()
        return {m[2] or b"": float(m[3]) for m in SAMPLE.finditer(self.body) if m[1] == wanted}

    def total(self, name: str) -> float:
        """The sum of all samples of that name."""
        return sum(self.rows(name).values())

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(not line.startswith(b"#") for line in self.body.splitlines())


def get(port: int, path: str = "/metrics", *, packed: bool = False) -> Answer:
    """Get a page of this machine.

    HTTP/1.0, so that no server sends it in chunks, which would cost the client time of its own.

    Raises:
        BenchError: any answer but 200.
        OSError: nobody listens.
    """
    coding = "Accept-Encoding: gzip\r\n" if packed else ""
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n{coding}\r\n".encode()
    pieces = []
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), SCRAPE) as connection:
        connection.sendall(request)
        while piece := connection.recv(BUFFER):
            pieces.append(piece)
    took = time.perf_counter() - began
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise BenchError(f"{path}: found {head.splitlines()[:1]}, expected 200")
    return Answer(took, head, body)


class Exporter:
    """A run of it.

    Attributes:
        child: the process.
        port: where it serves.
    """

    def __init__(self, process: Child, port: int) -> None:
        self.child = process
        self.port = port

    def get(self, *names: str, packed: bool = False) -> Answer:
        """Scrape everything, or these metrics."""
        query = "&".join(f"name[]={name}" for name in names)
        return get(self.port, f"/metrics?{query}" if query else "/metrics", packed=packed)

    def until(self, name: str, number: float, **labels: str) -> float:
        """Wait until the sum of a metric, or of its rows of these labels, is a number.

        Returns:
            When it was, in seconds since 1970.

        Raises:
            BenchError: it is more, or has not changed for `STALLED` seconds.
        """
        marks = [f'{label}="{value}"'.encode() for label, value in labels.items()]
        found, changed = -1.0, time.monotonic()
        while found < number and time.monotonic() < changed + STALLED:
            before = found
            rows = self.get(name).rows(name)
            found = sum(n for row, n in rows.items() if all(mark in row for mark in marks))
            if before < found < number:
                changed = time.monotonic()
                time.sleep(NAP)
        now = time.time()
        if found != number:
            raise BenchError(f"{name}: found {found:,.0f}, expected {number:,.0f}")
        return now


@contextmanager
def exporter(
    place: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[Exporter]:
    """Run it on a core of its own, and wait until it listens.

    Args:
        place: for its log.
        arguments: of its own.
        env: variables besides ours.
    """
    log = place / "exporter.log"
    log.write_bytes(b"")
    command = (sys.executable, "-m", "qmp_exporter", "--web.listen-address", "127.0.0.1:0")
    with child(*command, *arguments, log=log, core=measured(), speaks=False, env=env) as process:
        ends = time.monotonic() + START
        while not (found := SERVED_AT.search(log.read_text())):
            if not process.running or time.monotonic() > ends:
                raise BenchError(f"the exporter did not start: {process.log()}")
            time.sleep(NAP)
        yield Exporter(process, int(found[1]))
        if "Traceback" in log.read_text():
            raise BenchError(f"the exporter wrote a traceback: {process.log()}")
