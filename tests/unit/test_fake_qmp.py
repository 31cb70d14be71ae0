"""The fake monitor: what other tests rely on when they use it."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from qemu.qmp import QMPClient

import fake_qmp
from fake_qmp import FakeMonitor
from qmp_exporter.recording.conversation import QmpError


if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor listens."""
    return tmp_path / "vm.sock"


def is_there(path: Path) -> bool:
    """Say whether there is a file, or a socket."""
    return path.exists()


async def dial(monitor: FakeMonitor) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect without a word."""
    if isinstance(monitor.address, str):
        return await asyncio.open_unix_connection(monitor.address)
    return await asyncio.open_connection(*monitor.address)


async def line(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Read one message; QEMU ends it with CR LF."""
    async with asyncio.timeout(2):
        text = await reader.readline()
    assert text.endswith(b"\r\n")
    message: dict[str, Any] = json.loads(text)
    return message


async def negotiated(
    monitor: FakeMonitor,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and negotiate."""
    reader, writer = await dial(monitor)
    await line(reader)
    writer.write(b'{"execute": "qmp_capabilities"}')
    assert await line(reader) == {"return": {}}
    return reader, writer


async def test_a_stock_client_works_with_it(path: Path) -> None:
    """qemu.qmp connects, asks and hears events, over a unix socket."""
    client = QMPClient("test")
    async with FakeMonitor(path, name="web01", version=(11, 1, 3)) as monitor:
        await client.connect(str(path))
        assert client.greeting is not None
        assert client.greeting.QMP.version["qemu"] == {"micro": 3, "minor": 1, "major": 11}
        assert await client.execute("query-name") == {"name": "web01"}
        with client.listener("STOP") as heard:
            await monitor.send_event("STOP")
            event = await asyncio.wait_for(heard.get(), 2)
        assert event["event"] == "STOP"
        assert "data" not in event
        await client.disconnect()
    assert not is_there(path)


async def test_it_listens_on_tcp_where_it_has_no_path() -> None:
    """The address is then host and port of the loopback."""
    async with FakeMonitor() as monitor:
        assert isinstance(monitor.address, tuple)
        assert monitor.address[0] == "127.0.0.1"
        _, writer = await negotiated(monitor)
        writer.close()


async def test_every_byte_and_every_command_is_kept(path: Path) -> None:
    """Commands need nothing between them and may arrive in pieces; none is lost or changed."""
    sent = b'{"execute":"qmp_capabilities"}{"execute":"query-name","id":"a}\\"{"}\r\n\n{"exec'
    rest = b'ute":"query-status","arguments":{}}'
    async with FakeMonitor(path) as monitor:
        reader, writer = await dial(monitor)
        await line(reader)
        writer.write(sent)
        await monitor.wait_command("query-name")
        writer.write(rest)
        command = await monitor.wait_command("query-status")
        assert bytes(monitor.received) == sent + rest
        assert command == {"execute": "query-status", "arguments": {}}
        assert [one["execute"] for one in monitor.commands] == [
            "qmp_capabilities",
            "query-name",
            "query-status",
        ]
        assert [await line(reader) for _ in range(2)] == [
            {"return": {}},
            {"return": {"name": "vm"}, "id": 'a}"{'},
        ]
        writer.close()


async def test_replies_can_be_values_functions_and_errors(path: Path) -> None:
    """What a test puts into `replies` is sent instead of the default."""

    def refuse(_: dict[str, Any]) -> object:
        raise QmpError("GenericError", "not today")

    replies = {
        "query-name": {"name": "other"},
        "query-block": lambda arguments: [arguments],
        "query-uuid": QmpError("CommandNotFound", "no such thing"),
        "query-vnc": refuse,
    }
    async with FakeMonitor(path, replies=replies) as monitor:
        reader, writer = await negotiated(monitor)
        writer.write(b'{"execute":"query-name"}{"execute":"query-block","arguments":{"a":1}}')
        assert await line(reader) == {"return": {"name": "other"}}
        assert await line(reader) == {"return": [{"a": 1}]}
        writer.write(b'{"execute":"query-uuid"}{"execute":"query-vnc","id":3}')
        refused = {"class": "CommandNotFound", "desc": "no such thing"}
        assert await line(reader) == {"error": refused}
        refused = {"class": "GenericError", "desc": "not today"}
        assert await line(reader) == {"error": refused, "id": 3}
        monitor.replies["query-name"] = {}
        writer.write(b'{"execute":"query-name"}')
        assert await line(reader) == {"return": {}}
        writer.close()


async def test_default_replies_follow_the_events_that_are_sent(path: Path) -> None:
    """After BLOCK_IO_ERROR with action stop, and STOP, the status is io-error."""
    async with FakeMonitor(path) as monitor:
        reader, writer = await negotiated(monitor)
        error = {"device": "", "node-name": "n0", "operation": "read", "action": "stop"}
        await monitor.send_event("BLOCK_IO_ERROR", error, seconds=-1, microseconds=-1)
        await monitor.send_event("STOP")
        assert (await line(reader))["timestamp"] == {"seconds": -1, "microseconds": -1}
        await line(reader)
        writer.write(b'{"execute":"query-status"}')
        assert (await line(reader))["return"]["status"] == "io-error"
        writer.close()


async def test_it_can_be_silent_to_some_commands_and_slow_with_others(path: Path) -> None:
    """A command it is silent to is recorded and gets no reply; the next one gets its own, late."""
    async with FakeMonitor(path, silent_to={"query-status"}, reply_delay=0.05) as monitor:
        reader, writer = await negotiated(monitor)
        clock = asyncio.get_running_loop().time
        begin = clock()
        writer.write(b'{"execute":"query-status","id":1}{"execute":"query-name","id":2}')
        assert (await line(reader))["id"] == 2
        assert clock() - begin >= 0.05
        assert await monitor.wait_command("query-status") == {"execute": "query-status", "id": 1}
        writer.close()


async def test_it_can_take_a_client_and_not_greet_it(path: Path) -> None:
    """With greet=False the client is connected, and nothing comes."""
    async with FakeMonitor(path, greet=False) as monitor:
        reader, writer = await dial(monitor)
        await monitor.wait_connected()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()


async def test_it_can_greet_with_anything(path: Path) -> None:
    """The greeting is sent as it is given."""
    async with FakeMonitor(path, greeting=b"220 mail.example ESMTP\r\n") as monitor:
        reader, writer = await dial(monitor)
        assert await reader.readline() == b"220 mail.example ESMTP\r\n"
        writer.close()


async def test_a_listener_that_never_accepts_fills_its_backlog(path: Path) -> None:
    """With accept=False two clients fit, as with a busy QEMU, and the third gets EAGAIN."""
    async with FakeMonitor(path, accept=False):
        with (
            socket.socket(socket.AF_UNIX) as first,
            socket.socket(socket.AF_UNIX) as second,
            socket.socket(socket.AF_UNIX) as third,
        ):
            for one in (first, second, third):
                one.settimeout(0)
            first.connect(str(path))
            second.connect(str(path))
            await asyncio.sleep(0.05)
            with pytest.raises(BlockingIOError) as caught:
                third.connect(str(path))
            assert caught.value.errno == errno.EAGAIN


async def test_a_second_client_waits_for_the_first_to_be_dropped(path: Path) -> None:
    """drop() ends the connection of one client, and the next one is greeted."""
    async with FakeMonitor(path) as monitor:
        first, first_writer = await negotiated(monitor)
        second, second_writer = await dial(monitor)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(second.read(1), 0.1)
        await monitor.drop()
        assert await first.read() == b""
        assert "QMP" in await line(second)
        assert monitor.connections == 2
        first_writer.close()
        second_writer.close()


async def test_a_flood_arrives_whole(path: Path) -> None:
    """Every line of a flood reaches a client that reads."""
    lines = b'{"event": "RESUME"}\r\n' * 100
    async with FakeMonitor(path) as monitor:
        reader, writer = await negotiated(monitor)
        flood = asyncio.create_task(monitor.flood(lines, 200))
        got = await asyncio.wait_for(reader.readexactly(len(lines) * 200), 5)
        assert got == lines * 200
        await flood
        writer.close()


async def test_a_flood_waits_for_a_client_that_does_not_read(path: Path) -> None:
    """The fake keeps no more than a buffer of what is not taken."""
    async with FakeMonitor(path) as monitor:
        _, writer = await negotiated(monitor)
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
        flood = asyncio.create_task(monitor.flood(b"x" * 65536, 1000))
        await asyncio.sleep(0.1)
        assert not flood.done()
        flood.cancel()
        writer.transport.abort()


async def test_raw_bytes_need_no_negotiation(path: Path) -> None:
    """send_raw() serves a client that has only connected: an event too early, a line too bad."""
    async with FakeMonitor(path) as monitor:
        reader, writer = await dial(monitor)
        await monitor.send_raw(b"\xff\x00[]\n")
        await line(reader)
        assert await reader.readline() == b"\xff\x00[]\n"
        writer.close()


async def test_waiting_in_vain_says_for_what(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for a command that never comes fails, and names what did come."""
    monkeypatch.setattr(fake_qmp, "PATIENCE", 0.05)
    async with FakeMonitor(path) as monitor:
        _, writer = await negotiated(monitor)
        with pytest.raises(AssertionError, match=r"query-block, 1 times.*'qmp_capabilities'"):
            await monitor.wait_command("query-block")
        writer.close()


async def test_what_is_no_command_is_refused_and_recorded_as_nothing(path: Path) -> None:
    """Bad JSON gets QEMU's class of error, and what follows is understood again."""
    async with FakeMonitor(path) as monitor:
        reader, writer = await negotiated(monitor)
        writer.write(b'garbage {}[1]{"id":7}}{"execute":"nonesuch"}')
        errors = [(await line(reader))["error"]["class"] for _ in range(5)]
        assert errors == ["GenericError"] * 4 + ["CommandNotFound"]
        writer.write(b'{"execute":"query-name","arguments":{}}')
        assert await line(reader) == {"return": {"name": "vm"}}
        assert monitor.commands[1:3] == [{}, {}]
        writer.close()
