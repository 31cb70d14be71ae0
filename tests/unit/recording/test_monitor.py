"""Replies that were recorded are given where they stand, at any speed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from qmp_exporter.recording.conversation import QmpError
from qmp_exporter.recording.event import SECOND, RecordedEvent
from qmp_exporter.recording.monitor import MAX_SPEED, Cue, Monitor
from qmp_exporter.recording.state import MachineState


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

VERSION = (10, 0, 2)
PATIENCE = 10.0
BEGAN = 1_700_000_000 * SECOND


def event(name: str, at: float, late: float = 0.0, **data: object) -> Cue:
    """Return an event that came at a second of the recording."""
    now, behind = round(at * SECOND), round(late * SECOND)
    seconds, rest = divmod(BEGAN + now - behind, SECOND)
    message = {"timestamp": {"seconds": seconds, "microseconds": rest}, "event": name}
    text = json.dumps(message | ({"data": data} if data else {})).encode()
    return Cue(at=now, event=RecordedEvent.parse(text), late=behind)


def reply(command: str, at: float, returned: object) -> Cue:
    """Return a reply that came at a second of the recording."""
    return Cue(at=round(at * SECOND), command=command, reply=returned)


def status(word: str, at: float) -> Cue:
    """Return a reply to query-status."""
    return reply("query-status", at, {"status": word})


@contextlib.asynccontextmanager
async def played(
    path: Path,
    cues: Sequence[Cue],
    *,
    speed: float = MAX_SPEED,
    patience: float = PATIENCE,
    **how: bool,
) -> AsyncIterator[asyncio.Task[None]]:
    """Play cues, until the test is over."""
    monitor = Monitor(path, VERSION, speed=speed, quiet=0.0, patience=patience)
    task = asyncio.create_task(monitor.play(cues, MachineState(version=VERSION), **how))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not list(path.parent.iterdir())


made: list[Client] = []


class Client:
    """A client that has negotiated."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        made.append(self)

    @classmethod
    async def dialled(cls, path: Path) -> Client:
        """Connect, and negotiate."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    client = cls(*await asyncio.open_unix_connection(path))
                    break
                except OSError:
                    await asyncio.sleep(0.001)
        assert "QMP" in await client.message()
        client.ask("qmp_capabilities")
        assert await client.message() == {"return": {}, "id": "qmp_capabilities"}
        return client

    def ask(self, command: str, **arguments: object) -> None:
        """Send a command, whose id is its name."""
        message = {"execute": command, "arguments": arguments, "id": command}
        self._writer.write(json.dumps(message).encode())

    async def message(self) -> dict[str, Any]:
        """Return the next message; empty at the end."""
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        return json.loads(line) if line else {}

    async def heard(self, count: int) -> list[str]:
        """Return the next messages in a word: an event's name, or the status of a reply."""
        found = [await self.message() for _ in range(count)]
        return [one.get("event") or one["return"]["status"] for one in found]

    def hang_up(self) -> None:
        """Close."""
        self._writer.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is played."""
    return tmp_path / "vm.qmp"


@pytest_asyncio.fixture(autouse=True)
async def all_hang_up() -> AsyncIterator[None]:
    """No client is left."""
    yield
    while made:
        client = made.pop()
        client.hang_up()
        with contextlib.suppress(ConnectionError):
            await client._writer.wait_closed()


@pytest.mark.parametrize("speed", [MAX_SPEED, 50.0])
async def test_the_stream_is_that_of_the_recording(path: Path, speed: float) -> None:
    """A reply stands between the same events, and nothing overtakes the question for it."""
    cues = [
        status("running", 0.001),
        event("WATCHDOG", 1.0, action="pause"),
        event("STOP", 1.0),
        status("watchdog", 1.002),
        event("RESUME", 1.003),
        status("running", 1.004),
        event("STOP", 5.0),
        status("paused", 5.001),
    ]
    async with played(path, cues, speed=speed):
        client = await Client.dialled(path)
        client.ask("query-status")
        assert await client.heard(3) == ["running", "WATCHDOG", "STOP"]
        client.ask("query-status")
        client.ask("query-status")
        assert await client.heard(4) == ["watchdog", "RESUME", "running", "STOP"]
        client.ask("query-status")
        assert await client.heard(1) == ["paused"]
        assert await client.message() == {}


async def test_who_asks_nothing_is_not_waited_for_twice(path: Path) -> None:
    """Events come to a client that only listens, too."""
    cues = [status("running", 0.001), event("STOP", 0.002)]
    cues += [cue for _ in range(50) for cue in (status("paused", 0.003), event("STOP", 0.003))]
    began = time.monotonic()
    async with played(path, cues, patience=0.2):
        client = await Client.dialled(path)
        assert set(await client.heard(51)) == {"STOP"}
    assert time.monotonic() - began < 0.2 * 50


async def test_a_question_that_the_recording_does_not_answer_is_answered(path: Path) -> None:
    """By the last reply, if nothing happened since, else by what the events tell; or refused."""
    name = reply("query-name", 0.0, {"name": "web"})
    balloon = reply("query-balloon", 0.0, QmpError("DeviceNotActive", "none"))
    cues = [name, balloon, status("paused", 0.0), event("RESUME", 100.0), event("STOP", 200.0)]
    async with played(path, cues, speed=1000.0, patience=0.0, stays=True, hangs_up=False):
        client = await Client.dialled(path)
        assert await client.heard(2) == ["RESUME", "STOP"]
        for command, answer in (
            ("query-status", {"return": {"status": "paused", "running": False}}),
            ("query-name", {"return": {"name": "web"}}),
            ("query-balloon", {"error": {"class": "DeviceNotActive", "desc": "none"}}),
            ("query-migrate", {"return": {}}),
        ):
            client.ask(command)
            assert await client.message() == answer | {"id": command}
        for command, arguments in (("quit", {}), ("query-name", {"a": 1}), ("query-target", {})):
            client.ask(command, **arguments)
            assert "error" in await client.message()
        client.hang_up()


async def test_a_late_question_for_a_probe_is_not_kept_waiting(path: Path) -> None:
    """What was recorded a long time later is no answer to what is asked now."""
    cues = [event("RESUME", 0.0), status("paused", 15.0), event("STOP", 1000.0)]
    async with played(path, cues, speed=1.0):
        client = await Client.dialled(path)
        assert await client.heard(1) == ["RESUME"]
        client.ask("query-status")
        assert await client.heard(1) == ["running"]
        client.hang_up()


def stamp_of(message: dict[str, Any]) -> int:
    """Return microseconds."""
    stamp = message["timestamp"]
    return int(stamp["seconds"] * SECOND + stamp["microseconds"])


@pytest.mark.parametrize(("speed", "factor"), [(1.0, 1.0), (2.0, 0.5)])
async def test_stamps_keep_their_distances(path: Path, speed: float, factor: float) -> None:
    """At any speed but the greatest, by it; what is late stays late, what is old, old."""
    cues = [
        event("RTC_CHANGE", 0.1, late=0.5, offset=1),
        event("STOP", 0.2),
        event("RESUME", 0.4),
        event("RTC_CHANGE", 0.5, late=0.2, offset=2),
    ]
    before = time.time_ns() // 1000
    async with played(path, cues, speed=speed):
        client = await Client.dialled(path)
        old, stop, resume, late = [stamp_of(await client.message()) for _ in range(4)]
    assert resume - stop == round(0.2 * SECOND * factor)
    assert late - resume == round(-0.1 * SECOND * factor)
    # Before the beginning nothing is faster.
    assert stop - old == pytest.approx((0.2 * factor + 0.4) * SECOND, abs=2)
    assert before < stop < before + PATIENCE * SECOND


async def test_at_the_greatest_speed_a_late_event_is_of_now(path: Path) -> None:
    """No event is older than what was told before it."""
    cues = [event("STOP", 1.0), event("RTC_CHANGE", 2.0, late=0.9, offset=1), event("STOP", 9.0)]
    async with played(path, cues):
        client = await Client.dialled(path)
        stamps = [stamp_of(await client.message()) for _ in range(3)]
    assert stamps == sorted(stamps)
    assert stamps[-1] - stamps[0] < SECOND * PATIENCE / 2


async def test_noise_is_sent_as_it_is(path: Path) -> None:
    """A line that was no event is none."""
    async with played(path, [Cue(at=0, noise=b"\x00\xff"), event("STOP", 0.0)]):
        client = await Client.dialled(path)
        assert await client._reader.readline() == b"\x00\xff\r\n"
        assert await client.heard(1) == ["STOP"]


async def test_one_client_after_the_other_hears_the_rest(path: Path) -> None:
    """And each is greeted, waited for, and answered as the machine is now."""
    cues = [status("running", 0.0), event("STOP", 0.1), event("RESUME", 0.2), event("STOP", 0.3)]
    async with played(path, cues, speed=1.0, patience=0.01, stays=True, hangs_up=False):
        first = await Client.dialled(path)
        assert await first.heard(1) == ["STOP"]
        first.hang_up()
        second = await Client.dialled(path)
        assert await second.heard(2) == ["RESUME", "STOP"]
        second.ask("query-status")
        assert await second.heard(1) == ["paused"]
        second.hang_up()
        third = await Client.dialled(path)
        third.ask("query-status")
        assert await third.heard(1) == ["paused"]
        third.hang_up()


async def test_it_may_hang_up_and_stay(path: Path) -> None:
    """As a monitor whose connection was lost: the next client finds the machine."""
    async with played(path, [event("STOP", 0.0)], stays=True, hangs_up=True) as task:
        client = await Client.dialled(path)
        assert await client.heard(1) == ["STOP"]
        assert await client.message() == {}
        again = await Client.dialled(path)
        again.ask("query-status")
        assert await again.heard(1) == ["paused"]
        assert not task.done()
        again.hang_up()


async def test_it_ends_as_qemu_does(path: Path) -> None:
    """The connection is closed, the socket removed."""
    async with played(path, [event("SHUTDOWN", 0.0, guest=True, reason="guest-shutdown")]) as task:
        client = await Client.dialled(path)
        assert await client.heard(1) == ["SHUTDOWN"]
        assert await client.message() == {}
        await asyncio.wait_for(task, PATIENCE)
        assert not list(path.parent.iterdir())


async def test_a_capability_is_set_only_as_qemu_sets_it(path: Path) -> None:
    """Also where its reply was recorded."""
    cues = [reply("migrate-set-capabilities", 0.0, {}), event("STOP", 0.1)]
    async with played(path, cues):
        client = await Client.dialled(path)
        client.ask("migrate-set-capabilities", capabilities=[{"capability": "x", "state": True}])
        assert "error" in await client.message()
        events = {"capability": "events", "state": True}
        client.ask("migrate-set-capabilities", capabilities=[events])
        assert (await client.message())["return"] == {}
        assert await client.heard(1) == ["STOP"]


async def test_a_reply_that_only_the_recording_knows_is_waited_for(path: Path) -> None:
    """The machine that follows the events has no answer to it; before and after, there is one."""
    cues = [reply("query-target", 0.0, {"arch": "s390x"}), event("STOP", 0.1)]
    async with played(path, cues, stays=True, hangs_up=False):
        client = await Client.dialled(path)
        client.ask("query-target")
        assert (await client.message())["return"] == {"arch": "s390x"}
        assert await client.heard(1) == ["STOP"]
        client.ask("query-target")
        assert (await client.message())["return"] == {"arch": "s390x"}
