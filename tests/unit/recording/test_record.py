"""The recorder: what it writes of a monitor, and what a bad one can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from fake_qmp import FakeMonitor
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import QmpExporterError, RecordingError, SessionError
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.queries import IDENTITY, STATE
from qmp_exporter.recording.monitor import Cue
from qmp_exporter.recording.record import record
from qmp_exporter.recording.tape import Tape
from unit.qmp.watching import nothing_left, target_of, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MOST = 10_000_000
PATIENCE = 10.0


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[FakeMonitor]:
    """A monitor to record."""
    async with FakeMonitor(tmp_path / "vm.qmp", name="alice-db", version=(10, 0, 2)) as fake:
        yield fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where it is recorded."""
    return tmp_path / "vm.jsonl"


def text_of(path: Path) -> str:
    """Return what is in a file, nothing if there is none."""
    return path.read_text() if path.exists() else ""


def there(path: Path) -> bool:
    """Tell whether there is a file, or a socket."""
    return path.exists()


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def made(path: Path) -> Path:
    """Make a file, and return a link beside it to nothing."""
    path.write_text("mine")
    link = path.with_name("link")
    link.symlink_to(path.with_name("elsewhere"))
    return link


def remove(path: Path) -> None:
    """Remove a socket."""
    path.unlink()


class Running:
    """A recording that is being made."""

    def __init__(self, monitor: FakeMonitor | Target, file: Path, **how: Any) -> None:
        self.said: list[str] = []
        self.file = file
        target = monitor if isinstance(monitor, Target) else target_of(monitor)
        settings = how.pop("settings", Settings())
        how = {"personal": False, "most": MOST, "say": self.said.append} | how
        self.task = asyncio.create_task(record(target, file, settings, **how))

    def lines(self) -> list[dict[str, Any]]:
        """Return what is in the file so far."""
        return [json.loads(line) for line in text_of(self.file).splitlines()]

    async def has(self, word: str) -> None:
        """Wait until a word is in the file."""
        await until(lambda: word in text_of(self.file), word)

    async def stop(self) -> Tape:
        """Stop as Ctrl-C does, and return what was recorded."""
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(self.task, PATIENCE)
        return Tape.load(self.file)

    async def ends(self) -> Tape:
        """Wait for its end, and return what was recorded."""
        await asyncio.wait_for(self.task, PATIENCE)
        return Tape.load(self.file)

    async def fails(self) -> QmpExporterError:
        """Wait for its end, and return why."""
        with pytest.raises(QmpExporterError) as caught:
            await asyncio.wait_for(self.task, PATIENCE)
        return caught.value


@contextlib.asynccontextmanager
async def recording(
    monitor: FakeMonitor | Target, file: Path, **how: Any
) -> AsyncIterator[Running]:
    """Record, and leave nothing behind."""
    async with nothing_left():
        running = Running(monitor, file, **how)
        try:
            yield running
        finally:
            running.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, QmpExporterError):
                await running.task


def said(cues: tuple[Cue, ...]) -> list[str]:
    """Return what was said in words: events, and commands that were answered."""
    return [cue.event.name if cue.event else cue.command or "noise" for cue in cues]


async def test_what_is_said_is_in_the_file_as_it_comes(monitor: FakeMonitor, file: Path) -> None:
    """The state, events and what they made the exporter ask, each with its time; then the end."""
    async with recording(monitor, file) as running:
        await monitor.wait_command("migrate-set-capabilities")
        await monitor.send_event("STOP")
        await monitor.wait_command("query-status", 3)
        await monitor.send_event("RESUME")
        await running.has("RESUME")
        tape = await running.stop()
    assert tape.version == (10, 0, 2)
    words = said(tape.cues)
    assert words[:4] == list(IDENTITY)
    assert words[4 : 4 + len(STATE)] == list(STATE)
    assert words[4 + len(STATE) :] == [
        "query-migrate-capabilities",
        "migrate-set-capabilities",
        "STOP",
        "query-status",
        "RESUME",
    ]
    times = [cue.at for cue in tape.cues]
    assert times == sorted(times)
    assert all(abs(cue.late) < PATIENCE * 1e6 for cue in tape.cues)
    assert tape.end == "stopped"
    assert "alice" not in text_of(file)
    greeted, summary = running.said
    assert "QEMU 10.0.2" in greeted
    assert summary.startswith(f"{file}: 2 events and {len(words) - 2} replies in ")


