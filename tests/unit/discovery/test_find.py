"""The search for monitors, with and without inotify."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from qmp_exporter.discovery import find, watch
from qmp_exporter.discovery.find import Search
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.discovery.scan import scan


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

    from qmp_exporter.discovery.scan import Found


PATIENCE = 5.0
NEVER = 3600.0


class Finds:
    """What a search found, and a way to wait for it."""

    def __init__(self) -> None:
        self.targets: set[str] = set()
        self.scans = 0
        self._scanned = asyncio.Event()

    def take(self, found: Found) -> None:
        """Take what a scan found."""
        self.targets = set(found.targets)
        self.scans += 1
        self._scanned.set()

    async def until(self, *paths: Path) -> None:
        """Wait until just these are found."""
        await self._wait(lambda: self.targets == {str(path) for path in paths})

    async def after(self, scans: int) -> None:
        """Wait until something was told after so many times."""
        await self._wait(lambda: self.scans > scans)

    async def _wait(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not what():
                self._scanned.clear()
                await self._scanned.wait()


@asynccontextmanager
async def searching(pattern: str, limit: int = 100) -> AsyncIterator[Finds]:
    """Search in the background."""
    finds = Finds()
    search = Search([Pattern(pattern)], limit, finds.take)
    await search.once()
    task = asyncio.create_task(search.run())
    yield finds
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[None]:
    """Listen at a path, and remove it afterwards."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        yield
    path.unlink()  # noqa: ASYNC240 - instantly


async def test_inotify_finds_sockets_between_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that appears, also in a folder that was not there, and one that goes."""
    monkeypatch.setattr(find, "SCAN_EVERY", NEVER)
    async with searching(f"{tmp_path}/run/*/*.qmp") as finds:
        (tmp_path / "run/a").mkdir(parents=True)
        path = tmp_path / "run/a/web.qmp"
        async with listening(path):
            await finds.until(path)
        await finds.until()


async def test_without_inotify_scans_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan is the truth, with no help at all."""
    monkeypatch.setattr(watch, "asyncinotify", None)
    monkeypatch.setattr(find, "SCAN_EVERY", 0.05)
    async with searching(f"{tmp_path}/*.qmp") as finds:
        async with listening(tmp_path / "web.qmp"):
            await finds.until(tmp_path / "web.qmp")
        await finds.until()


async def test_a_kernel_that_refuses_inotify_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where inotify has no room, scans go on."""

    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watch.asyncinotify, "Inotify", refuse)
    monkeypatch.setattr(find, "SCAN_EVERY", 0.05)
    async with searching(f"{tmp_path}/*.qmp") as finds, listening(tmp_path / "web.qmp"):
        await finds.until(tmp_path / "web.qmp")


async def test_where_inotify_tells_all_scans_are_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where a link leads to a socket that comes and goes elsewhere, which only a scan finds."""
    monkeypatch.setattr(find, "SCAN_EVERY", 0.05)
    monkeypatch.setattr(find, "SCAN_RARELY", NEVER)
    (tmp_path / "run").mkdir()
    link, elsewhere = tmp_path / "run/web.qmp", tmp_path / "elsewhere"
    async with searching(f"{tmp_path}/run/*.qmp") as finds:
        async with listening(tmp_path / "run/first.qmp"):
            await finds.until(tmp_path / "run/first.qmp")
        await finds.until()
        before = finds.scans
        await asyncio.sleep(0.5)
        assert finds.scans - before <= 2  # what was under way
        link.symlink_to(elsewhere)
        await finds.after(finds.scans + 3)
        for _ in range(2):
            async with listening(elsewhere):
                await finds.until(link)
            await finds.until()


async def test_a_folder_that_inotify_does_not_follow_is_scanned_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where there are more than it is asked to follow."""
    monkeypatch.setattr(find, "SCAN_EVERY", 0.05)
    monkeypatch.setattr(find, "SCAN_RARELY", NEVER)
    monkeypatch.setattr(watch, "MAX_FOLDERS", 1)
    for name in "abc":
        (tmp_path / name).mkdir()
    async with searching(f"{tmp_path}/*/*.qmp") as finds:
        async with listening(tmp_path / "c/web.qmp"):
            await finds.until(tmp_path / "c/web.qmp")
        await finds.until()


async def test_many_changes_are_one_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of files does not make a burst of scans."""
    monkeypatch.setattr(find, "SCAN_EVERY", NEVER)
    async with searching(f"{tmp_path}/*.qmp") as finds, listening(tmp_path / "first.qmp"):
        await finds.until(tmp_path / "first.qmp")
        before = finds.scans
        for number in range(500):
            (tmp_path / f"{number}.txt").touch()
        async with listening(tmp_path / "last.qmp"):
            await finds.until(tmp_path / "first.qmp", tmp_path / "last.qmp")
        assert finds.scans - before < 50


