"""What tests with a real QEMU share."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from e2e.browser import chromium
from e2e.lab import generation
from e2e.page import Exporter
from qmp_exporter.qmp.connection import Connection
from recorder import strangers
from support import missing


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser

    from e2e.page import Page


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what does not apply to this QEMU, and say why."""
    item.user_properties += (("shows", event) for event in generation.claims(item))
    for why in generation.obstacles(item):
        pytest.skip(f"not on QEMU {generation.told(generation.binary())}: {why}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the scenarios that do not apply."""
    skipped = terminalreporter.stats.get("skipped", ())
    apart = [(report.nodeid, report.longrepr[2]) for report in skipped]
    if apart := [(name, why) for name, why in apart if "not on QEMU" in why]:
        terminalreporter.section("scenarios that do not apply")
        for name, why in apart:
            terminalreporter.line(f"{name}: {why.removeprefix('Skipped: ')}")


@pytest.fixture
def qemu() -> str:
    """The QEMU that is tested with."""
    return generation.binary()


@pytest.fixture
def version(qemu: str) -> tuple[int, ...]:
    """Its major and minor version."""
    return generation.version_of(qemu)


@pytest.fixture(autouse=True)
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold a test to the events that it says it shows: a page that was scraped counted them."""
    counted: set[str] = set()
    scrape = Exporter.page

    async def page(self: Exporter) -> Page:
        found = await scrape(self)
        counted.update(
            dict(labels)["event"]
            for (name, labels), value in found.samples.items()
            if name == "qemu_events_total" and value
        )
        return found

    monkeypatch.setattr(Exporter, "page", page)
    yield
    assert counted >= set(generation.claims(request.node))


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
        missing(f"{qemu} has no SPICE: install qemu-system-modules-spice")
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