async def test_it_asks_what_the_exporter_may_ask(monitor: FakeMonitor, file: Path) -> None:
    """And does not turn on the events of migrations if it is told not to."""
    async with recording(monitor, file, settings=Settings(migration_events=False)) as running:
        await running.has("query-balloon")
        await monitor.send_event("STOP")
        await monitor.wait_command("query-status", 3)
        await running.stop()
    sent = {command["execute"] for command in monitor.commands}
    assert "migrate-set-capabilities" not in sent
    assert sent == {"qmp_capabilities", *IDENTITY, *STATE}


async def test_personal_data_is_kept_if_that_is_asked_for(monitor: FakeMonitor, file: Path) -> None:
    """To the letter, and the file says so."""
    async with recording(monitor, file, personal=True) as running:
        await monitor.send_event("DEVICE_DELETED", {"path": "/machine/peripheral/alice"})
        await monitor.send_raw(b"no event \xff\r\n")
        await running.has('"broken"')
        await running.has('"name":"alice-db"')  # an answer, which may come after the events
        tape = await running.stop()
    assert running.lines()[0]["personal"] is True
    assert '"name":"alice-db"' in text_of(file)
    (event,) = [cue.event for cue in tape.cues if cue.event]
    assert event.data == {"path": "/machine/peripheral/alice"}
    (noise,) = [cue.noise for cue in tape.cues if cue.noise]
    assert noise == b"no event \xff"


async def test_a_line_that_is_no_event_is_noted(monitor: FakeMonitor, file: Path) -> None:
    """As what the exporter counts it as; nothing of it is kept."""
    async with recording(monitor, file) as running:
        await monitor.wait_negotiated()
        for line in (b"alice", b'{"event": "STOP", "timestamp": "alice"}', b'{"event": "alice"'):
            await monitor.send_raw(line + b"\r\n")
        await monitor.send_event("RESUME")
        await running.has("RESUME")
        await running.stop()
    broken = [line["broken"] for line in running.lines() if "broken" in line]
    assert broken == ["other", "STOP", "other"]
    assert "alice" not in text_of(file)
    assert "3 lines that are no events" in running.said[-1]


async def test_nobody_else_may_read_the_file(monitor: FakeMonitor, file: Path) -> None:
    """From the first moment, whatever the umask."""
    async with recording(monitor, file) as running:
        await running.has("query-balloon")
        assert mode_of(file) == 0o600
        await running.stop()
    assert mode_of(file) == 0o600


async def test_a_file_that_is_there_stays_as_it_is(monitor: FakeMonitor, file: Path) -> None:
    """It might be readable for others, or the only one; the monitor is not touched."""
    link = made(file)
    for path, why in ((file, "File exists"), (link, "File exists"), (file / "x", "Not a dir")):
        async with recording(monitor, path) as running:
            text = str(await running.fails())
        assert text.startswith(f"{path}: {why}")
        assert text.endswith("; expected the path of a new file")
    assert text_of(file) == "mine"
    assert monitor.connections == 0


async def test_the_end_of_qemu_ends_it(monitor: FakeMonitor, file: Path) -> None:
    """Whether the monitor is gone, or only hung up, is in the file."""
    async with recording(monitor, file) as running:
        await running.has("query-balloon")
        await monitor.drop()
        tape = await running.ends()
    assert tape.end == "closed"
    assert "the monitor hung up: 0 events" in running.said[-1]
    assert monitor.connections == 2  # the second is how it knows


