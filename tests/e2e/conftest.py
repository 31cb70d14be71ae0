"""What tests with a real QEMU share."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from e2e.browser import chromium
from qmp_exporter.qmp.connection import Connection
from recorder import strangers
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser


@pytest.fixture
def qemu() -> str:
    """The QEMU that is tested with."""
    return require_tool(os.environ.get("QEMU") or "qemu-system-x86_64")


@pytest.fixture
def place(qemu: str, tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001 - nothing without it
    """A directory for machines, which must be empty again when the test is over."""
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def spice_place(qemu: str, place: Path) -> Path:
    """The same, for machines with SPICE, which some packages of QEMU leave to another."""
    told = subprocess.run([qemu, "-spice", "help"], capture_output=True, text=True, check=False)
    if "spice options" not in told.stdout:
        message = f"{qemu} has no SPICE: install qemu-system-modules-spice"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return place


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests that need one; these run in the loop of the session."""
    async with chromium() as running:
        yield running


class Recorded(socket.socket):
    """A socket that keeps what is sent."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.sent = bytearray()

    def send(self, data: Any, flags: int = 0) -> int:
        """Send, and keep what the kernel has taken."""
        count = super().send(data, flags)
        self.sent += bytes(data)[:count]
        return count

    def sendmsg(self, buffers: Any, *others: Any) -> int:
        """Do the same, from several buffers."""
        data = b"".join(map(bytes, buffers))
        count = super().sendmsg(buffers, *others)
        self.sent += data[:count]
        return count


@pytest.fixture(autouse=True)
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recorded]]:
    """The exporter's connections; a test fails if one sends what is not on the list."""
    recorded: list[Recorded] = []
    begin = Connection.__init__

    def recording(self: Connection, sock: socket.socket, *args: Any) -> None:
        recorded.append(Recorded(sock))
        begin(self, recorded[-1], *args)

    monkeypatch.setattr(Connection, "__init__", recording)
    yield recorded
    assert not recorded or any(sock.sent for sock in recorded)
    for sock in recorded:
        assert strangers(bytes(sock.sent)) == []
