"""A folder with thousands of files, and sockets that appear in it."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import msgspec

from apart.exporter import exporting_apart
from apart.swarm import swarm
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.discovery.scan import scan


if TYPE_CHECKING:
    from pathlib import Path

    from apart.exporter import Subject


NUMBER = "qmp_exporter_targets"


class Folder(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        scan: seconds of one scan, alone.
        idle: share of a core that the exporter uses while nothing happens.
        found: seconds from each new socket to its connection.
        again: the same where the folder itself, or a socket, was removed and made again.
    """

    scan: float
    idle: float
    found: list[float]
    again: list[float]


async def crowded(place: Path, *, files: int, sockets: int, new: int, idle: float) -> Folder:
    """Watch a folder that is full.

    It fails if a socket in it is not connected, or one is connected twice.

    Args:
        place: for the folder and logs.
        files: in it that are no sockets.
        sockets: in it from the start.
        new: sockets that appear one after the other, each removed and made again.
        idle: seconds for which nothing happens.
    """
    folder = place / "s"
    folder.mkdir()
    glob = f"{folder}/*.qmp"
    async with swarm(place / "swarm.log") as them, swarm(place / "new.log") as others:
        await them.ask("fill", directory=str(folder), files=files)
        async with exporting_apart(
            place / "exporter.log", globs=(glob,), vm_grace=1.0, max_targets=sockets + new
        ) as exporter:
            await them.ask("gather", directory=str(folder), number=sockets)
            link = folder / "link.qmp"
            link.symlink_to(folder / "0.qmp")
            began = time.monotonic()
            scan((Pattern(glob),), sockets + new)
            scanned = time.monotonic() - began
            page = await exporter.until_state("link", "busy")
            assert page.state("0") == "connected"
            link.unlink()
            await exporter.until(
                lambda page: "link" not in page.vms(), "the link to be gone", "qemu_up"
            )
            before = (await exporter.figures()).cpu
            await asyncio.sleep(idle)
            share = ((await exporter.figures()).cpu - before) / idle
            paths = [str(folder / f"new{number}.qmp") for number in range(new)]
            found = await others.ask("appear", paths=paths, again=0)
            again = await others.ask("appear", paths=paths, again=3)
            page = await exporter.scrape("qmp_exporter_connects_total", "qmp_exporter_targets")
            connects = page.rows("qmp_exporter_connects_total")
            assert {connects[str(number),] for number in range(sockets)} == {1.0}
    return Folder(scanned, share, found, again)


async def comes_and_goes(place: Path, *, times: int, again: int) -> list[float]:
    """Watch a folder that is not there yet, is made, removed, and made again.

    Returns:
        The seconds from each socket in it to its connection.
    """
    found: list[float] = []
    glob = f"{place}/a/b/*.qmp"
    async with (
        swarm(place / "swarm.log") as them,
        exporting_apart(place / "exporter.log", globs=(glob,), vm_grace=1.0) as exporter,
    ):
        for number in range(times):
            await nobody(exporter)
            folder = place / "a" / "b"
            folder.mkdir(parents=True)
            paths = [str(folder / f"{number}.qmp")]
            found += await them.ask("appear", paths=paths, again=again)
            shutil.rmtree(place / "a")
        await nobody(exporter)
    return found


async def nobody(exporter: Subject) -> None:
    """Wait until no monitor is known."""
    await exporter.until(lambda page: not page.rows(NUMBER), "nobody to be there", NUMBER)
