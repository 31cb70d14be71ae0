"""The exporter in a process of its own, and what it can tell of itself from inside."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from apart.process import Process, answer, apart
from integration.exporter import Exporter
from qmp_exporter.app import App
from qmp_exporter.config.otel import read_otel
from qmp_exporter.config.settings import Settings
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.model.event import Event
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.timing import Timing


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace


FLOOD = "flood"
"""The name of the VM whose events are not timed."""

PATIENCE = 60.0
"""Seconds that a scrape or a state may take; a thousand VMs may be on the page."""


class Figures(msgspec.Struct, frozen=True):
    """What a process holds.

    Attributes:
        tasks: of its event loop.
        files: open descriptors.
        resident: bytes in memory, with no garbage among them.
        loggers: that its logging knows.
        objects: that its garbage collector knows.
        cpu: seconds of CPU time so far.
    """

    tasks: int
    files: int
    resident: int
    loggers: int
    objects: int
    cpu: float

    @property
    def counts(self) -> tuple[int, int, int]:
        """What has to be as it was: tasks, descriptors, loggers."""
        return self.tasks, self.files, self.loggers


class Subject(Exporter):
    """An exporter that runs apart.

    Attributes:
        process: it runs there.
    """

    def __init__(self, process: Process, client: aiohttp.ClientSession) -> None:
        super().__init__(None, client)  # type: ignore[arg-type]
        self.process = process

    async def figures(self) -> Figures:
        """Return what it holds now."""
        return msgspec.convert(await self.process.ask("figures"), Figures)

    async def settled(self, before: Figures) -> Figures:
        """Wait until tasks, descriptors and loggers are as they were, and return what it holds."""
        now = await self.figures()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while now.counts != before.counts:
                    await asyncio.sleep(0.2)
                    now = await self.figures()
        assert now.counts == before.counts, f"{before}, then {now}"
        return now

    async def delays(self) -> list[float]:
        """Return the seconds from stamp to applied of all events since this was asked last."""
        found: list[float] = await self.process.ask("delays")
        return found


@asynccontextmanager
async def exporting_apart(
    log: Path,
    *,
    sockets: tuple[Path, ...] = (),
    globs: tuple[str, ...] = (),
    timing: Timing | None = None,
    otel: Mapping[str, str] | None = None,
    **settings: object,
) -> AsyncIterator[Subject]:
    """Run an exporter; fail if it writes a traceback.

    Args:
        log: where its log goes.
        sockets: monitors.
        globs: of monitors.
        timing: time limits towards them, by default those of a run in earnest.
        otel: variables of OpenTelemetry.
        settings: others than the default ones.
    """
    given = {
        "sockets": [str(path) for path in sockets],
        "globs": globs,
        "timing": msgspec.to_builtins(timing or Timing()),
        "otel": dict(otel or {}),
        "settings": settings,
    }
    async with apart("apart.exporter", log, json.dumps(given)) as process:
        # A connection a scrape: what it leaves is not to be counted among what leaks.
        url = await process.ask("url")
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as client:
            yield Subject(process, client)
    hold_to_no_traceback(log)


def hold_to_no_traceback(log: Path) -> None:
    """Fail if a log has a traceback, else remove it."""
    text = log.read_text()
    assert "Traceback" not in text, text[-4000:]
    log.unlink()


# ---- the program


def timed(app: App) -> list[float]:
    """Return a list to which is added how late each event is applied, but those of one VM."""
    found: list[float] = []
    taken = app.page.take  # the last sink

    def take(vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:
        taken(vm, given, before, step, trace)
        if isinstance(given, Event) and vm != FLOOD:
            found.append(time.time() - given.time)

    app.page.take = take  # type: ignore[method-assign]
    return found


async def main() -> None:
    """Run the exporter that is described by the argument, and answer."""
    given = json.loads(sys.argv[1])
    settings = Settings(
        tuple(Target(path) for path in given["sockets"]),
        ("127.0.0.1:0",),
        patterns=tuple(Pattern(glob) for glob in given["globs"]),
        process_metrics=False,
        otel=read_otel(given["otel"]),
        **given["settings"],
    )
    app = App(settings, timing=Timing(**given["timing"]))
    delays = cache(partial(timed, app))  # from the first question on, lest they are what grows
    started = asyncio.Event()

    async def url() -> str:
        await started.wait()
        return app.server.bound[0]

    async def since() -> list[float]:
        found = delays()[:]
        delays().clear()
        return found

    running = asyncio.create_task(app.run(started.set))
    asking = asyncio.create_task(answer(url=url, figures=figures, delays=since))
    await asyncio.wait((running, asking), return_when=asyncio.FIRST_COMPLETED)
    for task in (running, asking):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def figures() -> dict[str, Any]:
    """Return what this process holds."""
    return msgspec.to_builtins(_figures())  # type: ignore[no-any-return]


def _figures() -> Figures:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Figures(
        tasks=len(asyncio.all_tasks()),
        files=len(list(Path("/proc/self/fd").iterdir())),
        resident=pages * os.sysconf("SC_PAGE_SIZE"),
        loggers=len(logging.Logger.manager.loggerDict),
        objects=len(gc.get_objects()),
        cpu=time.process_time(),
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
