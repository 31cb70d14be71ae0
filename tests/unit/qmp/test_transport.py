"""A QEMU that dials in: its connections, and how its end is known."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.catalog.states import TargetState
from qmp_exporter.errors import GoneError
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.transport import DialledIn
from unit.qmp.watching import PATIENCE


if TYPE_CHECKING:
    from collections.abc import Iterator


class Handed:
    """What stands for a connection: all that matters here is whose it is."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        self.closed = False

    async def close(self) -> None:
        """Close it."""
        self.closed = True


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def handed(pid: int | None) -> Any:
    """A connection of a process."""
    return Handed(pid)


async def next_of(transport: DialledIn) -> Any:
    """What the transport comes up with."""
    async with asyncio.timeout(PATIENCE):
        return await transport.connection()


async def test_what_dials_in_is_handed_on_once(process: subprocess.Popen[bytes]) -> None:
    """And again when it dials in again, however long that takes while its process lives."""
    transport = DialledIn(Timing(redial=0.01))
    for _ in range(2):
        connection = handed(process.pid)
        assert transport.free
        transport.take(connection)
        assert not transport.free
        assert await next_of(transport) is connection
        waiting = asyncio.create_task(transport.connection())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        waiting.cancel()
    assert await transport.pause(1, TargetState.CONNECTING) is True
    transport.wake()
    await transport.close()


async def test_the_end_of_its_process_is_told_once_and_at_once(
    process: subprocess.Popen[bytes],
) -> None:
    """By the kernel; after that, another process may dial in."""
    transport = DialledIn(Timing(redial=0.01))
    transport.take(handed(process.pid))
    await next_of(transport)
    process.kill()
    with pytest.raises(GoneError, match="process has ended"):
        await next_of(transport)
    waiting = asyncio.create_task(transport.connection())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    connection = handed(os.getpid())
    transport.take(connection)
    assert await waiting is connection
    await transport.close()


async def test_a_process_that_ended_before_it_could_be_watched_is_told_too(
    process: subprocess.Popen[bytes],
) -> None:
    """What it said is told first."""
    process.kill()
    process.wait()
    transport = DialledIn(Timing(redial=60))
    connection = handed(process.pid)
    transport.take(connection)
    assert await next_of(transport) is connection
    with pytest.raises(GoneError):
        await next_of(transport)
    await transport.close()


@pytest.mark.parametrize("why", ["no pid", "no right"])
async def test_a_process_that_cannot_be_seen_has_some_time_to_dial_in_again(
    monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Of another pid namespace, or on a kernel that does not tell."""

    def refused(_: int) -> int:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "pidfd_open", refused)
    transport = DialledIn(Timing(redial=0.2))
    pid = None if why == "no pid" else os.getpid()
    transport.take(handed(pid))
    await next_of(transport)
    transport.take(handed(pid))
    await next_of(transport)
    with pytest.raises(GoneError, match="dial in again"):
        await next_of(transport)
    waiting = asyncio.create_task(transport.connection())
    await asyncio.sleep(0.3)
    assert not waiting.done()  # it was told
    waiting.cancel()
    await transport.close()


async def test_nothing_is_left_of_it(process: subprocess.Popen[bytes]) -> None:
    """Neither a descriptor nor a connection that nobody asked for."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    for _ in range(20):
        transport = DialledIn(Timing())
        transport.take(handed(process.pid))
        last = handed(process.pid)
        transport.take(last)
        await transport.close()
        assert last.closed
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count
