"""The exporter as a process: how it begins, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from qmp_exporter import __version__


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = (sys.executable, "-m", "qmp_exporter")


@contextmanager
def running(
    *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the exporter; yield the process, its URL and the line of the log that says it."""
    with subprocess.Popen(
        [*PROGRAM, "--web.listen-address", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"listens on (http://[0-9.:]+)", line)
            assert found, line
            yield process, found[1], line
        finally:
            process.kill()


def fetched(url: str) -> str:
    """What an URL answers."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - it is ours
        text: str = response.read().decode()
        return text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_time_and_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """Within five seconds, with status 0 and nothing to say, also with a client that stays."""
    with running("--qmp.socket", f"{tmp_path}/vm.sock") as (process, url, _):
        assert "qemu_up" in fetched(f"{url}/metrics")
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")  # and no end of it
            began = time.monotonic()
            process.send_signal(number)
            _, log = process.communicate(timeout=10)
        assert time.monotonic() - began < 5
    assert process.returncode == 0
    assert "Traceback" not in log
    assert "never retrieved" not in log


def test_it_serves_before_any_vm_is_there(tmp_path: Path) -> None:
    """A sidecar starts before QEMU: it is ready, healthy, and says that the VM is not up."""
    with running("--qmp.socket", f"{tmp_path}/vm.sock") as (_, url, _):
        assert "ready" in fetched(f"{url}/-/ready")
        assert "healthy" in fetched(f"{url}/-/healthy")
        assert 'qemu_up{vm="vm"} 0\n' in fetched(f"{url}/metrics")
        assert f"{tmp_path}/vm.sock" in fetched(f"{url}/")


def test_it_is_set_by_its_environment(tmp_path: Path) -> None:
    """Sockets one a line, a path of its own, its log as JSON."""
    environment = {
        "QMP_EXPORTER_QMP_SOCKET": f"{tmp_path}/a.sock\n{tmp_path}/b.sock\n",
        "QMP_EXPORTER_WEB_TELEMETRY_PATH": "/m",
        "QMP_EXPORTER_LOG_FORMAT": "json",
    }
    with running(environment=environment) as (_, url, line):
        assert json.loads(line)["logger"] == "app"
        text = fetched(f"{url}/m?name[]=qemu_up")
        assert 'qemu_up{vm="a"} 0\n' in text
        assert 'qemu_up{vm="b"} 0\n' in text


def test_it_is_set_by_a_file(tmp_path: Path) -> None:
    """Monitors with names and labels of their own, beside the file."""
    path = tmp_path / "c.yml"
    path.write_text(
        """
        qmp:
          socket: [./a.sock, {path: ./b.sock, name: bravo}]
          listen: ./in.sock
        listen: {mode: "0660"}
        web: {telemetry_path: /m}
        """
    )
    with running("--config.file", str(path)) as (_, url, _line):
        text = fetched(f"{url}/m?name[]=qemu_up")
        assert 'qemu_up{vm="a"} 0\n' in text
        assert 'qemu_up{vm="bravo"} 0\n' in text
        listener = (tmp_path / "in.sock").stat()
        assert stat.S_ISSOCK(listener.st_mode)
        assert stat.S_IMODE(listener.st_mode) == 0o660


def test_what_is_set_is_shown_as_utf_8(tmp_path: Path) -> None:
    """Whatever the locale, in which the terminal may know no such character."""
    path = tmp_path / "c.yml"
    path.write_text("qmp: {socket: {path: /a, name: \u96ea}}", encoding="utf-8")
    found = subprocess.run(
        [*PROGRAM, "--config.check", "--config.file", str(path)],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert found.stderr == b""
    assert "      name: \u96ea\n".encode() in found.stdout


def test_yaml_is_imported_for_a_file_alone() -> None:
    """--version, --help and the demo are quick without."""
    code = "import sys, qmp_exporter.cli as c; c._parsed([]); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"yaml", "aiohttp"} & set(found.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "no monitor to watch"),
        (["--vm.grace", "soon", "--qmp.socket", "/a"], 2, "--vm.grace: found 'soon'"),
        (["--no-such-flag"], 2, "--no-such-flag"),
        (["--config.file", "/dev/null/c.yml"], 2, "/dev/null/c.yml: Not a directory; expected a"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments: list[str], status: int, says: str) -> None:
    """Without a traceback, before anything is bound."""
    found = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == status
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert line.startswith("qmp-exporter: ")
    assert says in line


def test_an_address_that_is_taken_is_one_line_and_status_1(tmp_path: Path) -> None:
    """It names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--qmp.socket", f"{tmp_path}/vm", "--web.listen-address", address]
        found = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr == f"qmp-exporter: cannot listen on {address}: Address already in use\n"


def test_version_and_help_need_nothing() -> None:
    """Neither a monitor nor an address."""
    found = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == f"qmp-exporter {__version__}\n"
    found = subprocess.run([*PROGRAM, "demo", "--help"], capture_output=True, text=True, check=True)
    assert "--replay" in found.stdout
    assert found.stderr == ""
