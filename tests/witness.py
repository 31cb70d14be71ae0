"""A witness for tests with a real QEMU: hears what it says, shares no code with the exporter."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.demo import Machine


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager


PATIENCE = 30.0
EVENTS_ON = {"capabilities": [{"capability": "events", "state": True}]}


class Ear:
    """What the exporter's monitor of one machine says, with a client that shares no code."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.ready = False
        self._news = asyncio.Condition()

    @property
    def names(self) -> list[str]:
        """The events heard so far."""
        return [event["event"] for event in self.heard]

    async def listen(self, path: Path, *, migrations: bool = False) -> None:
        """Connect, and hear until QEMU hangs up."""
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            commands: list[dict[str, Any]] = [{"execute": "qmp_capabilities"}]
            if migrations:
                commands += [{"execute": "migrate-set-capabilities", "arguments": EVENTS_ON}]
            for number, command in enumerate(commands, 1):
                writer.write(json.dumps({**command, "id": number}).encode())
            with suppress(ConnectionResetError):
                while line := await reader.readline():
                    message = json.loads(line)
                    async with self._news:
                        if "event" in message:
                            self.heard.append(message)
                        self.ready |= message.get("id") == len(commands)
                        self._news.notify_all()
        finally:
            writer.close()

    async def wait(self, reached: Callable[[], bool]) -> None:
        """Wait for something to become true by what is heard."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(reached)

    async def hear(self, *names: str) -> list[dict[str, Any]]:
        """Wait for these events in this order, others may stand between; return their data."""
        found: list[dict[str, Any]] = []

        def reached() -> bool:
            found.clear()
            stream = iter(self.heard)
            for name in names:
                event = next((event for event in stream if event["event"] == name), None)
                if event is None:
                    return False
                found.append(event.get("data", {}))
            return True

        try:
            await self.wait(reached)
        except TimeoutError:
            pytest.fail(f"expected {names}, heard {self.names}")
        return found


def listening(machine: Machine, *, migrations: bool = False) -> AbstractAsyncContextManager[Ear]:
    """Be the client of a machine's monitor for the exporter."""
    return hearing(machine.monitor, migrations=migrations)


@asynccontextmanager
async def hearing(path: Path, *, migrations: bool = False) -> AsyncIterator[Ear]:
    """Be the client of a monitor."""
    ear = Ear()
    task = asyncio.create_task(ear.listen(path, migrations=migrations))
    try:
        await ear.wait(lambda: ear.ready)
        yield ear
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def lab(
    directory: Path, *args: str, migrations: bool = False
) -> AsyncIterator[tuple[Machine, Ear]]:
    """Run a machine and listen to it."""
    async with (
        Machine(directory, "vm", *args) as machine,
        listening(machine, migrations=migrations) as ear,
    ):
        yield machine, ear


def alive(pid: int) -> bool:
    """Tell whether a process exists that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
