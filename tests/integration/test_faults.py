"""Faults of a monitor until it has negotiated: what the page says, and that it comes back.

Each is done to a whole exporter, which must not log a traceback, nor leave anything behind.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from integration.faults import DEEP, EVENT, GREETING, HUGE, HUMAN, SHORT, no_tracebacks, well
from qmp_exporter.config.texts import parse_socket
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.unix import UnixTable
from qmp_exporter.recording.monitor import listening
from unit.qmp.watching import until


if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures(no_tracebacks.__name__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor is."""
    return tmp_path / "vm.sock"


NOT_QMP = {
    "a human monitor": HUMAN,
    "garbage": bytes(range(256)) * 40 + b"\r\n",
    "invalid UTF-8": b'{"QMP": {"version": {}, "capabilities": ["\xff\xfe"]}}\r\n',
    "deep": DEEP + b"\r\n",
    "deep, an object": b'{"QMP":' * 100_000 + b"\r\n",
    "20 MB without an end": b"x" * HUGE,
    "20 MB in a line": b'{"QMP": {"version": {"package": "' + b"x" * HUGE + b'"}}}\r\n',
    "a list": b"[" + GREETING.strip() + b"]\r\n",
    "QMP is null": b'{"QMP": null}\r\n',
    "no version": b'{"QMP": {"capabilities": []}}\r\n',
    "capabilities are a number": b'{"QMP": {"version": {}, "capabilities": 5}}\r\n',
    "blank lines": b"\r\n \t\n" * 10_000,
    "an event first": EVENT + GREETING,
    "a reply first": b'{"return": {}}\r\n' + GREETING,
    "an error first": b'{"error": {"class": "GenericError", "desc": "no"}}\r\n',
    "an event as the answer": GREETING + EVENT,
    "garbage as the answer": GREETING + b"(qemu)\r\n",
    "a list as the answer": GREETING + b"[]\r\n",
    "a greeting as the answer": GREETING + GREETING,
    "a refusal": GREETING + b'{"error": {"class": "CommandNotFound", "desc": "no"}}\r\n',
}
SILENT = {
    "nothing": (b"", "busy"),
    "half a greeting": (GREETING[:40], "busy"),
    "a greeting": (GREETING, "unresponsive"),
    "half an answer": (GREETING + b'{"retu', "unresponsive"),
}


@pytest.mark.parametrize("greeting", NOT_QMP.values(), ids=NOT_QMP)
async def test_what_does_not_speak_qmp_is_not_qmp_until_it_does(
    path: Path, greeting: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Tried again and again and logged once; whatever takes its place is watched at once."""
    async with exporting(path) as it:
        async with FakeMonitor(path, greeting=greeting) as monitor:
            page = await it.until_state("vm", "not-qmp")
            await until(lambda: monitor.connections >= 3, "two more attempts")
            page = await it.scrape()
            assert page.state("vm") == "not-qmp"
            assert page["qemu_up", {"vm": "vm"}] == 0.0
            assert page.rows("qmp_exporter_disconnects_total") == {}
            assert [r.getMessage() for r in caplog.records if "not-qmp" in r.getMessage()][1:] == []
            assert max(len(record.getMessage()) for record in caplog.records) < 1000
        async with FakeMonitor(path) as monitor:
            await well(it, monitor)


@pytest.mark.parametrize(("greeting", "state"), SILENT.values(), ids=SILENT)
async def test_what_says_nothing_more_is_given_up_and_tried_again(
    path: Path, greeting: bytes, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the greeting somebody else may hold it, afterwards it hangs; then it speaks."""
    async with FakeMonitor(path, greeting=greeting + GREETING * (not greeting)) as monitor:
        monitor.greet = bool(greeting)
        monitor.silent_to = {"qmp_capabilities"}
        async with exporting(monitor, timing=SHORT) as it:
            page = await it.until_state("vm", state)
            assert page["qemu_up", {"vm": "vm"}] == 0.0
            await until(lambda: monitor.connections >= 2, "another attempt")
            page = await it.until_state("vm", state)
            assert page["qmp_exporter_unobserved_seconds_total", {"vm": "vm"}] != 0.0
            lines = [r.getMessage() for r in caplog.records if f" is {state}" in r.getMessage()]
            assert len(set(lines)) <= 2  # not greeted; and, if its end of ours is still there, busy
            monitor._greeting = GREETING
            monitor.greet = True
            monitor.silent_to.clear()
            await well(it, monitor)


async def test_a_guest_agent_is_never_written_to(path: Path) -> None:
    """It waits to be asked and so do we: it reads as a monitor that somebody else holds."""
    async with exporting(path, timing=SHORT) as it:
        async with FakeMonitor(path, greet=False) as agent:
            await it.until_state("vm", "busy")
            await until(lambda: agent.connections >= 2, "another attempt")
            assert agent.received == b""
        async with FakeMonitor(path) as monitor:
            await well(it, monitor)


async def test_a_file_that_becomes_a_socket_is_watched(path: Path) -> None:
    """No QEMU has ended where there was none."""
    path.write_bytes(GREETING)  # noqa: ASYNC240 - it takes no time
    async with exporting(path) as it:
        page = await it.until_state("vm", "not-qmp")
        assert page.rows("qemu_vm_exits_total") == {}
        path.unlink()  # noqa: ASYNC240 - as above
        async with FakeMonitor(path) as monitor:
            await well(it, monitor)


async def test_a_path_too_long_for_a_socket_harms_nobody(tmp_path: Path) -> None:
    """It is refused where it is set, and one that comes from elsewhere is only not reached."""
    long = str(tmp_path / ("x" * (108 - len(str(tmp_path)) - 1)))
    assert len(long) == 108
    with pytest.raises(ConfigError, match="a path of 108 bytes"):
        parse_socket(long)
    await not_reached(tmp_path, long)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"], ids=["NUL", "surrogate"])
async def test_a_path_that_no_file_can_have_harms_nobody(tmp_path: Path, name: str) -> None:
    """Neither is more than a monitor that is not reached."""
    await not_reached(tmp_path, f"{tmp_path}/{name}")


async def not_reached(tmp_path: Path, address: str) -> None:
    """Watch a path that cannot be dialled, beside a VM."""
    async with (
        FakeMonitor(tmp_path / "vm.sock") as monitor,
        exporting(Target(address, name="bad"), monitor) as it,
    ):
        await it.until_state("vm", "connected")
        await it.until_state("bad", "connecting")
        await asyncio.sleep(0.1)  # several attempts
        page = await it.scrape()
        assert page.state("bad") == "connecting"
        assert page.rows("qmp_exporter_disconnects_total") == {}
        assert page.rows("qemu_up") == {("vm",): 1.0}


async def test_a_full_backlog_that_empties_is_watched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EAGAIN is a monitor that is busy, seen in no table; when its clients have gone it is ours."""
    monkeypatch.setattr(UnixTable, "states", lambda *_: ())
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(path))
        waiting = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for sock in waiting:
            sock.connect(str(path))
        it = await stack.enter_async_context(exporting(path))
        page = await it.until_state("vm", "busy")
        assert page["qmp_exporter_unobserved_seconds_total", {"vm": "vm"}] is not None
        assert page.rows("qemu_vm_exits_total") == {}
        listener.close()
        path.unlink()  # noqa: ASYNC240 - it takes no time
        async with FakeMonitor(path) as monitor:
            await well(it, monitor)
