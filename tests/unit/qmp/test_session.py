"""A session: what it asks, what it tells, and in which order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from fake_qmp import FakeMonitor
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.errors import BusyError, NotQmpError
from qmp_exporter.model.event import Event
from qmp_exporter.model.inputs import Ask, Link, Reply
from qmp_exporter.model.replies import Status
from qmp_exporter.model.target import Target
from qmp_exporter.qmp import connection as connection_module
from qmp_exporter.qmp import transport as module
from qmp_exporter.qmp.client import Client, Limits
from qmp_exporter.qmp.connection import MAX_EARLY
from qmp_exporter.qmp.context import Context
from qmp_exporter.qmp.dial import fingerprint
from qmp_exporter.qmp.queries import IDENTITY, STATE
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.transport import Dialling
from qmp_exporter.qmp.unix import UnixTable
from qmp_exporter.recording.conversation import QmpError
from unit.qmp.watching import (
    QUICK,
    Notes,
    decode,
    nothing_left,
    session_of,
    target_of,
    until,
    watching,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from qmp_exporter.model.inputs import Input
    from qmp_exporter.qmp.session import Session

UUID = "1f5b1c2a-0000-4000-8000-000000000001"
ON = {"capabilities": [{"capability": "events", "state": True}]}
EVENT = b'{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "RESUME"}\r\n'


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[FakeMonitor]:
    """A monitor that answers as QEMU does."""
    async with FakeMonitor(tmp_path / "vm.sock", name="web01", uuid=UUID) as monitor:
        yield monitor


def of(notes: Notes, kind: type[Input]) -> list[Any]:
    """The inputs of one kind."""
    return [one for one in notes.given if isinstance(one, kind)]


def hundredth(timing: Timing, **changes: float) -> Timing:
    """Time limits with some that are short."""
    return msgspec.structs.replace(timing, **changes)


# ---- one connection


async def test_a_session_reads_who_it_is_then_its_state_then_stays(monitor: FakeMonitor) -> None:
    """The commands of the list, in order, each once; then only events."""
    async with watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        await monitor.send_event("POWERDOWN")
        await until(lambda: notes.events, "the event")
        sent = [command["execute"] for command in monitor.commands]
        last = ["query-migrate-capabilities", "migrate-set-capabilities"]
        assert sent == ["qmp_capabilities", *IDENTITY, *STATE, *last]
        assert notes.replies == list(STATE)
        assert notes.states == [TargetState.CONNECTED]
        assert isinstance(notes.given[0], Link)
        assert set(notes.answers) == {"query-name", "query-uuid", *last, *STATE} - {
            "query-balloon"  # refused, as there is none
        }


async def test_who_answers_is_told(monitor: FakeMonitor) -> None:
    """Name, uuid, version, architecture, address, pid and start of the process."""
    monitor.replies["query-target"] = {"arch": "x86_64"}
    async with watching(monitor) as (_, notes):
        identity = (await notes.state(TargetState.CONNECTED)).identity
    assert identity is not None
    assert (identity.name, identity.uuid) == ("web01", UUID)
    assert (identity.qemu_version, identity.arch) == ("7.2.22", "x86_64")
    assert (identity.monitor, identity.pid) == (monitor.address, os.getpid())
    assert identity.started is not None
    assert 0 < time.time() - identity.started < 86400


@pytest.mark.parametrize(
    "replies",
    [
        {"query-name": {}, "query-uuid": {"UUID": "00000000-0000-0000-0000-000000000000"}},
        dict.fromkeys(IDENTITY, QmpError("CommandNotFound", "no")),
        dict.fromkeys(IDENTITY, 5),
        {command: [{}] for command in IDENTITY},
        {command: {"name": 5, "UUID": None, "arch": []} for command in IDENTITY},
    ],
)
async def test_who_does_not_say_who_it_is_is_connected_all_the_same(
    monitor: FakeMonitor, replies: dict[str, Any]
) -> None:
    """An unnamed VM, an old QEMU without a command, and nonsense: what is not told is empty."""
    monitor.replies |= replies
    async with watching(monitor) as (_, notes):
        identity = (await notes.state(TargetState.CONNECTED)).identity
    assert identity is not None
    assert (identity.name, identity.uuid, identity.arch) == ("", "", "")


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ({}, "0.0.0"),
        ({"qemu": {"major": 7}}, "7.0.0"),
        ({"qemu": {"major": "7", "minor": "x", "micro": None}}, "0.0.0"),
        ({"qemu": "7.2"}, "0.0.0"),
        ({"qemu": [7, 2, 0]}, "0.0.0"),
        ({"qemu": {"major": 1e300, "minor": {}, "micro": []}}, "0.0.0"),
        ({"qemu": {"major": -5}}, "-5.0.0"),
    ],
)
async def test_no_version_is_too_strange(
    tmp_path: Path, version: dict[str, Any], shown: str
) -> None:
    """What a greeting holds besides its shape ends nothing."""
    greeting = {"QMP": {"version": version, "capabilities": []}}
    hello = json.dumps(greeting).encode() + b"\r\n"
    async with (
        FakeMonitor(tmp_path / "vm.sock", greeting=hello) as monitor,
        watching(monitor) as (_, notes),
    ):
        identity = (await notes.state(TargetState.CONNECTED)).identity
    assert identity is not None
    assert identity.qemu_version == shown
    assert len(notes.links) == 1


async def test_over_tcp_it_is_the_same() -> None:
    """But for the pid, which TCP does not tell."""
    async with FakeMonitor(name="far") as monitor, watching(monitor) as (_, notes):
        identity = (await notes.state(TargetState.CONNECTED)).identity
        await monitor.wait_command("migrate-set-capabilities")
    assert identity is not None
    assert (identity.name, identity.pid, identity.started) == ("far", None, None)


async def test_replies_and_events_are_told_in_the_order_of_the_stream(
    monitor: FakeMonitor,
) -> None:
    """An event before a reply is applied before it, one after it after."""

    def block(_: dict[str, Any]) -> object:
        assert monitor._writer is not None
        monitor._writer.write(EVENT)
        return []

    monitor.replies["query-block"] = block
    async with watching(monitor) as (_, notes):
        await until(lambda: len(notes.replies) == len(STATE), "the state")
    kinds = [type(one) for one in notes.given[:4]]
    assert kinds == [Link, Reply, Event, Reply]


async def test_replies_are_typed_and_errors_are_none(monitor: FakeMonitor) -> None:
    """The model is given what it can use: a type, or nothing."""
    monitor.replies["query-block"] = {"no": "list"}
    async with watching(monitor) as (_, notes):
        await until(lambda: len(notes.replies) == len(STATE), "the state")
    values = {reply.command: reply.value for reply in of(notes, Reply)}
    assert values["query-status"] == Status("running")
    assert values["query-block"] is None
    assert values["query-balloon"] is None


async def test_what_the_model_asks_is_sent_and_answered(monitor: FakeMonitor) -> None:
    """An Ask becomes a command, its reply an input; other events go on meanwhile."""
    async with watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        notes.answer = lambda one: (Ask.STATUS, Ask.BLOCK) if isinstance(one, Event) else ()
        monitor.reply_delay = 0.01
        for _ in range(2):
            await monitor.send_event("STOP")
        await until(lambda: len(notes.replies) == len(STATE) + 4, "the replies")
    assert notes.replies[len(STATE) :] == ["query-status", "query-block"] * 2


async def test_lines_that_are_no_events_are_told_and_end_nothing(monitor: FakeMonitor) -> None:
    """Garbage as `other`, an event of the wrong type by its name, an unknown event as an event."""
    async with watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        await monitor.send_raw(b"garbage\r\n[]\r\n")
        await monitor.send_raw(b'{"timestamp": 5, "event": "STOP"}\r\n')
        await monitor.send_raw(b'{"event": "WATCHDOG", "data": {"action": 5}}\r\n')
        await monitor.send_event("NEWER_THAN_US", {"a": 1})
        await until(lambda: notes.events, "the event")
    assert notes.errors == ["other", "other", "STOP", "WATCHDOG"]
    assert notes.events == ["NEWER_THAN_US"]
    assert len(notes.links) == 1


# ---- events before it is known whose they are


async def test_events_before_the_identity_are_kept_in_order(monitor: FakeMonitor) -> None:
    """They are told after the VM is named, before those that come later."""
    names = [f"EVENT_{number}" for number in range(100)]

    def name(_: dict[str, Any]) -> object:
        assert monitor._writer is not None
        for one in names[:50]:
            monitor._writer.write(b'{"event": "%s"}\r\n' % one.encode())
        return {"name": "web01"}

    monitor.replies["query-name"] = name
    async with watching(monitor) as (_, notes):
        await notes.state(TargetState.CONNECTED)
        for one in names[50:]:
            await monitor.send_event(one)
        await until(lambda: len(notes.events) == 100, "the events")
    assert isinstance(notes.given[0], Link)
    assert notes.given[0].identity is not None
    assert notes.given[0].identity.name == "web01"
    assert notes.events == names


async def test_a_connection_is_told_with_its_begin_and_when_all_was_read(
    monitor: FakeMonitor,
) -> None:
    """The dial comes before the identity, and every reply of the state before `read`."""
    began = time.time()
    async with watching(monitor) as (_, notes):
        await until(lambda: notes.read, "the state")
    (link,) = notes.links[:1]
    assert link.dialled is not None
    assert began <= link.dialled <= link.time
    (end,) = (n for n, one in enumerate(notes.given) if isinstance(one, Link) and one.read)
    assert [one.command for one in notes.given[:end] if isinstance(one, Reply)] == list(STATE)


async def test_a_flood_does_not_wait_for_the_name(monitor: FakeMonitor) -> None:
    """With too many events to keep, the VM is shown without what it did not tell; none is lost."""
    monitor.silent_to = set(IDENTITY)
    lines = MAX_EARLY // (len(EVENT) - 1) + 10
    async with watching(monitor, hundredth(QUICK, command=60)) as (session, notes):
        await monitor.flood(EVENT, 10)
        await monitor.wait_command("query-name")
        assert notes.given == []
        await monitor.flood(EVENT * lines, 1)
        await until(lambda: len(notes.events) == lines + 10, "the events")
        assert notes.links[0].identity is not None
        assert notes.links[0].identity.name == ""
        assert session._connection is not None
        assert session._connection._early is None
        # Nobody waits any more for the answers that do not come.
        await until(lambda: not waiting_for(session, "query-name"), "the question to be dropped")


def client_of(session: Session) -> Client:
    """The client of a session that is established."""
    assert session._connection is not None
    return session._connection._client


def waiting_for(session: Session, command: str) -> bool:
    """Whether a reply to a command is waited for."""
    client = client_of(session)
    return any(client._sent.get(str(found)) == command for found in client._pending)


async def test_what_is_kept_of_a_flood_is_bounded_in_bytes(monitor: FakeMonitor) -> None:
    """A few events of a megabyte each are a flood, too."""
    monitor.silent_to = set(IDENTITY)
    large = b'{"event": "RESUME", "x": "%s"}\r\n' % (b"x" * (MAX_EARLY // 2))
    async with watching(monitor, hundredth(QUICK, command=60)) as (_, notes):
        await monitor.flood(large, 3)
        await until(lambda: len(notes.events) == 3, "the events")


# ---- MIGRATION events


@pytest.mark.parametrize("on", [False, True])
async def test_migration_events_are_turned_on_only_where_they_are_off(
    monitor: FakeMonitor, *, on: bool
) -> None:
    """Whoever else set the capability is not disturbed."""
    monitor.replies["query-migrate-capabilities"] = [
        {"capability": "xbzrle", "state": False},
        {"capability": "events", "state": on},
    ]
    async with watching(monitor) as (_, notes):
        await until(lambda: "query-migrate-capabilities" in notes.answers, "the capabilities")
        await monitor.send_event("STOP")
        await until(lambda: notes.events, "the event")
        if not on:
            command = await monitor.wait_command("migrate-set-capabilities")
            assert command["arguments"] == ON
    sent = [command["execute"] for command in monitor.commands]
    assert sent.count("migrate-set-capabilities") == (not on)


@pytest.mark.parametrize("reply", [[], {}, 5, [{"capability": "events"}], [{"state": False}]])
async def test_migration_events_are_left_alone_where_it_is_not_known(
    monitor: FakeMonitor, reply: object
) -> None:
    """A QEMU without that capability, or a strange answer, is sent nothing."""
    monitor.replies["query-migrate-capabilities"] = reply
    async with watching(monitor) as (_, notes):
        await until(lambda: "query-migrate-capabilities" in notes.answers, "the capabilities")
        await monitor.send_event("STOP")
        await until(lambda: notes.events, "the event")
    assert "migrate-set-capabilities" not in [c["execute"] for c in monitor.commands]


async def test_migration_events_are_never_touched_if_not_wanted(monitor: FakeMonitor) -> None:
    """Not even asked for: then every command only reads."""
    async with watching(monitor, migration_events=False) as (_, notes):
        await until(lambda: len(notes.replies) == len(STATE), "the state")
        await monitor.send_event("STOP")
        await until(lambda: notes.events, "the event")
    sent = {command["execute"] for command in monitor.commands}
    assert sent == {"qmp_capabilities", *IDENTITY, *STATE}


async def test_a_refusal_of_migration_events_ends_nothing(monitor: FakeMonitor) -> None:
    """QEMU refuses it while a migration is under way."""
    refusal = QmpError("GenericError", "There's a migration process in progress")
    monitor.replies["migrate-set-capabilities"] = refusal
    async with watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        await monitor.send_event("STOP")
        await until(lambda: notes.events, "the event")
    assert len(notes.links) == 1


# ---- time limits


async def test_no_greeting_in_time_means_that_somebody_else_holds_it(tmp_path: Path) -> None:
    """QEMU takes one client; a second one waits for its greeting."""
    async with (
        FakeMonitor(tmp_path / "vm.sock", greet=False) as monitor,
        watching(monitor, hundredth(QUICK, connect=0.05)) as (_, notes),
    ):
        await notes.state(TargetState.BUSY)


async def test_a_monitor_that_greets_and_is_silent_is_unresponsive(tmp_path: Path) -> None:
    """It has begun to speak, so nobody else holds it."""
    async with (
        FakeMonitor(tmp_path / "vm.sock", silent_to={"qmp_capabilities"}) as monitor,
        watching(monitor, hundredth(QUICK, connect=0.05)) as (_, notes),
    ):
        await notes.state(TargetState.UNRESPONSIVE)
        monitor.silent_to.clear()
        link = await notes.state(TargetState.CONNECTED)
        assert link.identity is not None
        # It was not watched before: the model must be able to name it now.
        assert notes.states[-2:] == [TargetState.CONNECTING, TargetState.CONNECTED]


async def test_a_command_that_is_not_answered_in_time_is_told_as_none(
    monitor: FakeMonitor,
) -> None:
    """The next one is sent, and the connection stays up: QEMU's main loop may be busy."""
    monitor.silent_to = {"query-block"}
    async with watching(monitor, hundredth(QUICK, command=0.05)) as (_, notes):
        await until(lambda: len(notes.replies) == len(STATE), "the state")
        await monitor.send_event("STOP")
        await until(lambda: notes.events, "the event")
    unanswered = [reply.command for reply in of(notes, Reply) if reply.value is None]
    assert unanswered == ["query-block", "query-balloon"]
    assert notes.states == [TargetState.CONNECTED]


