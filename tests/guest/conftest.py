"""What scenarios with a real Linux share: a guest that has booted, and the exporter over it.

One boot serves many scenarios; a guest that has ended, or does not answer, is followed by another.
Each scenario has an exporter of its own, so all counts begin at 0, but for those that QEMU keeps.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import e2e.page
import qmp_exporter.demo.machine
from e2e.conftest import wire
from e2e.page import Exporter, exporting
from linux.guest import DEVICES, PATIENCE, Guest
from linux.initramfs import Linux
from otlp import Receiver
from qmp_exporter.config.otel import read_otel
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


__all__ = ["wire"]  # which holds the exporter to its list of commands, here too


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest takes its time, on a machine that is slow even more."""
    monkeypatch.setattr(e2e.page, "PATIENCE", PATIENCE)
    monkeypatch.setattr(qmp_exporter.demo.machine, "PATIENCE", PATIENCE)


class Host:
    """Boots guests, one at a time, in a folder."""

    def __init__(self, folder: Path, linux: Linux) -> None:
        self._folder = folder
        self._linux = linux
        self._initramfs = folder / "initramfs"
        self._initramfs.write_bytes(linux.initramfs())
        self._guest: Guest | None = None

    async def guest(self) -> Guest:
        """Return a guest that has booted and waits for commands."""
        if self._guest is None or not await self._guest.idle():
            await self.close()
            guest = Guest(self._folder, self._linux.kernel, self._initramfs, *DEVICES)
            self._guest = await guest.__aenter__()
        await self._guest.execute(
            "set-action", panic="pause", watchdog="pause", shutdown="poweroff", reboot="reset"
        )
        return self._guest

    async def close(self) -> None:
        """End the guest."""
        if self._guest is not None:
            await self._guest.close()


@pytest.fixture(scope="session")
def linux() -> Linux:
    """What guests run."""
    require_tool(os.environ.get("QEMU") or "qemu-system-x86_64")
    folder = Path(os.environ.get("LINUX", "none"))
    if not folder.is_dir():
        pytest.fail("there is no Linux: run these with scripts/guest")
    return Linux(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def host(linux: Linux) -> AsyncIterator[Host]:
    """Where guests are booted."""
    with tempfile.TemporaryDirectory(prefix="guest") as folder:  # a short name, for sockets
        found = Host(Path(folder), linux)
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def guest(host: Host) -> AsyncIterator[Guest]:
    """A guest that has booted."""
    found = await host.guest()
    yield found
    print(found.log())  # noqa: T201 - pytest shows it where the scenario fails


@pytest_asyncio.fixture(loop_scope="session")
async def exporter(guest: Guest) -> AsyncIterator[Exporter]:
    """The exporter, which has read the guest's state."""
    async with exporting(guest.monitor) as found:
        await found.ready(guest)
        yield found
        events = (await found.page()).rows("qemu_events_total", "event")
        print("events:", events)  # noqa: T201 - as above


@pytest_asyncio.fixture(loop_scope="session")
async def collector(guest: Guest) -> AsyncIterator[Receiver]:
    """What an exporter over the guest exports to, which has read the guest's state."""
    async with Receiver() as receiver:
        otel = read_otel(receiver.environment())
        async with exporting(guest.monitor, otel=otel) as found:
            await found.ready(guest)
            yield receiver
