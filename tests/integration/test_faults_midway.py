"""Faults of a monitor while it is watched and at its end: nothing is lost that it said.

Each is done to a whole exporter, which must not log a traceback, nor leave anything behind.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from integration.faults import (
    DEEP,
    EVENT,
    GREETING,
    HUGE,
    HUMAN,
    LAST,
    PEERS,
    SHORT,
    SHUTDOWN,
    no_tracebacks,
    well,
)
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.client import Client
from unit.qmp.watching import QUICK, until


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qemu.qmp.message import Message

    from integration.exporter import Exporter

pytestmark = pytest.mark.usefixtures(no_tracebacks.__name__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor is."""
    return tmp_path / "vm.sock"


# ---- while it is watched


LINES = {
    "garbage": (bytes(set(range(256)) - {10}) * 40, {"other"}),
    "invalid UTF-8": (b'{"event": "\xff\xfe"}', {"other"}),
    "invalid UTF-8 in a known event": (EVENT.strip()[:-1] + b', "data": "\xff"}', {"POWERDOWN"}),
    "deep": (DEEP, {"other"}),
    "deep data": (b'{"timestamp": {}, "event": "STOP", "data": ' + DEEP, {"STOP"}),
    "deep return": (b'{"return": ' + DEEP, {"other"}),
    "a human monitor": (HUMAN.split(b"\r\n")[0], {"other"}),
    "a greeting again": (GREETING, set()),
    "a list": (b"[" + EVENT.strip() + b"]", {"POWERDOWN"}),
    "a number": (b"5", {"other"}),
    "null": (b"null", {"other"}),
    "text": (b'"event"', {"other"}),
    "an empty object": (b"{}", set()),
    "no name": (b'{"timestamp": {"seconds": 1, "microseconds": 2}}', {"other"}),
    "a name of the wrong type": (b'{"event": ["STOP"]}', {"other"}),
    "data of the wrong type": (b'{"event": "RTC_CHANGE", "data": [5]}', {"RTC_CHANGE"}),
    "a member of the wrong type": (
        b'{"event": "RTC_CHANGE", "data": {"offset": {}}}',
        {"RTC_CHANGE"},
    ),
    "a stamp of the wrong type": (b'{"timestamp": "now", "event": "STOP"}', {"STOP"}),
    "two in a line": (b'{"event": "STOP"} {"event": "STOP"}', {"STOP"}),
    "a reply of an unknown id": (b'{"return": {}, "id": "__qmp#99999"}', set()),
    "an error of an unknown id": (b'{"error": {"desc": ""}, "id": "x"}', set()),
    "a reply without an id": (b'{"return": {"status": "paused"}}', set()),
    "a reply whose id is a number": (b'{"return": {}, "id": 5}', set()),
    "a reply whose id is a list": (b'{"return": {}, "id": []}', set()),
    "an error whose id is an object": (b'{"error": {}, "id": {}}', set()),
    "blank lines": (b"\r\n" * 20_000 + b" \t\n" * 20_000, set()),
}


@pytest.mark.parametrize(
    ("line", "errors"),
    [pytest.param(*LINES[name], id=name) for name in LINES],
)
async def test_a_line_that_cannot_be_is_counted_and_ends_nothing(
    path: Path, line: bytes, errors: set[str]
) -> None:
    """The connection stays, the state is as it was, the next event is counted."""
    async with FakeMonitor(path) as monitor, exporting(monitor) as it:
        await well(it, monitor)
        for _ in range(3):
            await monitor.send_raw(line + b"\r\n")
        page = await well(it, monitor, before=3)
        assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 1.0
        found = page.rows("qmp_exporter_decode_errors_total", vm="vm")
        assert found == {(event,): 3.0 for event in errors}


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["endless", "ended"])
async def test_20_mb_in_a_line_cost_the_connection_and_nothing_else(path: Path, end: bytes) -> None:
    """It is not kept: the connection is given up and made again, and everything counted goes on."""
    async with FakeMonitor(path) as monitor, exporting(monitor) as it:
        await well(it, monitor)
        line = EVENT.strip()[:-1] + b" " * HUGE + end
        with pytest.raises(ConnectionError):  # it is hung up on while it still sends
            await monitor.send_raw(line)
        await monitor.wait_command("query-migrate-capabilities", 2)
        page = await well(it, monitor, before=3)
        assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 2.0
        assert page.rows("qmp_exporter_disconnects_total") == {("long-line", "vm"): 1.0}
        assert page.rows("qemu_vm_exits_total") == {}


