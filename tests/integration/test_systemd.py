"""The exporter under systemd's own tools: sockets it inherits, and what it tells."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from integration.test_process import PROGRAM, fetched
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 20.0


@contextmanager
def activated(
    *sockets: str, options: tuple[str, ...] = (), folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """An exporter that systemd-socket-activate starts at the first connection."""
    tool = require_tool("systemd-socket-activate")
    listens = [f"--listen={one}" for one in sockets]
    program = [*PROGRAM, "--web.systemd-socket", "--qmp.socket", f"{folder}/vm"]
    with subprocess.Popen(
        [tool, *listens, *options, "--", *program], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def until_there(path: Path) -> None:
    """Until something listens at a path."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_serves_on_sockets_that_systemd_opened(tmp_path: Path) -> None:
    """TCP and unix at once; the first connection, which made it start, is answered, too."""
    path, port = tmp_path / "web.sock", free()
    with activated(f"127.0.0.1:{port}", str(path), folder=tmp_path) as process:
        until_there(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.0 200 OK\r\n")
        assert "qemu_up" in fetched(f"http://127.0.0.1:{port}/metrics")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert f"listens on http://127.0.0.1:{port}, unix:{path}" in log
    assert "Traceback" not in log
    assert path.exists(), "it is systemd's"


def test_a_socket_that_is_none_of_streams_is_named(tmp_path: Path) -> None:
    """With its descriptor and its name; one line and status 1."""
    path = tmp_path / "datagrams"
    options = ("--datagram", "--fdname=scrapes")
    with activated(str(path), options=options, folder=tmp_path) as process:
        until_there(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(str(path))
            client.send(b"x")
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert log.splitlines()[-1] == (
        "qmp-exporter: descriptor 3 (scrapes) of systemd: found a socket that does not listen for"
        " streams; expected ListenStream= of TCP or a path"
    )


NO_SOCKET = re.escape(
    "qmp-exporter: found no socket of systemd; expected at least one, from a .socket unit or"
    " systemd-socket-activate (--web.systemd-socket)\n"
)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, NO_SOCKET),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, NO_SOCKET),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "{}"}, NO_SOCKET),
        ({"LISTEN_FDS": "x", "LISTEN_PID": "{}"}, NO_SOCKET),
        (
            {"LISTEN_FDS": "1", "LISTEN_PID": "{}"},
            r"qmp-exporter: descriptor 3 of systemd: found [A-Z][a-z -]+; expected a socket\n",
        ),
    ],
)
def test_no_socket_is_one_line_and_status_1(
    environment: dict[str, str], says: str, tmp_path: Path
) -> None:
    """None at all, those of another process, or a descriptor that is not open."""
    code = (
        "import os, sys\n"
        f"os.environ.update({{k: v.format(os.getpid()) for k, v in {environment!r}.items()}})\n"
        f"os.execv({sys.executable!r}, {[*PROGRAM, '--web.systemd-socket']!r} + sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--qmp.socket", f"{tmp_path}/vm"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert re.fullmatch(says, done.stderr)


# What it tells


@contextmanager
def notified(folder: Path, **environment: str) -> Iterator[tuple[str, socket.socket]]:
    """An exporter that tells a socket of ours; its URL is that of the log."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(PATIENCE)
        with subprocess.Popen(
            [*PROGRAM, "--web.listen-address", "127.0.0.1:0", "--qmp.socket", f"{folder}/vm"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"NOTIFY_SOCKET": str(path)} | environment,
        ) as process:
            try:
                assert process.stderr is not None
                found = re.search(r"listens on (http://[0-9.:]+)", process.stderr.readline())
                assert found
                yield found[1], sock
                process.send_signal(signal.SIGTERM)
                until(sock, "STOPPING=1")
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()


def until(sock: socket.socket, wanted: str) -> list[str]:
    """What is told until something is, of which that is the begin."""
    lines: list[str] = []
    while not (lines and lines[-1].startswith(wanted)):
        lines += sock.recv(4096).decode().splitlines()[:1]
    return lines


def test_it_tells_of_its_life(tmp_path: Path) -> None:
    """Ready when it serves, how many monitors there are, each reload from begin to end."""
    with notified(tmp_path) as (url, sock):
        assert until(sock, "READY") == ["READY=1"]
        assert "ready" in fetched(f"{url}/-/ready")
        assert until(sock, "STATUS") == ["STATUS=1 monitors, 0 connected"]
        request = urllib.request.Request(f"{url}/-/reload", method="POST")  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
            assert response.status == 200
        assert until(sock, "READY") == ["RELOADING=1", "READY=1"]


def test_it_feeds_the_watchdog(tmp_path: Path) -> None:
    """For as long as it runs, about twice in the time that the unit gives it."""
    with notified(tmp_path, WATCHDOG_USEC="1000000") as (_, sock):
        for _ in range(3):
            until(sock, "WATCHDOG=1")
