"""A machine of the lab: a real QEMU that starts, does as told, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qmp_exporter.demo import CommandError, LabError, Machine, MachineError, devices
from witness import alive, lab, listening


async def test_machine_runs_and_leaves_nothing(place: Path) -> None:
    """A machine runs when it is entered; afterwards there is no process, socket or file."""
    async with Machine(place, "vm", uuid="5eb00000-0000-4000-8000-000000000001") as machine:
        assert await machine.status() == "running"
        assert (await machine.execute("query-name"))["name"] == "vm"
        assert (await machine.execute("query-uuid"))["UUID"].endswith("000000000001")
        assert machine.monitor.is_socket()
        assert alive(machine.pid)
    assert not alive(machine.pid)
    assert not machine.running


async def test_last_argument_wins(place: Path) -> None:
    """A machine may be given another name and size than the default."""
    async with Machine(place, "vm", "-name", "other", "-m", "32", "-S") as machine:
        assert (await machine.execute("query-name"))["name"] == "other"
        assert (await machine.execute("query-memory-size-summary"))["base-memory"] == 32 << 20
        assert await machine.status() == "prelaunch"


async def test_idle_machine_costs_nothing(place: Path) -> None:
    """The CPU halts, also after an NMI."""
    async with lab(place, *devices.WATCHDOG) as (machine, ear):
        await devices.fire_watchdog(machine, "inject-nmi")
        await ear.hear("WATCHDOG")
        before = cpu_seconds(machine.pid)
        await asyncio.sleep(0.5)
        assert cpu_seconds(machine.pid) - before < 0.1


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_early_death_says_why(place: Path) -> None:
    """Where QEMU ends at once, the error holds its own words, and nothing is left."""
    with pytest.raises(MachineError, match=r"exit status 1.*-no-such-option"):
        async with Machine(place, "vm", "-no-such-option"):
            pytest.fail("entered")


async def test_missing_qemu_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without QEMU the error says what is missing, and nothing is left."""
    monkeypatch.setenv("QEMU", "/nonexistent/qemu")
    with pytest.raises(MachineError, match="qemu-system-x86_64 not found"):
        async with Machine(place, "vm"):
            pytest.fail("entered")
    with pytest.raises(MachineError, match=r"/nonexistent/qemu: No such file"):
        async with Machine(place, "vm", binary="/nonexistent/qemu"):
            pytest.fail("entered")


async def test_refused_command_and_lost_machine(place: Path) -> None:
    """A refused command gives QEMU's words, a machine that died says how it ended."""
    async with Machine(place, "vm") as machine:
        with pytest.raises(CommandError, match="no-such-command"):
            await machine.execute("no-such-command")
        with pytest.raises(CommandError, match="outz"):
            await machine.qtest.ask("outz 0x505 0x1")
        assert "running" in await machine.hmp("info status")
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="exit status -9"):
            await machine.until("paused")
        with pytest.raises(LabError):
            await machine.qtest.inb(0x71)


async def test_kill_leaves_the_socket_and_start_takes_it(place: Path) -> None:
    """After SIGKILL a dial is refused; the same machine can start again on the same path."""
    async with Machine(place, "vm") as machine:
        first = machine.pid
        with pytest.raises(RuntimeError, match="runs already"):
            await machine.start()
        await machine.kill()
        assert not alive(first)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(machine.monitor)
        await machine.start()
        assert machine.pid != first
        async with listening(machine) as ear:
            await machine.execute("stop")
            await ear.hear("STOP")


async def test_quit_and_terminate_say_shutdown(place: Path) -> None:
    """QEMU ended by quit or SIGTERM says so, exits with 0 and removes its socket."""
    endings = {"host-qmp-quit": Machine.quit, "host-signal": Machine.terminate}
    for reason, end in endings.items():
        async with lab(place) as (machine, ear):
            assert await end(machine) == 0
            (data,) = await ear.hear("SHUTDOWN")
            assert data == {"guest": False, "reason": reason}
            assert not machine.monitor.exists()


async def test_stopped_process_is_ended_too(place: Path) -> None:
    """A QEMU that SIGSTOP holds does not hold up the end."""
    async with Machine(place, "vm") as machine:
        machine.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await machine.execute("query-status")
        machine.signal(signal.SIGCONT)
        assert await machine.status() == "running"
        machine.signal(signal.SIGSTOP)
    assert not alive(machine.pid)


async def test_monitor_may_dial(place: Path) -> None:
    """With another monitor argument QEMU dials to a socket where we listen."""
    greeting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting.set_result(await reader.readline())
        writer.close()

    async with (
        await asyncio.start_unix_server(accept, place / "vm.hub"),
        Machine(place, "vm", monitor="unix:vm.hub,server=off"),
        asyncio.timeout(5),
    ):
        assert json.loads(await greeting)["QMP"]


async def test_qemu_dies_with_its_parent(place: Path) -> None:
    """A parent killed with SIGKILL takes QEMU along."""
    code = (
        "import asyncio, pathlib, sys\n"
        "from qmp_exporter.demo import Machine\n"
        "async def main():\n"
        "    async with Machine(pathlib.Path(sys.argv[1]), 'vm') as machine:\n"
        "        print(machine.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(place)), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    for _ in range(200):
        if not alive(pid):
            break
        await asyncio.sleep(0.01)
    assert not alive(pid)
    await Machine(place, "vm").close()  # files are what a SIGKILL must leave


async def test_silence_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that does not answer, or does not come to the state expected, is an error."""
    async with Machine(place, "vm") as machine:
        monkeypatch.setattr("qmp_exporter.demo.machine.PATIENCE", 0.05)
        with pytest.raises(MachineError, match="query-status says running, expected paused"):
            await machine.until("paused")
        monkeypatch.setattr("qmp_exporter.demo.machine.ANSWER_TIMEOUT", 0.1)
        machine.signal(signal.SIGSTOP)
        with pytest.raises(MachineError, match=r"vm: stop: no answer in 0\.1 s"):
            await machine.execute("stop")


async def test_no_greeting_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is no QEMU is given up, and ended."""
    monkeypatch.setattr("qmp_exporter.demo.machine.ANSWER_TIMEOUT", 0.2)
    fake = place / "vm.fake"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o700)
    machine = Machine(place, "vm", binary=str(fake))
    with pytest.raises(MachineError, match="did not start: no answer, but the process is alive"):
        await machine.start()
    assert not alive(machine.pid)
    await machine.close()