@pytest.mark.parametrize("said", [b"", EVENT[:30], b'{"return": {"sta'], ids=["", "event", "reply"])
async def test_a_hang_after_the_negotiation_is_unresponsive(path: Path, said: bytes) -> None:
    """Whether it stops between lines or in one, and the line may come to its end later."""
    async with FakeMonitor(path) as monitor:
        monitor.silent_to = {
            *("query-name", "query-uuid", "query-target", "query-status", "query-block"),
            *("query-migrate", "query-vnc-servers", "query-spice", "query-balloon"),
            "query-migrate-capabilities",
        }
        async with exporting(monitor, timing=SHORT) as it:
            await monitor.wait_negotiated()
            await monitor.send_raw(said)
            page = await it.until_state("vm", "unresponsive")
            assert page["qemu_up", {"vm": "vm"}] == 0.0
            assert page.rows("qmp_exporter_disconnects_total") == {}
            monitor.silent_to.clear()
            if said:
                await monitor.send_raw(EVENT[30:] if said in EVENT else b'tus": 5}}\r\n')
            else:
                await monitor.send_raw(EVENT)
            page = await it.until_state("vm", "connected")
            assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 1.0
            await monitor.drop()
            await monitor.wait_command(LAST)
            await well(it, monitor)


ODD = (None, True, 5, -1.5, 1e308, "text", '\x00\ud800\n"\\', [], [[]], [None], {}, {"x": []})


def odd(depth: int) -> Iterator[object]:
    """Yield values of every type, alone and as each member that a reply may have."""
    yield from ODD
    members = ("name", "UUID", "arch", "status", "running", "device", "qdev", "io-status", "actual")
    members += ("inserted", "node-name", "drv", "clients", "host", "service", "channels", "enabled")
    members += ("ram", "transferred", "downtime", "channel-type", "capability", "state")
    if depth:
        for value in odd(depth - 1):
            yield dict.fromkeys(members, value)
            yield [dict.fromkeys(members, value)] * 2


async def test_replies_of_the_wrong_types_are_as_none(path: Path) -> None:
    """Whatever a VM answers to everything, it is connected and its events are counted."""
    queries = ("query-name", "query-uuid", "query-target", "query-status", "query-block")
    queries += ("query-migrate", "query-vnc-servers", "query-spice", "query-balloon")
    queries += ("query-migrate-capabilities",)
    async with FakeMonitor(path, name="") as monitor, exporting(monitor) as it:
        await well(it, monitor)
        for number, value in enumerate(odd(2), 1):
            monitor.replies = dict.fromkeys(queries, value)
            commands = len(monitor.commands)
            await monitor.drop()
            await until(
                lambda commands=commands: any(  # type: ignore[misc]
                    one.get("execute") == "query-migrate-capabilities"
                    for one in monitor.commands[commands:]
                ),
                "a whole session",
            )
            await monitor.send_event("POWERDOWN")
            await until(
                lambda number=number: (  # type: ignore[misc]
                    sum(_events(it, "POWERDOWN")) == number
                ),
                f"an event after {value!r}",
            )
        page = await it.scrape()
        assert page.rows("qmp_exporter_sink_errors_total") == {}
        assert page.rows("qmp_exporter_disconnects_total", reason="error") == {}
        monitor.replies = {"query-name": {"name": "vm"}}  # else it keeps the last it had
        await monitor.drop()
        await well(it, monitor, before=3)


def _events(it: Exporter, event: str) -> list[float]:
    return [
        row.value
        for series in it.app.metrics._series.values()
        for table in series.tables
        if table is not None and table.metric == "qemu_events_total"
        for values, row in table.rows.items()
        if values == (event,)
    ]


async def test_events_between_a_command_and_its_reply_are_counted(path: Path) -> None:
    """Of every command but the negotiation: before it QEMU sends none."""
    async with FakeMonitor(path) as monitor:
        asked = ("query-name", "query-status", "query-block", "query-balloon", LAST)
        monitor.before = dict.fromkeys(asked, EVENT * 2)
        async with exporting(monitor) as it:
            await well(it, monitor)
            page = await it.until_events("vm", 3 + 2 * len(asked) + 2)  # query-status comes twice
            powerdown = page["qemu_events_total", {"vm": "vm", "event": "POWERDOWN"}]
            assert powerdown == 2.0 * len(asked) + 2
            assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 1.0


async def test_answers_with_the_ids_of_others_harm_nobody_else(tmp_path: Path) -> None:
    """Two monitors that mix up their answers are watched, and a third one reads as it is."""

    def swapped(given: Any) -> Any:
        """Return the id of the command before or after."""
        head, _, number = str(given).rpartition("#")
        return f"{head}#{int(number) ^ 1:05}"

    async with (
        FakeMonitor(tmp_path / "a.sock", name="a") as a,
        FakeMonitor(tmp_path / "b.sock", name="b") as b,
        FakeMonitor(tmp_path / "c.sock", name="c", uuid="1" * 36) as c,
    ):
        a.rename = b.rename = swapped
        async with exporting(a, b, c, timing=SHORT) as it:
            await it.until(
                lambda page: page.rows("qmp_exporter_targets") == {("connected",): 3.0}, "all"
            )
            for monitor in (a, b, c):
                await monitor.send_event("POWERDOWN")
            page = await it.until(
                lambda page: len(page.rows("qemu_events_total", event="POWERDOWN")) == 3, "all"
            )
            assert page["qemu_vm_status", {"vm": "c", "status": "running"}] == 1.0
            # One that was misled by its own answers has not its name; it is nobody else's either.
            assert "c" in page.vms()
            assert page.rows("qmp_exporter_disconnects_total") == {}
            info = page.rows("qemu_vm_info", vm="c")
            assert [key[2:] for key in info] == [("c", "7.2.22", "1" * 36)]


