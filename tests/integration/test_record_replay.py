"""Recording and replaying as processes: what they say, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from qmp_exporter.recording.tape import Tape
from unit.qmp.watching import until


if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

PROGRAM = (sys.executable, "-m", "qmp_exporter")
PATIENCE = 20.0
RECORDING = Path(__file__).parents[1] / "recordings" / "io-error-stop.jsonl"


@asynccontextmanager
async def program(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    """Run a command, until the test is over."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def rest(process: Process) -> tuple[int | None, str, str]:
    """Wait for the end of a command; return its status and what it has written since."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode, (out or b"").decode(), err.decode()


def text_of(path: Path) -> str:
    """Return what is in a file, nothing if there is none."""
    return path.read_text() if path.exists() else ""


def write(path: Path, text: str) -> None:
    """Write a file."""
    path.write_text(text)


def files(path: Path) -> list[str]:
    """Return what is in a folder."""
    return [file.name for file in path.iterdir()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_recording_in_order(tmp_path: Path, number: int) -> None:
    """What was said is in the file, and how much that was is said; exit status 0."""
    file = tmp_path / "vm.jsonl"
    async with FakeMonitor(tmp_path / "vm.qmp") as fake:
        async with program("record", str(fake.address), str(file)) as process:
            await fake.wait_command("migrate-set-capabilities")
            await fake.send_event("STOP")
            await until(lambda: "STOP" in text_of(file), "the event")
            process.send_signal(number)
            status, out, err = await rest(process)
        await fake.wait_disconnected()
    assert (status, out) == (0, "")
    greeted, summary = err.splitlines()
    assert greeted == f"qmp-exporter: {fake.address}: QEMU 7.2.22; Ctrl-C ends the recording"
    assert summary.startswith(f"qmp-exporter: {file}: 1 events and 15 replies in ")
    tape = Tape.load(file)
    assert (tape.events, tape.end) == (1, "stopped")


async def test_a_recording_goes_to_standard_output(tmp_path: Path) -> None:
    """As it comes, so that it can be looked at; nothing else goes there."""
    path = tmp_path / "vm.qmp"
    async with FakeMonitor(path) as fake, program("record", str(path)) as process:
        assert process.stdout is not None
        lines: list[dict[str, object]] = []
        async with asyncio.timeout(PATIENCE):
            while not lines or lines[-1].get("command") != "migrate-set-capabilities":
                lines.append(json.loads(await process.stdout.readline()))
        await fake.send_event("STOP")
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
        assert line["event"]["event"] == "STOP"
        process.send_signal(signal.SIGINT)
        status, out, err = await rest(process)
    assert status == 0
    assert json.loads(out.splitlines()[-1])["end"] == "stopped"
    assert "standard output: 1 events" in err


async def test_a_reader_that_goes_ends_a_recording(tmp_path: Path) -> None:
    """As `| head` does: in one line, without a traceback; exit status 1."""
    async with FakeMonitor(tmp_path / "vm.qmp") as fake:
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "record", str(fake.address), stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        await fake.wait_command("query-balloon")
        os.close(reading)
        for _ in range(3):
            await fake.send_event("STOP")
        status, _, err = await rest(process)
    assert status == 1
    assert err.splitlines()[-1] == "qmp-exporter: standard output: Broken pipe"
    assert "Traceback" not in err


async def test_a_busy_monitor_is_said_to_be_busy(tmp_path: Path) -> None:
    """In one line; exit status 1; no file is left."""
    async with FakeMonitor(tmp_path / "vm.qmp") as fake:
        with socket.socket(socket.AF_UNIX) as owner:
            owner.connect(str(fake.address))
            await fake.wait_connected()
            async with program("record", str(fake.address), str(tmp_path / "f")) as process:
                status, out, err = await rest(process)
    assert (status, out) == (1, "")
    assert err == f"qmp-exporter: {fake.address} is busy: it serves another client\n"
    assert files(tmp_path) == []


async def test_a_replay_says_where_its_monitor_is(tmp_path: Path) -> None:
    """And plays to who comes there, as QEMU would; then it ends, and nothing is left."""
    async with program("replay", str(RECORDING), "--speed", "max", TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            first = (await process.stdout.readline()).decode()
            second = (await process.stdout.readline()).decode()
        assert first.startswith("4 events in 0.9 s of QEMU 7.2.22, recorded 20")
        path = second.removeprefix("the monitor is ").strip()
        async with exporting(Path(path)) as exporter:
            page = await exporter.until_state("vm-1", "gone")
            assert page["qemu_vm_stops_total", {"vm": "vm-1", "cause": "io-error"}] == 1
            assert await rest(process) == (0, "all is played: QEMU has ended\n", "")
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_replay_in_order(tmp_path: Path, number: int) -> None:
    """Whether somebody listens or not; its socket is removed; exit status 0."""
    path = tmp_path / "vm.qmp"
    async with program("replay", str(RECORDING), "--loop", "--socket", str(path)) as process:
        await until(lambda: files(tmp_path) == ["vm.qmp"], "the monitor")
        async with exporting(path) as exporter:
            await exporter.until_events("vm-1", 4)
            await exporter.until_events("vm-1", 6)  # it began again
            process.send_signal(number)
            status, out, err = await rest(process)
    assert (status, err) == (0, "")
    assert "; Ctrl-C ends it" in out
    assert files(tmp_path) == []


async def test_a_broken_file_is_said_in_one_line(tmp_path: Path) -> None:
    """File, line, what was found and what was expected; exit status 2."""
    file = tmp_path / "broken.jsonl"
    write(file, text_of(RECORDING).replace('"event":', '"evnt":', 1))
    async with program("replay", str(file)) as process:
        status, out, err = await rest(process)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"qmp-exporter: {file}:")
    assert line.partition(":")[2].split(":")[1].isdecimal()
    assert "unknown field `evnt`" in line
    assert "; expected a line such as" in line


async def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    """It might be the monitor of a real machine."""
    path = tmp_path / "vm.qmp"
    command = ("replay", str(RECORDING), "--socket", str(path))
    async with FakeMonitor(path) as fake, program(*command) as process:
        status, _, err = await rest(process)
    assert status == 2
    line = f"qmp-exporter: {path}: cannot listen there: Address already in use\n"
    assert err == line
    assert fake.connections == 0