async def test_a_reply_that_comes_too_late_does_no_harm(monitor: FakeMonitor) -> None:
    """It is told as what it is, and the connection goes on."""
    async with watching(monitor, hundredth(QUICK, command=0.05)) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        notes.answer = lambda one: (Ask.STATUS,) if isinstance(one, Event) else ()
        monitor.reply_delay = 0.15
        await monitor.send_event("STOP")
        await until(lambda: notes.replies.count("query-status") == 3, "the reply")
        monitor.reply_delay = 0.0
        await monitor.send_event("STOP")
        await until(lambda: notes.replies.count("query-status") == 4, "the next one")
    values = [reply.value for reply in of(notes, Reply) if reply.command == "query-status"]
    assert values[1] is None
    assert [type(value) for value in values[2:]] == [Status, Status]
    assert len(notes.links) == 1


async def test_a_peer_that_reads_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """What cannot be written is thrown away after the time limit, when the session ends."""
    async with nothing_left(), FakeMonitor(tmp_path / "vm.sock") as monitor:
        timing = hundredth(QUICK, disconnect=0.1)
        session = session_of(target_of(monitor), Notes(), timing)
        task = asyncio.create_task(session.run())
        await monitor.wait_command("migrate-set-capabilities")
        assert monitor._writer is not None
        monitor._writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
        client = client_of(session)
        assert client._writer is not None
        while client._writer.transport.get_write_buffer_size() == 0:
            client._writer.write(b" " * 65536)
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        assert task.cancelled()
        monitor._writer.transport.abort()


