"""The story of the demo, told by real machines."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from qmp_exporter.demo import story
from qmp_exporter.demo.steps import Scene
from witness import Ear, alive


PROMISED = {
    *("BLOCK_IO_ERROR", "QUORUM_REPORT_BAD", "STOP", "RESUME", "RESET", "SHUTDOWN", "POWERDOWN"),
    *("WATCHDOG", "GUEST_PANICKED", "GUEST_CRASHLOADED", "RTC_CHANGE", "BALLOON_CHANGE"),
    *("VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED"),
    *("MIGRATION", "MIGRATION_PASS", "DUMP_COMPLETED"),
}


async def follow(ear: Ear, path: Path) -> None:
    """Hear one monitor through all restarts."""
    while True:
        with suppress(OSError):
            await ear.listen(path, migrations=True)
        await asyncio.sleep(0.005)


async def test_two_rounds_of_the_story(place: Path) -> None:
    """The story brings every event it promises, nothing goes wrong, and nothing is left."""
    lines: list[str] = []
    ears = {name: Ear() for name in story.NAMES}
    followers = [asyncio.create_task(follow(ears[n], place / f"{n}.qmp")) for n in ears]
    try:
        await story.tell(lines.append, place, pause=0.03, rounds=2)
    finally:
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    assert {name for ear in ears.values() for name in ear.names} >= PROMISED
    assert [line for line in lines if "went wrong" in line or "does not run" in line] == []
    assert {line.partition(":")[0] for line in lines} == set(story.NAMES)
    actions = {e["data"]["action"] for e in ears["web"].heard if e["event"] == "BLOCK_IO_ERROR"}
    assert actions == {"report", "stop"}
    ended = {e["data"]["status"] for e in ears["db"].heard if e["event"] == "MIGRATION"}
    assert "failed" in ended


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.09, 0.2, 0.33, 0.5, 0.8])
async def test_story_can_be_cancelled(place: Path, seconds: float) -> None:
    """Whenever the story is cancelled, no process, socket or file is left."""
    before = children()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await story.tell(lambda _: None, place, pause=0.0)
    assert children() <= before


def children() -> set[int]:
    """Return the processes that we started and that have not ended."""
    task = Path(f"/proc/{os.getpid()}/task")
    listed = (file.read_text() for file in task.glob("*/children"))
    return {int(pid) for line in listed for pid in line.split() if alive(int(pid))}


async def test_story_survives_a_murder(place: Path) -> None:
    """A machine that ends without being told to is named and started again."""
    lines: list[str] = []
    pids: list[int] = []

    def say(line: str) -> None:
        lines.append(line)
        if "process" in line:
            pids.append(int(line.rpartition(" ")[2]))
        if "pauses" in line:
            os.kill(pids[0], signal.SIGKILL)

    await story.tell(say, place, pause=0.0, rounds=1)
    wrong = [line for line in lines if "went wrong" in line]
    assert len(wrong) == 1
    assert "exit status -9" in wrong[0]
    assert lines[-1].startswith("db: the VM is started again")


async def test_story_helps_itself(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM left stopped, a step that hangs, and a QEMU that does not start: all are overcome."""
    lines: list[str] = []
    missing = "qemu-system-x86_64 not found: install it, or name it in QEMU"

    def say(line: str) -> None:
        lines.append(line)
        if line == f"web: {missing}":
            monkeypatch.delenv("QEMU")

    async def leave_stopped(scene: Scene) -> None:
        await scene.machine.execute("stop")

    async def hang(scene: Scene) -> None:
        scene.machine.signal(signal.SIGSTOP)
        await scene.machine.qtest.inb(0x71)

    async def lose_qemu(scene: Scene) -> None:
        monkeypatch.setenv("QEMU", "/nonexistent/qemu")
        await scene.machine.quit()
        await scene.machine.start()

    monkeypatch.setattr(story, "STEP_TIMEOUT", 0.5)
    monkeypatch.setattr(
        story, "STORY", tuple(("web", step) for step in (leave_stopped, hang, lose_qemu))
    )
    await story.tell(say, place, pause=0.0, rounds=1)
    assert lines[2:] == [
        "web: the VM does not run",
        "web: the VM is started again",
        "web: this went wrong: it takes too long",
        "web: the VM is started again",
        f"web: this went wrong: {missing}",
        "web: the VM is started again",
        f"web: {missing}",
        "web: the VM is started again",
    ]
