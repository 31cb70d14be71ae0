"""A VM that sends thousands of events a second, while OpenTelemetry is on."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from apart.exporter import FLOOD, exporting_apart
from apart.swarm import STORM, swarm


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Storm(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        sent: events that the VM sent.
        counted: of those by name.
        resident: bytes in memory, each second of the storm.
        late: seconds from sending to applied of the events of another VM meanwhile.
        scrapes: seconds of each scrape meanwhile.
        exported: what became of spans and log records, by signal.
    """

    sent: int
    counted: dict[str, float]
    resident: list[int]
    late: list[float]
    scrapes: list[float]
    exported: dict[str, dict[str, float]]

    @property
    def exact(self) -> bool:
        """Whether each event was counted, and under its name."""
        return self.counted == dict.fromkeys(self.counted, self.sent / len(STORM))


@contextmanager
def dead(kind: str) -> Iterator[str]:
    """Return the URL of a collector that refuses connections, or takes them and never answers."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        if kind == "hangs":
            door.listen(512)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


async def storm(
    place: Path, *, rate: float, seconds: float, otel: Mapping[str, str] | None = None
) -> Storm:
    """Let a VM storm.

    Args:
        place: for sockets and logs.
        rate: events a second.
        seconds: of the storm.
        otel: variables of OpenTelemetry.
    """
    sockets = place / "s"
    sockets.mkdir()
    async with (
        swarm(place / "quiet.log") as quiet,
        swarm(place / "storm.log") as loud,
        exporting_apart(place / "exporter.log", globs=(f"{sockets}/*.qmp",), otel=otel) as exporter,
    ):
        await quiet.ask("gather", directory=str(sockets), number=1)
        await quiet.ask("talk", every=0.05)
        await exporter.delays()
        path = str(sockets / f"{FLOOD}.qmp")
        storming = asyncio.create_task(loud.ask("storm", path=path, rate=rate, seconds=seconds))
        resident, scrapes = [], []
        while not storming.done():
            await asyncio.wait((storming,), timeout=1.0)
            resident.append((await exporter.figures()).resident)
            asked = time.monotonic()
            await exporter.scrape()
            scrapes.append(time.monotonic() - asked)
        late = await exporter.delays()
        await quiet.ask("hush")
        sent = storming.result()
        name = "qemu_events_total"
        page = await exporter.until(
            lambda page: sum(page.rows(name, vm=FLOOD).values()) >= sent, "the last event"
        )
        counted = {
            values[-1]: number for values, number in page.rows(name, vm=FLOOD).items() if number
        }
        exported = {
            what: {
                values[-1]: number
                for values, number in page.rows(f"qmp_exporter_otel_{what}").items()
            }
            for what in ("queued", "exported_total", "failed_total", "dropped_total")
        }
    return Storm(sent, counted, resident, late, scrapes, exported)