async def test_a_monitor_that_is_gone_is_seen_to_be_gone(tmp_path: Path, file: Path) -> None:
    """Its socket is."""
    async with FakeMonitor(tmp_path / "vm.qmp") as fake, recording(fake, file) as running:
        await running.has("query-balloon")
        remove(tmp_path / "vm.qmp")
        await fake.drop()
        tape = await running.ends()
    assert tape.end == "gone"
    assert "QEMU has ended" in running.said[-1]


async def test_without_a_connection_there_is_no_file(tmp_path: Path, file: Path) -> None:
    """One line says what is the matter with the monitor."""
    path = tmp_path / "none.qmp"
    async with recording(Target(str(path)), file) as running:
        error = await running.fails()
    assert isinstance(error, SessionError)
    assert str(error) == f"{path} is gone: No such file or directory"
    assert not there(file)
    assert running.said == []


async def test_a_busy_monitor_is_not_dialled(monitor: FakeMonitor, file: Path) -> None:
    """Its owner would be shut out by those who wait."""
    _, writer = await asyncio.open_unix_connection(str(monitor.address))
    await monitor.wait_connected()
    async with recording(monitor, file) as running:
        assert (await running.fails()).reason == "busy"
    assert monitor.connections == 1
    writer.close()
    await writer.wait_closed()
    assert not there(file)


async def test_what_is_no_monitor_is_told(tmp_path: Path, file: Path) -> None:
    """It greets with something else."""
    fake = FakeMonitor(tmp_path / "vm.qmp", greeting=b"QEMU 7.2 monitor\r\n(qemu) ")
    async with fake, recording(fake, file) as running:
        assert (await running.fails()).reason == "not-qmp"
    assert not there(file)


async def test_an_endless_line_ends_it(monitor: FakeMonitor, file: Path) -> None:
    """What came before it is kept, the memory that it takes is bounded, and it is told."""
    async with recording(monitor, file, settings=Settings(max_line=65536)) as running:
        await running.has("query-balloon")
        await monitor.send_event("STOP")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await monitor.send_raw(b"x" * 65536)
        error = await running.fails()
    assert isinstance(error, RecordingError)
    assert str(error).startswith("the connection was given up: a line is longer than")
    tape = Tape.load(file)
    assert tape.end == "closed"
    assert "STOP" in said(tape.cues)
    assert len(running.said) == 2


async def test_binary_data_is_survived(monitor: FakeMonitor, file: Path) -> None:
    """Line by line it is noise."""
    async with recording(monitor, file) as running:
        await monitor.wait_negotiated()
        await monitor.send_raw(bytes(range(256)) * 100 + b"\r\n")
        await monitor.send_event("STOP")
        await running.has("STOP")
        tape = await running.stop()
    assert "noise" in said(tape.cues)
    assert said(tape.cues).count("STOP") == 1


async def test_a_flood_fills_no_disk(monitor: FakeMonitor, file: Path) -> None:
    """The file has a greatest size; what is in it is good, and why it ended is told."""
    async with recording(monitor, file, most=200_000) as running:
        await running.has("query-balloon")
        line = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "WAKEUP"}\r\n'
        flood = asyncio.create_task(monitor.flood(line * 100, 1000))
        error = await running.fails()
        flood.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, AssertionError):
            await flood
    assert "200000 bytes are full" in str(error)
    assert 190_000 < len(text_of(file)) <= 200_000
    tape = Tape.load(file)
    assert tape.events > 1000
    assert tape.end == "stopped"


async def test_a_refused_command_is_in_the_file(monitor: FakeMonitor, file: Path) -> None:
    """With its class, so that a replay refuses it, too; a strange reply does no harm."""
    monitor.replies["query-spice"] = "\ud800"
    async with recording(monitor, file) as running:
        await running.has("query-migrate-capabilities")
        await running.stop()
    found = {line["command"]: line for line in running.lines() if "command" in line}
    error = found["query-balloon"]["error"]
    assert error == {"class": "DeviceNotActive", "desc": error["desc"]}
    assert error["desc"].startswith("text-")
    assert "return" in found["query-spice"]
