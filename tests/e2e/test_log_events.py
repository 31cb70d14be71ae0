"""Events of a real QEMU as lines on stdout, of the exporter as people start it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from contextlib import asynccontextmanager
from errno import EIO
from typing import TYPE_CHECKING, Any

import aiohttp

from e2e.page import PATIENCE, Page
from qmp_exporter.demo import Machine, disks


if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator


@asynccontextmanager
async def logging(machine: Machine, *arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """Run the exporter over a machine; yield its process and where it serves, when it watches."""
    command = (sys.executable, "-m", "qmp_exporter", "--qmp.socket", str(machine.monitor))
    serve = ("--web.listen-address", "127.0.0.1:0", "--log.events", *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, *serve, stdout=pipe, stderr=pipe)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            found = re.search(
                r"listens on (http://[0-9.:]+)", (await process.stderr.readline()).decode()
            )
            assert found is not None
            while (await scraped(found[1])).status() is None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def scraped(url: str) -> Page:
    """What it tells; nothing before it serves."""
    try:
        async with aiohttp.ClientSession() as client, client.get(f"{url}/metrics") as response:
            return Page(await response.text())
    except aiohttp.ClientError:
        return Page("")


async def lines(process: Process, last: str) -> list[dict[str, Any]]:
    """Read lines until one of this event."""
    assert process.stdout is not None
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while not found or found[-1]["event"] != last:
            found.append(json.loads(await process.stdout.readline()))
    return found


async def test_each_event_is_a_line(place: Any) -> None:
    """With what QEMU says for people, which no metric has; the last ones before the end, too."""
    disk = disks.ide_disk("disk0", disks.Fault("write", EIO), rerror="stop", werror="stop")
    async with (
        Machine(place, "vm", *disk) as machine,
        logging(machine) as (process, _),
    ):
        await disks.write(machine, 8)
        error, stop = await lines(process, "STOP")
        assert (error["vm"], error["event"], error["level"]) == ("vm", "BLOCK_IO_ERROR", "error")
        assert error["data"]["reason"] == "Input/output error"
        assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z", error["ts"])
        assert stop["data"] == {}
        assert error["ts"] <= stop["ts"]
        await machine.quit()
        (end,) = await lines(process, "SHUTDOWN")
        assert end["data"] == {"guest": False, "reason": "host-qmp-quit"}


async def test_a_storm_is_bounded_and_counted(place: Any) -> None:
    """What has no line is counted, and what is written is all there when the exporter ends."""
    async with (
        Machine(place, "vm") as machine,
        logging(machine, "--limits.log-events", "1") as (process, url),
    ):
        for _ in range(20):
            await machine.execute("stop")
            await machine.execute("cont")
        dropped = "qmp_exporter_log_events_dropped_total"
        async with asyncio.timeout(PATIENCE):
            page = await scraped(url)
            while page.value("qemu_events_total", event="RESUME") != 20:
                page = await scraped(url)
        page = await scraped(url)
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
        told = [json.loads(line)["event"] for line in out.splitlines()]
        assert len(told) + (page.value(dropped, reason="rate") or 0) == 40
        assert 10 <= len(told) < 40
        assert page.value(dropped, reason="queue") == 0
        assert process.returncode == 0
