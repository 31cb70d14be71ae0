"""Every state of a monitor, as it is seen on the page that Prometheus scrapes."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from fake_qmp import FakeMonitor
from integration.exporter import Page, exporting
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.unix import UnixTable
from unit.qmp.watching import PATIENCE, QUICK, until


if TYPE_CHECKING:
    from pathlib import Path

STATES = {
    "connected",
    "connecting",
    "busy",
    "denied",
    "refused",
    "unresponsive",
    "not-qmp",
    "gone",
}
SHORT = msgspec.structs.replace(QUICK, connect=0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor is."""
    return tmp_path / "vm.sock"


def seen(page: Page, state: str, vm: str = "vm", *, unobserved: bool) -> None:
    """Hold a page to what it must say of a target that is in a state."""
    assert page.state(vm) == state
    rows = {
        dict(labels)["state"]: value
        for (name, labels), value in page.samples.items()
        if name == "qmp_exporter_target_state"
    }
    assert rows == {one: float(one == state) for one in STATES}
    assert page.rows("qmp_exporter_targets") == {(state,): 1.0}
    assert page["qemu_up", {"vm": vm}] == float(state == "connected")
    assert bool(page["qmp_exporter_unobserved_seconds_total", {"vm": vm}]) is unobserved


async def test_connected(path: Path) -> None:
    """A monitor that answers: up, and the state of the VM is read."""
    uuid = "1f5b1c2a-0000-4000-8000-000000000001"
    async with FakeMonitor(path, name="web01", uuid=uuid) as monitor, exporting(monitor) as it:
        await monitor.wait_command("migrate-set-capabilities")
        page = await it.until_state("web01", "connected")
        seen(page, "connected", "web01", unobserved=False)
        assert page.vms() == {"web01"}
        assert page.rows("qemu_vm_info", vm="web01") == {
            ("", monitor.address, "web01", "7.2.22", uuid): 1.0
        }
        assert page.rows("qemu_vm_status") == {("running", "web01"): 1.0}
        assert page["qemu_vm_running", {"vm": "web01"}] == 1.0
        assert page["qmp_exporter_connects_total", {"vm": "web01"}] == 1.0
        started = page["qemu_process_start_time_seconds", {"vm": "web01"}]
        assert started is not None
        assert started > 1e9
        assert len(page.rows("qemu_block_io_status", vm="web01")) == 1
        # What an alert can name is there before it happens.
        assert page["qemu_events_total", {"vm": "web01", "event": "GUEST_PANICKED"}] == 0.0


async def test_gone(path: Path) -> None:
    """No file: QEMU has ended or was not started; nobody waits for it."""
    async with exporting(path) as it:
        page = await it.until_state("vm", "gone")
        seen(page, "gone", unobserved=False)
        await asyncio.sleep(0.1)  # several attempts
        seen(await it.scrape(), "gone", unobserved=False)


async def test_refused(path: Path) -> None:
    """A file that nobody listens on: QEMU was killed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with exporting(path) as it:
        seen(await it.until_state("vm", "refused"), "refused", unobserved=False)


def test_denied(path: Path) -> None:
    """A socket that may not be opened: by a process without capabilities, be it root or not."""
    code = (
        "import ctypes, sys; from qmp_exporter.cli import main\n"
        "header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "assert ctypes.CDLL(None).capset(header, none) == 0; sys.exit(main())\n"
    )
    arguments = ["--qmp.socket", str(path), "--web.listen-address", "127.0.0.1:0"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr is not None
            line = child.stderr.readline()
            try:
                found = re.search(r"listens on (http://\S+?)\"", line)
                assert found, line
                page = asyncio.run(denied(f"{found[1]}/metrics"))
            finally:
                child.terminate()
                _, log = child.communicate()
    assert f'msg="{path} is denied: Permission denied"' in log
    seen(page, "denied", unobserved=True)


async def denied(url: str) -> Page:
    """Scrape until the only target is denied."""
    async with aiohttp.ClientSession() as client, asyncio.timeout(PATIENCE):
        while True:
            async with client.get(url) as response:
                page = Page(await response.text())
            if page.state("vm") == "denied":
                return page
            await asyncio.sleep(0.01)


async def test_busy_is_seen_without_a_dial(path: Path) -> None:
    """A monitor that serves a client is never dialled: that would shut its owner out."""
    async with FakeMonitor(path) as monitor:
        reader, writer = await asyncio.open_unix_connection(path)
        await reader.readline()
        async with exporting(monitor) as it:
            page = await it.until_state("vm", "busy")
            await asyncio.sleep(0.2)  # several attempts
            page = await it.scrape()
            seen(page, "busy", unobserved=True)
            assert monitor.connections == 1
            assert sorted(UnixTable().states(str(path))) == [1, 3]  # nobody waits in the backlog
            writer.close()
            await it.until_state("vm", "connected")


async def test_busy_by_a_monitor_that_does_not_greet(path: Path) -> None:
    """One dial is made and given up; what waits in the backlog for ever is not joined by more."""
    async with FakeMonitor(path, accept=False), exporting(path, timing=SHORT) as it:
        page = await it.until_state("vm", "busy")
        await asyncio.sleep(0.3)  # several attempts
        page = await it.scrape()
        seen(page, "busy", unobserved=True)
        assert sorted(UnixTable().states(str(path))) == [1, 2]


@pytest.mark.parametrize(
    "greeting",
    [
        b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) \r\n",
        b"220 mail.example ESMTP\r\n",
        b"{\r\n",
        b"[]\r\n",
        b'{"QMP": []}\r\n',
        b'{"QMP": {"version": 5, "capabilities": []}}\r\n',
        b'{"return": {}}\r\n',
        b'{"event": "STOP"}\r\n',
        b"\xff\xfe\x00\r\n",
        b"[" * 100_000 + b"\r\n",
        b"x" * 3_000_000,
    ],
)
async def test_not_qmp_by_its_greeting(path: Path, greeting: bytes) -> None:
    """A human monitor, `pretty=on`, another service, or nonsense of any kind and size."""
    async with FakeMonitor(path, greeting=greeting) as monitor, exporting(monitor) as it:
        seen(await it.until_state("vm", "not-qmp"), "not-qmp", unobserved=True)


async def test_not_qmp_by_its_negotiation(path: Path) -> None:
    """It greets as QEMU does, and refuses what every QEMU accepts."""
    hello = b'{"QMP": {"version": {}, "capabilities": []}}\r\n{"error": {}}\r\n'
    async with FakeMonitor(path, greeting=hello) as monitor, exporting(monitor) as it:
        await it.until_state("vm", "not-qmp")


@pytest.mark.parametrize("kind", ["file", "directory", "datagrams"])
async def test_not_qmp_by_what_it_is(path: Path, kind: str) -> None:
    """A path that is no stream socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        if kind == "datagrams":
            datagrams.bind(str(path))
        else:
            (os.mkdir if kind == "directory" else os.mknod)(path)
        async with exporting(path) as it:
            seen(await it.until_state("vm", "not-qmp"), "not-qmp", unobserved=True)