# ---- how it ends


async def test_a_hang_up_is_told_as_eof(monitor: FakeMonitor) -> None:
    """And the session connects again, with everything read anew."""
    async with watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        await monitor.drop()
        await monitor.wait_command("migrate-set-capabilities")
        await until(lambda: notes.states.count(TargetState.CONNECTED) == 2, "the second session")
    lost = [link for link in notes.links if link.lost]
    assert [(link.state, link.lost) for link in lost] == [(TargetState.CONNECTING, "eof")]


async def test_a_reset_is_told_as_reset() -> None:
    """TCP's way of saying that the process is not there any more."""
    async with FakeMonitor() as monitor, watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        assert monitor._writer is not None
        sock = monitor._writer.get_extra_info("socket")
        linger = b"\1\0\0\0\0\0\0\0"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        monitor._writer.transport.abort()
        await until(lambda: any(link.lost for link in notes.links), "the loss")
    assert next(link.lost for link in notes.links if link.lost) is LostCause.RESET


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\r\n', "protocol"),
        (b"x" * (Limits().line + 1), "long-line"),
    ],
)
async def test_a_line_that_breaks_the_protocol_is_told_as_such(
    monitor: FakeMonitor, line: bytes, cause: str
) -> None:
    """What follows it cannot be understood, so the session begins anew."""
    async with watching(monitor) as (_, notes):
        await monitor.wait_command("migrate-set-capabilities")
        await monitor.send_raw(line)
        await until(lambda: any(link.lost for link in notes.links), "the loss")
        await until(lambda: notes.states.count(TargetState.CONNECTED) == 2, "the second session")
    assert [link.lost for link in notes.links if link.lost] == [cause]


