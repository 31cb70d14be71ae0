"""What the service manager is told."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.service import Service


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def manager(path: str) -> Iterator[socket.socket]:
    """A socket of a service manager at a path, or at an abstract name with @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path.replace("@", "\0", 1))
        sock.settimeout(10)
        yield sock


def told(sock: socket.socket) -> list[str]:
    """The next message, by lines."""
    return sock.recv(4096).decode().splitlines()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a service manager is."""
    return f"@{tmp_path}" if request.param == "abstract" else f"{tmp_path}/notify"


def test_it_is_told_what_happens(address: str) -> None:
    """Ready, reloading with the time of that, a line of status when it changes, and the end."""
    environment = {"NOTIFY_SOCKET": address, "OTHER": "x"}
    with manager(address) as sock:
        service = Service(environment)
        service.ready()
        assert told(sock) == ["READY=1"]
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        service.reloading()
        first, second = told(sock)
        assert first == "RELOADING=1"
        name, _, value = second.partition("=")
        assert name == "MONOTONIC_USEC"
        assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        for text in ("1 monitors", "1 monitors", "2 monitors"):
            service.status(text)
        assert told(sock) == ["STATUS=1 monitors"]
        assert told(sock) == ["STATUS=2 monitors"]
        service.alive(0.0)  # nobody asked
        service.stopping()
        assert told(sock) == ["STOPPING=1"]
    assert environment == {"OTHER": "x"}


@pytest.mark.parametrize("pid", [None, str(os.getpid())])
def test_the_watchdog_is_told_at_half_its_time(address: str, pid: str | None) -> None:
    """Not more often, whatever the tick is."""
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}
    if pid is not None:
        environment["WATCHDOG_PID"] = pid
    with manager(address) as sock:
        service = Service(environment)
        for now in (1.0, 2.0, 15.9, 16.0, 17.0, 31.5):
            service.alive(now)
        service.stopping()
        assert [told(sock) for _ in range(4)] == [["WATCHDOG=1"]] * 3 + [["STOPPING=1"]]
    assert environment == {}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_PID": "1", "WATCHDOG_USEC": "1"},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "0"},
    ],
)
def test_a_watchdog_of_nobody_or_another_is_not_told(
    address: str, environment: dict[str, str]
) -> None:
    """A parent's, or one that makes no sense."""
    with manager(address) as sock:
        service = Service({"NOTIFY_SOCKET": address, **environment})
        service.alive(1.0)
        service.stopping()
        assert told(sock) == ["STOPPING=1"]


@pytest.mark.parametrize("where", ["", "/nowhere/notify", "@nobody", "vsock:2:1234", "x", "@"])
def test_nobody_to_tell_is_no_failure(where: str) -> None:
    """Not even where there was somebody."""
    service = Service({"NOTIFY_SOCKET": where, "WATCHDOG_USEC": "1"})
    service.ready()
    service.reloading()
    service.status("x")
    service.alive(1.0)
    service.stopping()
