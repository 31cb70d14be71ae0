"""The package for Debian 12: installed, run as its unit says, and removed without a trace.

The tests are steps of one installation, in this order.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from apart.table import show
from e2e.page import Page
from package.conftest import ROOT
from package.debian import Debian, fields
from package.unit import read, started
from qmp_exporter import __version__
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.demo import Machine
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import Iterator

    from package.conftest import Dist


SCORE = 1.8
"""Of `systemd-analyze security`, systemd 252; less is better."""

UNITS = "lib/systemd/system"
DEFAULT = "etc/default/qmp-exporter"


class Installed:
    """The package, in a Debian that has its dependencies and nothing else."""

    def __init__(self, debian: Debian, package: Path) -> None:
        self.debian = debian
        self.before = debian.files()
        self.packages = debian.packages()
        shutil.copy(package, debian.path / "tmp/qmp-exporter.deb")
        self.said = debian.run("apt-get -q -y install /tmp/qmp-exporter.deb")

    @property
    def service(self) -> str:
        """The unit."""
        return (self.debian.path / UNITS / "qmp-exporter.service").read_text()


@pytest.fixture(scope="module")
def installed(dist: Dist) -> Iterator[Installed]:
    """The package, installed."""
    require_tool("qemu-system-x86_64")
    with (
        tempfile.TemporaryDirectory(prefix="deb") as folder,
        Debian(Path(folder, "root"), fields(dist.deb)["Depends"]) as debian,
    ):
        yield Installed(debian, dist.deb)


def test_lintian(dist: Dist) -> None:
    """Debian's own checks have nothing to say that is not answered in lintian-overrides."""
    command = [require_tool("lintian"), "--allow-root", "--fail-on", "error,warning", dist.deb]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_scripts_are_sound(dist: Dist, tmp_path: Path) -> None:
    """What runs as root on installation is short of surprises."""
    subprocess.run(["dpkg-deb", "-e", dist.deb, tmp_path / "control"], check=True)
    scripts = [tmp_path / "control" / name for name in ("postinst", "prerm", "postrm")]
    command = [require_tool("shellcheck"), *scripts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_names_no_place(dist: Dist, tmp_path: Path) -> None:
    """No file has a path of the machine that built it, and nothing is compiled on it."""
    subprocess.run(["dpkg-deb", "-x", dist.deb, tmp_path / "tree"], check=True)
    files = [path for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert str(ROOT).encode() not in path.read_bytes(), path
    assert not [path for path in files if path.suffix == ".pyc" or path.name == "direct_url.json"]


def test_depends_on_enough(installed: Installed) -> None:
    """One package is installed: all that it names was there, and nothing else is wanted."""
    assert "1 newly installed, 0 to remove" in installed.said
    shown = installed.debian.run("dpkg-query -W -f ${Status} qmp-exporter")
    assert shown == "install ok installed"
    assert installed.debian.run("dpkg --verify qmp-exporter") == ""


def test_version(installed: Installed) -> None:
    """It runs on Debian's Python."""
    assert installed.debian.run("qmp-exporter --version").split()[-1] == __version__
    python = "/usr/lib/qmp-exporter/bin/python3"
    said = installed.debian.run(f"{python} -c 'import sys; print(sys.version_info[:2])'")
    assert said.strip() == "(3, 11)"


def test_libraries(installed: Installed, dist: Dist) -> None:
    """Every compiled library finds those that it is linked with, in packages that are named."""
    root = installed.debian.path
    found = [f"/{path.relative_to(root)}" for path in root.glob("usr/lib/qmp-exporter/**/*.so")]
    assert found
    said = installed.debian.run("ldd", *found)
    assert "not found" not in said
    names = {f"*/{name}" for name in re.findall(r"=> \S+/(\S+) ", said)}
    owners = re.findall(r"^([^:]+):", installed.debian.run("dpkg -S", *names), re.MULTILINE)
    assert {"libc6", "libstdc++6"} <= set(owners)
    depends = {one.split()[0] for one in fields(dist.deb)["Depends"].split(", ")}
    assert set(owners) <= depends


def test_compiled_once(installed: Installed) -> None:
    """All modules are compiled on installation: whoever runs it writes nothing into /usr."""
    root = installed.debian.path / "usr/lib/qmp-exporter"
    before = set(root.rglob("*.pyc"))
    assert len(before) > 500
    installed.debian.run("qmp-exporter --version")
    assert set(root.rglob("*.pyc")) == before


def test_units_are_those_of_the_source(installed: Installed) -> None:
    """The units are those of deploy/systemd, but for where the program is."""
    units = ROOT / "deploy/systemd"
    source = (units / "qmp-exporter.service").read_text().splitlines()
    pairs = zip(source, installed.service.splitlines(), strict=True)
    changed = [new for old, new in pairs if old != new]
    assert read(installed.service, "Service")["ExecStart"] == ["/usr/bin/qmp-exporter"]
    assert [line for line in changed if line != "ExecStart=/usr/bin/qmp-exporter"] == []
    found = (installed.debian.path / UNITS / "qmp-exporter.socket").read_text()
    assert found == (units / "qmp-exporter.socket").read_text()


def test_units_are_sound(installed: Installed) -> None:
    """There is no fault in them for systemd, and the service as locked in as it ever was."""
    names = [f"/{UNITS}/qmp-exporter.{kind}" for kind in ("service", "socket")]
    assert installed.debian.run("systemd-analyze verify --man=no", *names) == ""
    command = "systemd-analyze security --offline=true --no-pager"
    said = installed.debian.run(command, names[0])
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert score is not None, said
    assert float(score[1]) <= SCORE, said


def test_enabled(installed: Installed) -> None:
    """The service starts with the machine; the socket does where somebody wants it."""
    wanted = installed.debian.path / "etc/systemd/system"
    link = wanted / "multi-user.target.wants/qmp-exporter.service"
    assert str(link.readlink()) == f"/{UNITS}/qmp-exporter.service"
    assert not list(wanted.glob("sockets.target.wants/qmp-exporter*"))


def test_variables_exist(installed: Installed) -> None:
    """Every variable in /etc/default/qmp-exporter, each in a comment, is one that is read."""
    lines = (installed.debian.path / DEFAULT).read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)
    named = {line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z_]+=", line)}
    known = {flag.variable for flag in FLAGS} | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert named
    assert named <= known


async def test_service_shows_machines(installed: Installed) -> None:
    """As the unit starts it, as its user, it shows real machines of both ways, and ends in 5 s."""
    root = installed.debian.path
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (root / DEFAULT).open("a") as file:
        file.write(f"QMP_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:{port}\n")
    machines = root / "run/qemu"
    machines.mkdir(mode=0o755)
    hub = "unix:../qmp-exporter/qmp.sock,server=off,reconnect=5"
    async with Machine(machines, "listens") as machine:
        machine.monitor.chmod(0o666)
        async with started(root, installed.service) as process:
            assert _user(process.pid) not in (0, None)
            async with Machine(machines, "dials", monitor=hub):
                await _shows(port, "listens", "dials")
            begin = time.monotonic()
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 5) == 0
            show("a SIGTERM", ended_after=f"{time.monotonic() - begin:.2f} s")
    machines.rmdir()