async def test_a_slow_loris_is_watched_like_any_other(path: Path) -> None:
    """A whole session, events and all, in single bytes."""
    async with FakeMonitor(path, drip=True) as monitor, exporting(monitor) as it:
        await well(it, monitor)


async def test_one_that_drips_too_slowly_is_given_up(path: Path) -> None:
    """A greeting has its time, however steadily it comes; the monitor is free for others then."""
    async with FakeMonitor(path, greet=False) as monitor, exporting(monitor, timing=SHORT) as it:

        async def drip() -> None:
            for number in count():
                with suppress(ConnectionError, AssertionError):  # it was given up meanwhile
                    await monitor.send_raw(GREETING[number % 40 : number % 40 + 1])
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        await it.until_state("vm", "busy")
        await until(lambda: monitor.connections >= 3, "another attempt")
        assert not dripping.done()
        dripping.cancel()
        await asyncio.wait((dripping,))
        monitor.greet = True
        await well(it, monitor)


# ---- at its end


async def test_what_qemu_said_before_it_ended_is_read_though_nothing_can_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops, we ask why, and by then it has said SHUTDOWN and is gone: it was no crash."""
    async with exporting(path) as it:
        async with FakeMonitor(path) as monitor:
            await well(it, monitor)
            outbound = Client._cb_outbound

            def ends(client: Client, message: Message) -> Message:
                """Let QEMU end just before the question that follows its STOP is written."""
                writer = monitor._writer
                assert message["execute"] == "query-status"
                assert writer is not None
                writer.write(EVENT + SHUTDOWN)
                writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
                return outbound(client, message)

            monkeypatch.setattr(Client, "_cb_outbound", ends)
            await monitor.send_event("STOP")
            await monitor.wait_disconnected()
        page = await it.until_state("vm", "gone")
        assert page["qemu_events_total", {"vm": "vm", "event": "POWERDOWN"}] == 1.0
        assert page.rows("qemu_vm_exits_total", vm="vm") == {("guest-shutdown",): 1.0}


# ---- at every byte


def small(monitor: FakeMonitor) -> FakeMonitor:
    """Let a session be short, with events in all of its places."""
    monitor.before = dict.fromkeys(("query-uuid", "query-block", "query-balloon"), EVENT)
    monitor.before[LAST] = EVENT * 3
    monitor.replies = {
        "query-migrate-capabilities": [{"capability": "events", "state": False}],
        "query-block": [{"device": "disk0", "io-status": "ok"}],
        "query-spice": {"enabled": False},
        "query-vnc-servers": [],
        "query-migrate": {},
    }
    return monitor


async def whole(path: Path) -> bytes:
    """Return what a monitor says in a whole session."""
    async with FakeMonitor(path) as monitor, exporting(small(monitor)) as it:
        await it.until_events("vm", 6)
        await monitor.wait_command(LAST)
        await until(lambda: monitor.sent.count(b"\n") == 1 + 15 + 6, "the last reply")
        return bytes(monitor.sent)


async def test_wherever_a_session_ends_nothing_is_lost_that_was_sent(tmp_path: Path) -> None:
    """Hung up on after each byte of a session: every event sent whole is counted, none twice."""
    session = await whole(tmp_path / "whole.sock")
    ends = [at + 1 for at, byte in enumerate(session) if byte == 10]
    events = [end for start, end in pairwise(ends) if b'"event": ' in session[start:end]]
    assert len(events) == 6
    left = iter(range(len(session) + 1))
    limits: list[int] = []

    def cut() -> int | None:
        """Return the next byte to end at; none once all have been."""
        for limit in left:
            limits.append(limit)
            return limit
        return None

    async with AsyncExitStack() as stack:
        monitors = [
            small(await stack.enter_async_context(FakeMonitor(tmp_path / f"{n}.sock", cut=cut)))
            for n in range(PEERS)
        ]
        timing = msgspec.structs.replace(QUICK, first_retry=0.001, last_retry=0.001)
        targets = [Target(str(one.address), name=f"vm{n}") for n, one in enumerate(monitors)]
        it = await stack.enter_async_context(exporting(*targets, timing=timing))
        async with asyncio.timeout(60):
            for monitor in monitors:
                while monitor.sent != session:  # noqa: ASYNC110 - what is waited for does not tell
                    await asyncio.sleep(0.01)
        assert limits == list(range(len(session) + 1))
        page = await it.until(
            lambda page: page.rows("qmp_exporter_targets") == {("connected",): PEERS}, "all"
        )
        expected = sum(event <= limit for limit in limits for event in events) + 6 * PEERS
        page = await it.until(
            lambda page: sum(page.rows("qemu_events_total").values()) >= expected, f"{expected}"
        )
        assert sum(page.rows("qemu_events_total").values()) == expected
        assert page.rows("qmp_exporter_decode_errors_total") == {}
        assert page.rows("qmp_exporter_sink_errors_total") == {}
        reasons = {reason for reason, _ in page.rows("qmp_exporter_disconnects_total")}
        assert reasons <= {"eof", "reset"}