async def test_unresponsive_by_silence_after_the_greeting(path: Path) -> None:
    """It greets, so nobody else holds it, and does not negotiate."""
    async with (
        FakeMonitor(path, name="web01", silent_to={"qmp_capabilities"}) as monitor,
        exporting(monitor, timing=SHORT) as it,
    ):
        page = await it.until_state("vm", "unresponsive")
        assert page["qemu_up", {"vm": "vm"}] == 0.0
        monitor.silent_to.clear()
        page = await it.until_state("web01", "connected")
        assert page.vms() == {"web01"}


async def test_unresponsive_while_it_is_connected(path: Path) -> None:
    """A VM that is quiet is asked once; it is down until any line comes, and stays connected."""
    timing = msgspec.structs.replace(QUICK, quiet=0.2, unresponsive=0.2)
    async with FakeMonitor(path) as monitor, exporting(monitor, timing=timing) as it:
        await monitor.wait_command("migrate-set-capabilities")
        monitor.silent_to = {"query-status"}
        before = len(monitor.commands)
        page = await it.until_state("vm", "unresponsive")
        assert page["qemu_up", {"vm": "vm"}] == 0.0
        assert page["qemu_vm_running", {"vm": "vm"}] == 1.0  # as far as is known
        await asyncio.sleep(0.5)
        sent = [command["execute"] for command in monitor.commands[before:]]
        assert sent == ["query-status"]
        assert monitor.connected
        await monitor.send_event("POWERDOWN")
        page = await it.until_state("vm", "connected")
        assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 1.0
        assert page.rows("qmp_exporter_disconnects_total") == {}


async def test_a_tcp_monitor_is_named_by_its_address_until_it_is_reached() -> None:
    """Then by what it says; afterwards a closed port means that QEMU has ended."""
    async with FakeMonitor(name="far") as monitor:
        assert isinstance(monitor.address, tuple)
        address = f"127.0.0.1:{monitor.address[1]}"
        async with exporting(monitor) as it:
            page = await it.until_state("far", "connected")
            info = page.rows("qemu_vm_info", vm="far", monitor=address)
            assert info == {("", "far", "7.2.22", ""): 1.0}
            assert page.vms() == {"far"}
    async with exporting(Target(address, tcp=True)) as it:
        seen(await it.until_state(address, "refused"), "refused", address, unobserved=False)


async def test_what_one_monitor_does_is_its_own_affair(tmp_path: Path) -> None:
    """Beside targets in every other state a VM is watched as if it was alone."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    async with (
        FakeMonitor(tmp_path / "good.sock", name="good") as good,
        FakeMonitor(tmp_path / "mute.sock", greet=False),
        FakeMonitor(tmp_path / "human.sock", greeting=b"(qemu)\r\n"),
        exporting(
            *(tmp_path / f"{name}.sock" for name in ("none", "dead", "mute", "human", "good")),
            timing=msgspec.structs.replace(QUICK, connect=0.5),
        ) as it,
    ):
        for vm, state in (
            ("none", "gone"),
            ("dead", "refused"),
            ("mute", "busy"),
            ("human", "not-qmp"),
            ("good", "connected"),
        ):
            await it.until_state(vm, state)
        five = {(one,): 1.0 for one in ("gone", "refused", "busy", "not-qmp", "connected")}
        await it.until(lambda page: page.rows("qmp_exporter_targets") == five, "one in each state")
        for _ in range(10):
            await good.send_event("RTC_CHANGE", {"offset": 1, "qom-path": "/rtc"})
        page = await it.until_events("good", 10)
        assert page.rows("qemu_up") == {("good",): 1.0}
        await until(lambda: good.connected, "it")