def test_again_keeps_what_was_set(installed: Installed) -> None:
    """An upgrade keeps what the administrator wrote, and a service that he disabled disabled."""
    debian = installed.debian
    text = (debian.path / DEFAULT).read_text()
    debian.run("systemctl disable qmp-exporter.service")
    debian.run("dpkg -i /tmp/qmp-exporter.deb")
    assert (debian.path / DEFAULT).read_text() == text
    wanted = debian.path / "etc/systemd/system/multi-user.target.wants"
    assert not (wanted / "qmp-exporter.service").is_symlink()


def test_removed_keeps_what_was_set(installed: Installed) -> None:
    """After a removal, what is left is the file of variables and what systemd was told."""
    installed.debian.run("apt-get -q -y remove qmp-exporter")
    left = installed.debian.files().keys() - installed.before.keys()
    assert not [name for name in left if name.startswith(("usr/", "lib/", "run/"))]
    assert DEFAULT in left


def test_purged_without_a_trace(installed: Installed) -> None:
    """After a purge every file of the system is as before, the lists of users among them."""
    installed.debian.run("dpkg --purge qmp-exporter")
    after = installed.debian.files()
    differs = {
        name for name in after.keys() & installed.before if after[name] != installed.before[name]
    }
    assert (after.keys() ^ installed.before.keys(), differs) == (set(), set())
    assert installed.debian.packages() == installed.packages
    show("a purge", files_and_folders_as_before=len(after))


async def _shows(port: int, *names: str) -> None:
    """Wait until the page shows these machines as up."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                page = Page(await answer.text())
            if all(page.value("qemu_up", vm=name) == 1 for name in names):
                return
            await asyncio.sleep(0.05)


def _user(pid: int) -> int | None:
    found = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else None