async def test_an_observer_that_fails_costs_one_connection(monitor: FakeMonitor) -> None:
    """A fault of ours in one event, or at the first contact, is an error of that VM only."""
    for fault in (Event, Link):
        async with watching(monitor) as (_, notes):

            def fail(one: Input, notes: Notes = notes, fault: type = fault) -> tuple[Ask, ...]:
                if isinstance(one, fault) and not notes.errors:
                    notes.errors.append("failed")
                    raise KeyError("a fault")
                return ()

            notes.answer = fail
            await monitor.wait_connected()
            await monitor.wait_negotiated()
            await monitor.send_event("STOP")
            await until(lambda: any(link.lost for link in notes.links), "the loss")
            await until(lambda: notes.states[-1] is TargetState.CONNECTED, "the second session")
        assert [link.lost for link in notes.links if link.lost] == [LostCause.ERROR]


async def test_a_qemu_that_ends_while_it_is_asked_who_it_is_ends_nothing_else(
    tmp_path: Path,
) -> None:
    """It was connected, and is lost; the session tries again."""
    async with FakeMonitor(tmp_path / "vm.sock") as monitor:

        def end(_: dict[str, Any]) -> object:
            assert monitor._writer is not None
            monitor._writer.transport.abort()
            return {}

        monitor.replies["query-name"] = end
        async with watching(monitor) as (_, notes):
            await until(lambda: monitor.connections >= 3, "three attempts")
        assert {link.lost for link in notes.links if link.lost} <= {"eof", "reset"}


