"""Replay: what is on the wire, and when."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from qemu.qmp import EventListener, QMPClient

from qmp_exporter.demo.captures import RecordedEvent, Recording
from qmp_exporter.demo.replay import replay, timetable
from qmp_exporter.errors import ConfigError
from spec_examples import VERSIONS, captures_by_role


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


NEGOTIATE = b'{"execute": "qmp_capabilities"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the recording is played."""
    return tmp_path / "replay.sock"


def is_there(path: Path) -> bool:
    """Say whether there is a file, or a socket."""
    return path.exists()


def touch(path: Path) -> None:
    """Make an empty file."""
    path.touch()


@contextlib.asynccontextmanager
async def playing(
    recording: Recording, path: Path, *, max_gap: float = 0.0, loop: bool = False
) -> AsyncIterator[list[str]]:
    """Play while the test does something else; give what is said about it."""
    said: list[str] = []
    task = asyncio.create_task(
        replay(recording, path, name="web01", loop=loop, max_gap=max_gap, say=said.append)
    )
    try:
        yield said
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def dial(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as soon as somebody listens."""
    async with asyncio.timeout(2):
        while True:
            try:
                return await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.001)


async def listens(path: Path) -> None:
    """Wait until somebody listens."""
    _, writer = await dial(path)
    writer.close()


async def message(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Read one line."""
    async with asyncio.timeout(2):
        line: dict[str, Any] = json.loads(await reader.readline())
    return line


async def life(path: Path) -> list[bytes]:
    """Be the client of one machine until it hangs up; return the lines of its events."""
    lines: list[bytes] = []
    reader, writer = await dial(path)
    writer.write(NEGOTIATE)
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(5):
            lines = (await reader.read()).split(b"\r\n")
    writer.close()
    # What is left of the greeting, the reply, and the line that never began.
    assert lines[1:2] in ([], [b'{"return": {}}'])
    return lines[2:-1]


def without_stamp(line: bytes) -> bytes:
    """Blot out the digits of the stamp, which QEMU puts first, and nothing else."""
    blotted, found = re.subn(rb'^{"timestamp": {"seconds": \d+, "microseconds": \d+}', b"", line)
    assert found == 1
    return blotted


def stamp_of(line: bytes) -> int:
    """Return the stamp in microseconds."""
    stamp = json.loads(line)["timestamp"]
    return int(stamp["seconds"] * 1_000_000 + stamp["microseconds"])


def event(microseconds: int | None, name: str = "RESUME") -> RecordedEvent:
    """Make an event of a given time."""
    stamp = {"seconds": -1, "microseconds": -1}
    if microseconds is not None:
        stamp = dict(zip(stamp, divmod(microseconds, 1_000_000), strict=True))
    return RecordedEvent.parse(json.dumps({"timestamp": stamp, "event": name}).encode())


async def test_a_stock_client_hears_the_events(path: Path) -> None:
    """qemu.qmp negotiates, asks, and gets every event of the scenario in order."""
    recording = Recording.shipped("7.2").only("watchdog-pause")
    client = QMPClient("test")
    heard = EventListener()
    client.register_listener(heard)
    async with playing(recording, path):
        await listens(path)
        await client.connect(str(path))
        assert client.greeting is not None
        assert client.greeting.QMP.version["qemu"] == {"major": 7, "minor": 2, "micro": 22}
        names = [(await asyncio.wait_for(heard.get(), 2))["event"] for _ in range(3)]
        assert names == ["WATCHDOG", "STOP", "SHUTDOWN"]
        # It hung up, as QEMU does at its end: that is what qemu.qmp calls it.
        with pytest.raises(EOFError):
            await client.disconnect()


async def test_a_stock_client_asks_about_the_machine(path: Path) -> None:
    """Between the events the queries are answered, and an unknown command is refused."""
    recording = Recording.shipped("7.2").only("block-io-error-read-errno5-rerror=stop")
    client = QMPClient("test")
    async with playing(recording, path, max_gap=2):
        await listens(path)
        await client.connect(str(path))
        assert await client.execute("query-name") == {"name": "web01"}
        with pytest.raises(Exception, match="The command quit has not been found"):
            await client.execute("quit")
        await asyncio.wait_for(client.events.get(), 2)
        await asyncio.wait_for(client.events.get(), 2)
        status: Any = await client.execute("query-status")
        assert status["status"] == "io-error"
        disks: Any = await client.execute("query-block")
        assert [disk["io-status"] for disk in disks] == ["failed"]
        await client.disconnect()


async def test_a_second_client_waits_without_a_greeting(path: Path) -> None:
    """A monitor serves one client; when that one leaves, the next is greeted."""
    recording = Recording.shipped().only("sigterm")
    async with playing(recording, path):
        first, first_writer = await dial(path)
        second, second_writer = await dial(path)
        assert "QMP" in await message(first)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(second.read(1), 0.1)
        first_writer.close()
        assert "QMP" in await message(second)
        second_writer.close()


async def test_events_wait_for_a_client_that_has_negotiated(path: Path) -> None:
    """Nothing is played to nobody, nor to one who has only connected."""
    async with playing(Recording.shipped().only("sigterm"), path) as said:
        reader, writer = await dial(path)
        await message(reader)
        writer.write(b'{"execute": "query-status"}')
        assert (await message(reader))["error"]["class"] == "CommandNotFound"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.write(NEGOTIATE)
        assert await message(reader) == {"return": {}}
        assert (await message(reader))["event"] == "SHUTDOWN"
        assert said == ["sigterm: 1 events: SIGTERM to qemu"]
        writer.close()


async def test_a_client_may_leave_and_another_hears_the_rest(path: Path) -> None:
    """What comes after the first has gone is played to the second."""
    recording = Recording.shipped("7.2").only("block-io-error-read-errno5-rerror=stop")
    names = []
    async with playing(recording, path, max_gap=0.3):
        for count in (2, 4):
            reader, writer = await dial(path)
            writer.write(NEGOTIATE)
            await message(reader)
            await message(reader)
            names.append([(await message(reader))["event"] for _ in range(count)])
            writer.close()
    assert names == [["BLOCK_IO_ERROR", "STOP"], ["RESUME", "BLOCK_IO_ERROR", "STOP", "SHUTDOWN"]]


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_line_is_sent_as_it_was_recorded(path: Path, version: str) -> None:
    """Byte for byte, but for the digits of the timestamp, machine after machine."""
    expected = [
        [without_stamp(line) for line in lines] for lines in captures_by_role(version).values()
    ]
    recording = Recording.shipped(version)
    got = []
    async with playing(recording, path):
        for _ in expected:
            lines = await life(path)
            got.append([without_stamp(line) for line in lines])
    assert got == expected


async def test_stamps_are_of_now_and_keep_their_distances(path: Path) -> None:
    """The distances are those of the recording, to the microsecond, up to the longest gap."""
    recording = Recording.shipped("7.2").only("lifecycle-qmp")
    recorded = [stamp_of(line) for line in recording.scenarios[0].lines]
    begin = time.time_ns() // 1000
    async with playing(recording, path, max_gap=0.1):
        got = [stamp_of(line) for line in await life(path)]
    gaps = [min(later - earlier, 100_000) for earlier, later in pairwise(recorded)]
    assert 100_000 in gaps
    assert min(gaps) < 100_000
    assert [later - earlier for earlier, later in pairwise(got)] == gaps
    assert begin < got[0] < got[-1] < time.time_ns() // 1000


async def test_a_late_event_is_sent_with_its_old_stamp(tmp_path: Path, path: Path) -> None:
    """QEMU holds some events back; their stamps are older than those of the events before."""
    file = tmp_path / "late.jsonl"
    stamped = [event(when, "STOP").stamped(when) for when in (5_000_000, 5_040_000, 5_010_000)]
    file.write_bytes(b"\n".join(stamped))
    async with playing(Recording.load(file), path, max_gap=1):
        first, second, late = (stamp_of(line) for line in await life(path))
    assert (second - first, late - first) == (40_000, 10_000)


async def test_the_destination_of_a_migration_waits_for_it(path: Path) -> None:
    """Each of two machines lives by itself, the destination from the state inmigrate."""
    statuses = []
    async with playing(Recording.shipped().only("migration-two-qemus"), path, max_gap=0.1):
        for _ in ("dst", "src"):
            reader, writer = await dial(path)
            writer.write(NEGOTIATE + b'{"execute": "query-status"}')
            replies = [await message(reader) for _ in range(3)]
            statuses.append(replies[2]["return"]["status"])
            await reader.read()
            writer.close()
    assert statuses == ["inmigrate", "running"]


def test_the_timetable_bounds_pauses_and_keeps_lateness() -> None:
    """A late event costs no pause and stays late; one without a stamp comes at once."""
    events = [event(5_000_000), event(6_500_000), event(6_100_000), event(None), event(6_600_000)]
    pauses = [(pause, late) for pause, late, _ in timetable(events, 1.0)]
    assert pauses == [(0, 0), (1_000_000, 0), (0, 400_000), (0, 0), (100_000, 0)]
    pauses = [(pause, late) for pause, late, _ in timetable(events, 0.0)]
    assert pauses == [(0, 0)] * 5


async def test_it_begins_again_if_asked(path: Path) -> None:
    """In a loop the last machine is followed by the first."""
    async with playing(Recording.shipped("7.2").only("sigterm"), path, loop=True) as said:
        lives = [await life(path) for _ in range(3)]
        assert len(said) >= 3
    assert [len(lines) for lines in lives] == [1, 1, 1]


async def test_it_ends_after_the_last_machine_and_removes_its_socket(path: Path) -> None:
    """Without a loop the call returns when all is played."""
    recording = Recording.shipped("7.2").only("sigterm")
    call = replay(recording, path, name="x", loop=False, max_gap=0, say=lambda _: None)
    lines, _ = await asyncio.gather(life(path), call)
    assert len(lines) == 1
    assert not is_there(path)


async def test_a_cancelled_replay_removes_its_socket(path: Path) -> None:
    """It can be cancelled at any time, with a client or without."""
    for wait in (dial, asyncio.sleep):
        async with playing(Recording.shipped(), path):
            connection = await dial(path) if wait is dial else None
            await asyncio.sleep(0.01)
            assert is_there(path)
        assert not is_there(path)
        if connection is not None:
            connection[1].close()


async def test_a_path_in_use_is_left_alone(path: Path) -> None:
    """It might be the monitor of a real machine: the error names it, and it stays."""
    touch(path)
    with pytest.raises(ConfigError, match=rf"{path}: cannot listen there: Address already in use"):
        await replay(Recording.shipped(), path, name="x", loop=False, max_gap=0, say=lambda _: None)
    assert is_there(path)


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    """The error says so."""
    long = tmp_path / ("x" * 108)
    with pytest.raises(ConfigError, match="cannot listen there: AF_UNIX path too long"):
        await replay(Recording.shipped(), long, name="x", loop=False, max_gap=0, say=lambda _: None)
