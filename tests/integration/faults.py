"""What the tests of faults share: bytes, time limits, and what must be so without a fault."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING

import msgspec
import pytest

from unit.qmp.watching import QUICK


if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_qmp import FakeMonitor
    from integration.exporter import Exporter, Page

CLOCK = {"offset": 1, "qom-path": "/machine/rtc"}
EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "POWERDOWN"}\r\n'
GREETING = b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}'
GREETING += b', "capabilities": []}}\r\n'
SHUTDOWN = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN"'
SHUTDOWN += b', "data": {"guest": true, "reason": "guest-shutdown"}}\r\n'
LAST = "migrate-set-capabilities"
"""The last command of a session; after it only events come."""

HUMAN = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "
DEEP = b"[" * 100_000
HUGE = 20_000_000
PEERS = 12
SHORT = msgspec.structs.replace(QUICK, connect=0.3, command=0.2, quiet=0.2, unresponsive=0.2)
"""Time limits for peers that say nothing."""


@pytest.fixture
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that logs an error or a traceback, of whatever logger."""
    with caplog.at_level(logging.INFO):
        yield
    gc.collect()  # what nobody retrieved is told when it is thrown away
    records = (*caplog.get_records("call"), *caplog.get_records("teardown"))
    assert [r.getMessage() for r in records if r.levelno >= logging.ERROR or r.exc_info] == []


async def well(it: Exporter, monitor: FakeMonitor, vm: str = "vm", before: int = 0) -> Page:
    """Hold a VM to being watched as if nothing had been: all of it is read, events are counted."""
    page = await it.until_state(vm, "connected")
    await monitor.wait_command(LAST)
    for _ in range(3):
        await monitor.send_event("RTC_CHANGE", CLOCK)
    page = await it.until(
        lambda page: page["qemu_events_total", {"vm": vm, "event": "RTC_CHANGE"}] == before + 3,
        "its events",
    )
    assert page["qemu_up", {"vm": vm}] == 1.0
    assert page.rows("qemu_vm_status") == {("running", vm): 1.0}
    assert page.rows("qmp_exporter_targets") == {("connected",): 1.0}
    assert page.rows("qmp_exporter_sink_errors_total") == {}
    return page