@pytest.mark.parametrize("rest", [b"", b"{", b'{"return": {}}\r\n', b'{"return": {}}\r\n[]\r\n'])
async def test_a_peer_that_greets_and_goes_ends_nothing(tmp_path: Path, rest: bytes) -> None:
    """Wherever in the negotiation it goes; qemu.qmp may fail an assertion there."""
    hello = b'{"QMP": {"version": {"qemu": {}}, "capabilities": []}}\r\n'
    connections = count()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        next(connections)
        writer.write(hello + rest)
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "vm.sock")
    async with server, watching(tmp_path / "vm.sock") as (_, notes):
        await until(lambda: next(connections) > 5, "some attempts")
    assert TargetState.GONE not in notes.states
    assert TargetState.REFUSED not in notes.states


# ---- cancelled, wherever it is


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("where", ["unix", "tcp"])
async def test_wherever_it_is_cancelled_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, *, again: bool
) -> None:
    """No task, no socket, no warning, after any number of turns of the loop; twice as well."""

    async def resolved(host: str, port: str, **_: Any) -> list[Any]:  # without a thread
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, int(port)))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    path = tmp_path / "vm.sock" if where == "unix" else None
    async with FakeMonitor(path) as monitor:
        target = Target(str(path))
        if isinstance(monitor.address, tuple):
            target = Target(f"127.0.0.1:{monitor.address[1]}", tcp=True)
        for turns in range(1000):
            notes = Notes()
            session = session_of(target, notes, table=UnixTable(tmp_path))
            async with nothing_left():
                task = asyncio.create_task(session.run())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                if again:
                    await asyncio.sleep(0)
                    task.cancel()
                await asyncio.wait((task,))
                assert task.cancelled()
                assert not [t for t in asyncio.all_tasks() if "disconnect" in str(t.get_coro())]
                await monitor.wait_disconnected()
            # The fake's replies over TCP wait for one another, 40 ms (Nagle): one is enough.
            if ("query-name" if path is None else "query-migrate-capabilities") in notes.answers:
                break
    assert 10 < turns < 999