async def test_a_folder_made_again_is_watched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no scan saw it missing, and where it was renamed with the one above it."""
    monkeypatch.setattr(find, "SCAN_EVERY", NEVER)
    folder = tmp_path / "above/run"
    folder.mkdir(parents=True)
    async with searching(f"{folder}/*.qmp") as finds:
        async with listening(folder / "first.qmp"):
            await finds.until(folder / "first.qmp")
        await finds.until()
        folder.rmdir()
        folder.mkdir()
        async with listening(folder / "second.qmp"):
            await finds.until(folder / "second.qmp")
        await finds.until()
        folder.rename(tmp_path / "old")
        folder.mkdir()
        async with listening(folder / "third.qmp"):
            await finds.until(folder / "third.qmp")


async def test_a_scan_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is made when it is due; of some in a row, one is told."""
    monkeypatch.setattr(find, "SCAN_EVERY", 0.01)
    monkeypatch.setattr(find, "SCAN_RARELY", 0.01)
    loop, failures = asyncio.get_running_loop(), asyncio.Semaphore(0)

    def fail(*_: object) -> None:
        loop.call_soon_threadsafe(failures.release)
        raise RecursionError

    async with searching(f"{tmp_path}/*.qmp") as finds, listening(tmp_path / "web.qmp"):
        await finds.until(tmp_path / "web.qmp")
        with monkeypatch.context() as patch:
            patch.setattr(find, "scan", fail)
            async with asyncio.timeout(PATIENCE):
                for _ in range(3):
                    await failures.acquire()
        async with listening(tmp_path / "next.qmp"):
            await finds.until(tmp_path / "web.qmp", tmp_path / "next.qmp")
    assert [r.message for r in caplog.records] == ["the search for monitors failed"]


@asynccontextmanager
async def slow_scans(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[threading.Event]:
    """Hold every scan that has looked until the event that it yields is set."""
    go_on = threading.Event()

    def slow(*args: object) -> Found:
        found = scan(*args)  # type: ignore[arg-type]
        go_on.wait(PATIENCE)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(find, "scan", slow)
        try:
            yield go_on
        finally:
            go_on.set()


async def test_what_inotify_names_is_found_before_a_slow_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stays found when a scan that began before it is done; what is gone is gone after it."""
    monkeypatch.setattr(find, "SCAN_EVERY", NEVER)
    first, second = tmp_path / "first.qmp", tmp_path / "second.qmp"
    async with searching(f"{tmp_path}/*.qmp") as finds:
        async with listening(first):
            await finds.until(first)
            async with slow_scans(monkeypatch) as go_on, listening(second):
                await finds.until(first, second)
                scans = finds.scans
                go_on.set()
                await finds.after(scans)
                assert finds.targets == {str(first), str(second)}
            await finds.until(first)
        await finds.until()


async def test_what_inotify_names_is_no_way_around_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more targets than there is room for, those stay that a scan found."""
    monkeypatch.setattr(find, "SCAN_EVERY", NEVER)
    b, c = tmp_path / "b.qmp", tmp_path / "c.qmp"
    async with (
        searching(f"{tmp_path}/*.qmp", limit=2) as finds,
        listening(b),
        listening(c),
    ):
        await finds.until(b, c)
        async with slow_scans(monkeypatch), listening(tmp_path / "a.qmp"):
            scans = finds.scans
            await finds.after(scans)
            assert finds.targets == {str(b), str(c)}


async def test_more_than_is_remembered_is_found_by_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many paths at once the kernel's names are not kept."""
    monkeypatch.setattr(find, "SCAN_EVERY", NEVER)
    monkeypatch.setattr(find, "NAMED", 1)
    paths = [tmp_path / f"{number}.qmp" for number in range(3)]
    async with searching(f"{tmp_path}/*.qmp") as finds, AsyncExitStack() as stack:
        for path in paths:
            await stack.enter_async_context(listening(path))
        await finds.until(*paths)


async def test_threads_that_others_hold_delay_no_scan(tmp_path: Path) -> None:
    """Such as those that look up names of hosts, at a server that does not answer."""
    answered = threading.Event()
    held = [asyncio.create_task(asyncio.to_thread(answered.wait)) for _ in range(64)]
    await asyncio.sleep(0)  # they begin
    try:
        async with (
            listening(tmp_path / "web.qmp"),
            asyncio.timeout(PATIENCE),
            searching(f"{tmp_path}/*.qmp") as finds,
        ):
            await finds.until(tmp_path / "web.qmp")
    finally:
        answered.set()
        await asyncio.wait(held)
