"""Every line for QEMU that the pages and units give, started on a real QEMU.

A QEMU that a line is not for has to refuse it: then the page is right about versions, too.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from e2e.lab import generation


if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    ROOT / "docs/platforms.md",
    *(ROOT / f"docs/howto/{name}.md" for name in ("libvirt", "proxmox", "incus")),
    ROOT / "README.md",
    *sorted((ROOT / "deploy/systemd").iterdir()),
)

REFUSALS: Final = r"Invalid parameter|invalid object type|not a valid|does not accept value"
"""What QEMU says to a line that it is too old or too new for; 7.2, 10.0 and 11.1 differ."""

PATIENCE: Final = 30.0
"""Seconds to wait for QEMU; many times what it takes."""

OPTION: Final = r"(?:,[a-z-]+=[\w./-]+)+"
SHORT: Final = re.compile(rf"unix:(?P<path>/[^\s,]+){OPTION}")
LONG: Final = re.compile(
    rf"-chardev socket,id=\w+,path=(?P<path>/[^\s,]+){OPTION} (?:-mon|-object) [\w,=-]+"
)


def lines() -> list[str]:
    """Return all lines of all pages, each once."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        for pattern in (SHORT, LONG):
            found |= dict.fromkeys(match[0] for match in pattern.finditer(text))
    return list(found)


LINES: Final = lines()
LISTENING: Final = [line for line in LINES if "server=on" in line]
DIALLING: Final = [line for line in LINES if "server=on" not in line]


def arguments(line: str, path: Path) -> list[str]:
    """Return the arguments that a line is, with another path."""
    match = SHORT.fullmatch(line) or LONG.fullmatch(line)
    assert match
    line = line.replace(match["path"], str(path))
    return line.split() if line.startswith("-") else ["-qmp", line]


def meant_for(line: str, version: tuple[int, ...]) -> bool:
    """Whether this version of QEMU takes a line, as docs/platforms.md says."""
    if "monitor-qmp" in line:
        return version >= (11, 1)
    if "reconnect-ms=" in line:
        return version >= (9, 2)
    return "reconnect=" not in line or version < (10, 2)


@contextmanager
def running(*args: str) -> Iterator[subprocess.Popen[str]]:
    """Run a QEMU without any machine."""
    command = [
        generation.binary(),
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "none",
    ]
    with subprocess.Popen(
        [*command, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def greeting(sock: socket.socket) -> str:
    """Return the first line that a monitor sends."""
    sock.settimeout(PATIENCE)
    with sock, sock.makefile() as stream:
        return stream.readline()


def dialled(path: Path, process: subprocess.Popen[str]) -> str:
    """Return the greeting of a monitor that listens, as soon as it does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return greeting(sock)


@contextmanager
def listener(path: Path) -> Iterator[socket.socket]:
    """Listen where QEMU dials in."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        sock.settimeout(PATIENCE)
        yield sock


def refused(*args: str) -> str:
    """Return what a QEMU says that does not take these arguments."""
    with running(*args) as process:
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        return said


def test_the_pages_have_lines_for_both_ways() -> None:
    """No line with an option of a socket escapes this test, whatever is around it."""
    assert LISTENING
    assert DIALLING
    for page in PAGES:
        rest = LONG.sub("", SHORT.sub("", page.read_text()))
        assert "server=" not in rest, page
        assert "socket,id" not in rest, page


@pytest.mark.parametrize("line", LISTENING)
def test_a_line_that_listens(line: str, tmp_path: Path) -> None:
    """The exporter connects and is greeted."""
    path = tmp_path / "qmp"
    with running(*arguments(line, path)) as process:
        assert dialled(path, process).startswith('{"QMP":')


@pytest.mark.parametrize("line", DIALLING)
def test_a_line_that_dials_in(line: str, version: tuple[int, ...], tmp_path: Path) -> None:
    """QEMU dials in and greets; one of a version that the line is not for says so and ends."""
    path = tmp_path / "qmp"
    args = arguments(line, path)
    if not meant_for(line, version):
        assert re.search(REFUSALS, refused(*args))
        return
    with listener(path) as sock, running(*args):
        assert greeting(sock.accept()[0]).startswith('{"QMP":')


@pytest.fixture
def dials(version: tuple[int, ...]) -> str:
    """A line for this QEMU that dials in, every second."""
    line = next(line for line in DIALLING if meant_for(line, version) and SHORT.fullmatch(line))
    return line.replace("reconnect=5", "reconnect=1").replace("-ms=5000", "-ms=1000")


def test_a_machine_starts_without_the_exporter(dials: str, tmp_path: Path) -> None:
    """Nobody listens and not even the directory is there: QEMU runs, and dials in later."""
    path, other = tmp_path / "later/qmp", tmp_path / "other"
    args = arguments(dials, path)
    with running(*args, "-qmp", f"unix:{other},server=on,wait=off") as process:
        assert dialled(other, process)
        path.parent.mkdir()
        with listener(path) as sock:
            assert greeting(sock.accept()[0])
            assert greeting(sock.accept()[0]), "once more, after the exporter's end"


def test_a_machine_does_not_start_without_reconnect(dials: str, tmp_path: Path) -> None:
    """Why the page says never to leave reconnect out."""
    line = re.sub(r",reconnect(-ms)?=\d+", "", dials)
    assert "Failed to connect" in refused(*arguments(line, tmp_path / "qmp"))


def test_a_machine_does_not_start_without_the_directory(tmp_path: Path) -> None:
    """Where QEMU listens, the directory comes first."""
    said = refused(*arguments(LISTENING[0], tmp_path / "missing/qmp"))
    assert "Failed to bind socket" in said


@contextmanager
def as_the_unit_does(place: Path) -> Iterator[str]:
    """Run the exporter with the environment of its unit, below `place`; yield its URL."""
    unit = (ROOT / "deploy/systemd/qmp-exporter.service").read_text()
    found = re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE)
    environment = {name: value.replace("/run/", f"{place}/") for name, value in found}
    with subprocess.Popen(
        [sys.executable, "-m", "qmp_exporter", "--web.listen-address", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        try:
            assert process.stderr is not None
            bound = re.search(r"listens on (http://[0-9.:]+)", process.stderr.readline())
            assert bound
            yield bound[1]
        finally:
            process.kill()


def test_the_unit_takes_machines_both_ways(dials: str, tmp_path: Path) -> None:
    """What the unit sets is enough for a machine that listens and one that dials in."""
    for name in ("qemu", "qmp-exporter"):
        (tmp_path / name).mkdir()
    listens = arguments(LISTENING[0], tmp_path / "qemu/one.qmp")
    dialling = arguments(dials, tmp_path / "qmp-exporter/qmp.sock")
    with (
        running("-name", "one", *listens),
        running("-name", "two", *dialling),
        as_the_unit_does(tmp_path) as url,
    ):
        wanted = {'qemu_up{vm="one"} 1', 'qemu_up{vm="two"} 1'}
        deadline = time.monotonic() + PATIENCE
        while not wanted <= set(page(url)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def page(url: str) -> list[str]:
    """Return the lines of the exporter's page."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:  # noqa: S310 - it is ours
        return response.read().decode().splitlines()  # type: ignore[no-any-return]