# ---- between two connections


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.naps: list[float] = []
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Pass time."""
        self.naps.append(seconds)
        self.now += seconds


def dialling(path: Path) -> Dialling:
    """A transport to which nobody has said anything yet."""
    return Dialling(Target(str(path)), Context(decode, UnixTable()))


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
async def test_waits_double_up_to_half_a_minute_and_none_is_like_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: float, *, there: bool
) -> None:
    """Between 75 and 100 % of 0.25 s, 0.5 s, 1 s ... 30 s, by chance; also at a dead socket."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr(random, "uniform", lambda low, high: low + (high - low) * chance)
    transport = dialling(tmp_path / "vm.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        if there:
            dead.bind(str(tmp_path / "vm.sock"))
    transport._seen = fingerprint(transport._target)
    waits = []
    for attempt in [*range(1, 12), 10_000]:
        before = clock.now
        assert await transport.pause(attempt, TargetState.GONE) is False
        waits.append(clock.now - before)
    share = 0.75 + 0.25 * chance
    expected = [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert waits == pytest.approx([share * wait for wait in expected])
    assert max(clock.naps) <= 1  # a new socket is noticed that soon


async def test_targets_lost_together_do_not_come_back_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waits of a hundred sessions differ."""
    clock = Clock(monkeypatch)
    waits = set()
    for _ in range(100):
        before = clock.now
        await dialling(tmp_path / "vm.sock").pause(5, TargetState.GONE)
        waits.add(round(clock.now - before, 6))
    assert len(waits) > 90


async def test_a_busy_monitor_that_cannot_be_looked_at_is_tried_every_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc/net/unix shows the path, looking is enough; elsewhere each dial is one of two."""
    clock = Clock(monkeypatch)
    path = tmp_path / "vm.sock"
    with socket.socket(socket.AF_UNIX) as unshown:
        unshown.bind(str(path))
        transport = dialling(path)
        transport._seen = fingerprint(transport._target)
        with monkeypatch.context() as patched:
            patched.setattr(UnixTable, "states", lambda *_: ())
            before = clock.now
            await transport.pause(1, TargetState.BUSY)
        assert 225 <= clock.now - before <= 300
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        for attempt, most in ((1, 0.25), (2, 0.5), (5, 4), (6, 5), (1000, 5)):
            transport = dialling(path)
            transport._seen = fingerprint(transport._target)
            before = clock.now
            await transport.pause(attempt, TargetState.BUSY)
            assert most * 0.75 <= clock.now - before <= most


async def test_a_busy_monitor_that_goes_is_looked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended with its client, before the wait or in it: that is to be told now."""
    clock = Clock(monkeypatch)
    path = tmp_path / "vm.sock"
    path.touch()
    transport = dialling(path)
    transport._seen = fingerprint(transport._target)
    sleep = clock.sleep

    async def ending(seconds: float) -> None:
        path.unlink(missing_ok=True)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", ending)
    before = clock.now
    assert await transport.pause(1, TargetState.BUSY) is True
    assert clock.now - before <= 1
    before = clock.now
    assert await transport.pause(1, TargetState.BUSY) is False
    assert clock.now - before <= 0.25


async def test_it_is_cancelled_though_its_monitor_hangs_up_at_that_moment(tmp_path: Path) -> None:
    """qemu.qmp would raise the hang-up instead, and the session would go on for ever."""
    loop = asyncio.get_running_loop()
    greeting = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'
    for turns in range(12):
        path = tmp_path / f"{turns}.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            listener.setblocking(False)  # noqa: FBT003 - its name
            async with watching(path):  # which holds that it was cancelled
                peer, _ = await loop.sock_accept(listener)
                with peer:
                    await loop.sock_sendall(peer, greeting)
                    await loop.sock_recv(peer, 100)
                    await asyncio.sleep(0.01)
                    await loop.sock_sendall(peer, b'{"return": {}}\r\n')
                for _ in range(turns):
                    await asyncio.sleep(0)


async def test_a_new_socket_is_dialled_at_once(tmp_path: Path) -> None:
    """However long the wait would be: a QEMU that starts sends events at once."""
    path = tmp_path / "vm.sock"
    timing = Timing(first_retry=60, last_retry=60, look=0.01)
    async with watching(path, timing) as (_, notes):
        await notes.state(TargetState.GONE)
        async with FakeMonitor(path):
            await notes.state(TargetState.CONNECTED)
        await until(lambda: notes.states[-1] is TargetState.CONNECTING, "the end")
        async with FakeMonitor(path):
            await until(lambda: notes.states[-1] is TargetState.CONNECTED, "the next QEMU")


async def test_a_new_socket_is_tried_soon_again_if_it_is_not_ready(tmp_path: Path) -> None:
    """QEMU binds its socket before it listens; that must not cost half a minute."""
    path = tmp_path / "vm.sock"
    timing = Timing(first_retry=0.02, last_retry=60, look=0.005)
    async with watching(path, timing) as (session, notes):
        await notes.state(TargetState.GONE)
        await until(lambda: len(notes.links) >= 5, "many attempts")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            await notes.state(TargetState.REFUSED)
            refused = len(notes.links)
            began = time.monotonic()
            await until(lambda: len(notes.links) > refused, "the next attempt")
            assert time.monotonic() - began < 0.3  # the wait before it was longer
            assert session._state is TargetState.REFUSED


async def test_no_fault_of_ours_ends_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor, with it, that over all other monitors; also one in the wait between two attempts."""
    faults = [ValueError("a fault")]
    pause = Dialling.pause

    async def failing(self: Dialling, attempt: int, state: TargetState) -> bool:
        if faults:
            raise faults.pop()
        return await pause(self, attempt, state)

    monkeypatch.setattr(Dialling, "pause", failing)
    async with watching(tmp_path / "vm.sock") as (_, notes):
        await notes.state(TargetState.GONE)
        async with FakeMonitor(tmp_path / "vm.sock"):
            await notes.state(TargetState.CONNECTED)
    assert "a fault of the exporter" in caplog.text


async def test_a_session_that_lasted_is_no_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait after it is the shortest; after one that did not last it grows."""
    attempts: list[int] = []

    async def pause(_: Dialling, attempt: int, _state: object) -> bool:
        attempts.append(attempt)
        await asyncio.sleep(0.01)
        return False

    monkeypatch.setattr(Dialling, "pause", pause)
    async with FakeMonitor(tmp_path / "vm.sock") as monitor:
        async with watching(monitor, Timing(first_retry=60)):
            await dropped(monitor, 3)
            await until(lambda: len(attempts) >= 3, "three attempts")
        assert attempts[:3] == [1, 2, 3]
        attempts.clear()
        async with watching(monitor, Timing(first_retry=0)):
            await dropped(monitor, 3)
            await until(lambda: len(attempts) >= 3, "three attempts")
        assert attempts[:3] == [1, 1, 1]


async def dropped(monitor: FakeMonitor, times: int) -> None:
    """Hang up on a session again and again, each time once it has negotiated."""
    for time_ in range(1, times + 1):
        await until(lambda: monitor.connections >= time_, "a connection")  # noqa: B023 - awaited
        await monitor.wait_negotiated()
        await monitor.drop()


async def test_every_attempt_has_a_client_of_its_own(
    monitor: FakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client used again would tell what the connection before it left behind."""
    made: list[Client] = []

    class Counted(Client):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(connection_module, "Client", Counted)
    async with watching(monitor):
        await dropped(monitor, 3)
    assert len(set(map(id, made))) == len(made) >= 3


async def test_a_monitor_in_use_is_not_dialled_until_it_is_free(tmp_path: Path) -> None:
    """Its owner is not disturbed, and the session begins when the owner has gone."""
    async with FakeMonitor(tmp_path / "vm.sock") as monitor:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "vm.sock")
        await reader.readline()
        async with watching(monitor) as (_, notes):
            await until(lambda: len(notes.links) > 5, "some attempts")
            assert notes.states == [TargetState.BUSY]
            assert monitor.connections == 1
            assert len(UnixTable().states(str(tmp_path / "vm.sock"))) == 2  # no third socket
            writer.close()
            await notes.state(TargetState.CONNECTED)
            assert monitor.connections == 2


# ---- a quiet VM


@pytest.fixture
async def quiet(monitor: FakeMonitor) -> AsyncIterator[tuple[FakeMonitor, Session, Notes]]:
    """A session that is connected and has read everything."""
    timing = hundredth(QUICK, quiet=15.0, unresponsive=10.0)
    async with watching(monitor, timing) as (session, notes):
        await until(lambda: "migrate-set-capabilities" in notes.answers, "the last reply")
        yield monitor, session, notes


async def test_a_quiet_vm_is_asked_once_and_then_called_unresponsive(
    quiet: tuple[FakeMonitor, Session, Notes],
) -> None:
    """One query-status after about 15 s without a line, 10 s later the state, still connected."""
    monitor, session, notes = quiet
    monitor.silent_to = {"query-status"}
    begin, before = client_of(session).read_at, len(monitor.commands)
    for second in range(100):
        session.tick(begin + second)
        if notes.states[-1] is TargetState.UNRESPONSIVE:
            break
    assert 12 + 10 <= second <= 15 + 11
    await monitor.wait_command("query-status", 2)
    await asyncio.sleep(0.02)
    assert [c["execute"] for c in monitor.commands[before:]] == ["query-status"]
    for later in range(100):
        session.tick(begin + second + later)
    await asyncio.sleep(0.02)
    assert len(monitor.commands) == before + 1
    assert monitor.connected
    assert [link.state for link in notes.links] == ["connected", "unresponsive"]


async def test_any_line_brings_an_unresponsive_vm_back(
    quiet: tuple[FakeMonitor, Session, Notes],
) -> None:
    """Not only the reply; and without a new connection."""
    monitor, session, notes = quiet
    monitor.silent_to = {"query-status"}
    now = client_of(session).read_at
    for later in (20.0, 31.0):
        session.tick(now + later)
    assert notes.states == [TargetState.CONNECTED, TargetState.UNRESPONSIVE]
    # What is read from here on is later than the question.
    await monitor.send_event("STOP")
    await until(lambda: notes.events, "the event")
    client_of(session).read_at = now + 40.0
    session.tick(now + 41.0)
    assert notes.states[-1] is TargetState.CONNECTED
    assert notes.links[-1].identity is None
    assert notes.links[-1].lost is None
    assert monitor.connections == 1


async def test_a_vm_that_answers_is_asked_again_after_the_next_silence(
    quiet: tuple[FakeMonitor, Session, Notes],
) -> None:
    """A question every 15 s of silence, no state changes; the same answer is told once."""
    monitor, session, notes = quiet
    client = client_of(session)
    now = client.read_at
    for round_ in range(1, 4):
        session.tick(now + 20.0)
        await monitor.wait_command("query-status", 1 + round_)
        await until(lambda: not client._sent, "an answer")
        client.read_at = now = now + 20.0
        session.tick(now + 1.0)
    assert notes.states == [TargetState.CONNECTED]
    assert notes.replies.count("query-status") == 2  # of the first reading, and of one probe
    assert notes.answers.count("query-status") == 2 + 3  # two before it is followed


async def test_who_writes_down_what_a_monitor_says_hears_every_answer(
    monitor: FakeMonitor,
) -> None:
    """Also one that tells nothing new."""
    heard: list[str] = []

    class Tap:
        """Hears."""

        def line(self, line: bytes) -> None:
            """Hear an event."""

        def reply(self, command: str, message: object) -> None:  # noqa: ARG002 - a tap
            """Hear a reply."""
            heard.append(command)

    async with watching(monitor, hundredth(QUICK, quiet=15.0), tap=Tap()) as (session, notes):
        await until(lambda: "migrate-set-capabilities" in notes.answers, "the last reply")
        before, now = heard.count("query-status"), client_of(session).read_at
        for round_ in range(1, 4):
            session.tick(now + 20.0)
            await until(lambda: heard.count("query-status") == before + round_, "it")  # noqa: B023
            client_of(session).read_at = now = now + 20.0
            session.tick(now + 1.0)


async def test_not_all_quiet_vms_are_asked_at_the_same_time() -> None:
    """The silence after which a VM is asked differs by up to a fifth from session to session."""
    waits = {session_of(Target("/vm"), Notes(), Timing())._quiet for _ in range(100)}
    assert len(waits) > 90
    assert 12 <= min(waits) < max(waits) <= 15


# ---- the log


async def test_a_state_is_logged_once_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A target that stays away does not fill the log; the library says nothing."""
    caplog.set_level(logging.DEBUG)
    async with watching(tmp_path / "vm.sock") as (_, notes):
        await until(lambda: len(notes.links) >= 5, "some attempts")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{tmp_path}/vm.sock is gone: No such file or directory"]


async def test_reasons_that_alternate_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each reason of a state, and no more than a few, whatever a peer says."""
    caplog.set_level(logging.INFO)
    session = session_of(Target(str(tmp_path / "vm.sock")), Notes())
    for _ in range(100):
        session._link(TargetState.BUSY, BusyError("no greeting"))
        session._link(TargetState.BUSY, BusyError("it serves another client"))
    for number in range(100):
        session._link(TargetState.NOT_QMP, NotQmpError(f"it said {number}"))
    lines = [record.getMessage().partition(" is ")[2] for record in caplog.records]
    assert lines[:3] == [
        "busy: no greeting",
        "busy: it serves another client",
        "not-qmp: it said 0",
    ]
    assert len(lines) == 10


async def test_why_a_target_is_not_reached_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its state was `connecting` all along; again only if the reason is another."""
    caplog.set_level(logging.INFO)
    reasons = iter(["Name or service not known"] * 3 + ["Temporary failure"] * 3)

    async def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, next(reasons, "Temporary failure"))

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    async with watching(Target("vm.test:4444", tcp=True)) as (_, notes):
        await until(lambda: len(notes.links) >= 7, "some attempts")
    assert [record.getMessage() for record in caplog.records] == [
        "vm.test:4444 is connecting: Name or service not known",
        "vm.test:4444 is connecting: Temporary failure",
    ]


async def test_failures_are_counted_at_most_once_a_while(monitor: FakeMonitor) -> None:
    """However often the model asks; what was asked meanwhile is answered by the next time."""
    while_ = 0.3
    async with watching(monitor, hundredth(QUICK, recounted=while_)) as (_, notes):
        await until(lambda: notes.read, "the state")
        notes.answer = lambda given: (Ask.BLOCKSTATS,) if isinstance(given, Event) else ()
        first = len(monitor.commands)
        began = time.monotonic()
        await monitor.send_event("RESUME")
        await until(lambda: len(monitor.commands) > first, "the first")
        assert time.monotonic() - began >= while_ * 0.9
        await monitor.send_event("RESUME")
        await until(lambda: len(monitor.commands) > first + 1, "the second")
        assert time.monotonic() - began >= while_ * 1.8
    assert {c["execute"] for c in monitor.commands[first:]} == {"query-blockstats"}


async def test_failures_are_counted_of_a_vm_that_says_nothing(monitor: FakeMonitor) -> None:
    """Once in a while: QEMU does not tell of each that it reports to the guest."""
    async with watching(monitor, hundredth(QUICK, counted=60.0)) as (session, notes):
        await until(lambda: notes.read, "the state")
        first, now = len(monitor.commands), time.monotonic()
        session.tick(now + 1)
        await asyncio.sleep(0.02)
        assert len(monitor.commands) == first
        session.tick(now + 61)
        await monitor.wait_command("query-blockstats", 2)
        session.tick(now + 62)
        await until(lambda: notes.replies.count("query-blockstats") == 2, "the answer")
    sent = [c["execute"] for c in monitor.commands[first:]]
    assert sent.count("query-blockstats") == 1
