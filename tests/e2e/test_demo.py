"""``qmp-exporter demo`` as a process of its own: it shows something, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from e2e.page import INTERVAL, Page
from qmp_exporter.demo import story
from witness import alive


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


DEMO = (sys.executable, "-m", "qmp_exporter", "demo", "--web.listen-address", "127.0.0.1:0")
PATIENCE = 10.0
"""Seconds that a start, something to see, and an end may take."""

NO_QEMU = {"PATH": "/nonexistent", "QEMU": ""}


class Demo:
    """A running demo.

    Attributes:
        process: of the exporter.
        url: where it serves, without a slash at the end.
    """

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    async def page(self) -> Page:
        """Scrape."""
        async with (
            aiohttp.ClientSession(raise_for_status=True) as client,
            client.get(f"{self.url}/metrics") as response,
        ):
            return Page(await response.text())

    async def shows(self, what: Callable[[Page], bool]) -> Page:
        """Scrape until something is true of the page."""
        async with asyncio.timeout(PATIENCE):
            while True:
                if what(page := await self.page()):
                    return page
                await asyncio.sleep(10 * INTERVAL)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def demo(directory: Path, *args: str, **environment: str) -> AsyncIterator[Demo]:
    """Run the demo, whose temporary files are in a directory; it must not have died of an error."""
    errors = directory / "stderr"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(*DEMO, *args),
            env={**os.environ, "TMPDIR": str(directory), **environment},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=stderr,
        )
    reading: asyncio.Task[object] | None = None
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while True:
                line = (await process.stdout.readline()).decode()
                assert line, errors.read_text()
                if found := re.search(r"http://\S+:\d+", line):
                    break
        reading = asyncio.create_task(process.stdout.read())  # the story goes on
        yield Demo(process, found[0])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading
    assert "Traceback" not in errors.read_text()
    errors.unlink()


def files(directory: Path) -> list[Path]:
    """Return what is left in a directory."""
    return list(directory.iterdir())


def children(pid: int) -> set[int]:
    """Return the processes below a process, that live."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    below = {int(child) for file in listed for child in file.read_text().split()}
    return {pid for pid in below if alive(pid)}.union(*map(children, below))


def qemus(pid: int) -> set[int]:
    """Return the QEMUs of a demo."""
    return {
        child
        for child in children(pid)
        if b"-qmp" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    }


def events(page: Page) -> float:
    """Return how many events all VMs have sent."""
    return sum(v for (name, _), v in page.samples.items() if name == "qemu_events_total")


async def gone(pids: set[int]) -> None:
    """Wait until processes have ended; those that do not are ended here, and the test fails."""
    try:
        async with asyncio.timeout(PATIENCE):
            while any(map(alive, pids)):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(INTERVAL)
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


async def test_demo_shows_something(place: Path) -> None:
    """Two VMs are up and things happen to them; Ctrl-C ends it all and leaves nothing."""
    async with demo(place) as running:
        page = await running.shows(lambda page: len(page.vms()) == 2 and events(page) > 0)
        assert page.vms() == set(story.NAMES)
        for vm in story.NAMES:
            assert page.value("qemu_vm_info", vm=vm) == 1
        await running.shows(lambda later: events(later) > events(page))
        pids = qemus(running.process.pid)
        assert len(pids) == 2
        assert await running.end(signal.SIGINT) == 0
        await gone(pids)


async def test_demo_ends_at_once(place: Path) -> None:
    """SIGTERM ends the demo as Ctrl-C does, whatever is under way."""
    async with demo(place) as running:
        pids = children(running.process.pid)
        assert await running.end(signal.SIGTERM) == 0
        await gone(pids)


async def test_demo_is_killed(place: Path) -> None:
    """A demo that is killed takes its VMs along; files are all it can leave."""
    async with demo(place) as running:
        await running.shows(lambda page: bool(page.value("qemu_up", vm="web")))
        pids = qemus(running.process.pid)
        assert pids
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
        await gone(pids)
    (directory,) = files(place)
    shutil.rmtree(directory)


async def test_demo_without_qemu(tmp_path: Path) -> None:
    """Recorded events need no QEMU; Ctrl-C ends them and leaves nothing."""
    async with demo(tmp_path, "--replay", **NO_QEMU) as running:
        page = await running.shows(lambda page: events(page) > 0)
        assert page.vms() == {"recorded"}
        await running.shows(lambda later: events(later) > events(page))
        assert children(running.process.pid) == set()
        assert await running.end(signal.SIGINT) == 0
    assert files(tmp_path) == []


async def test_no_qemu(tmp_path: Path) -> None:
    """Where there is no QEMU the demo says so in one line, and what to do; exit status 2."""
    process = await asyncio.create_subprocess_exec(
        *DEMO, env={**os.environ, "TMPDIR": str(tmp_path), **NO_QEMU}, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode == 2
    assert out == b""
    (line,) = err.decode().splitlines()
    assert line.startswith("qmp-exporter: no qemu-system-x86_64 here")
    assert "demo --replay" in line
    assert files(tmp_path) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "here:there"])
async def test_wrong_address(address: str) -> None:
    """A wrong flag is told before any VM is started."""
    process = await asyncio.create_subprocess_exec(*(*DEMO[:-1], address), stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    (line,) = err.decode().splitlines()
    assert address in line
