"""The container image: what is in it, and that it does its work; scripts/image --check runs this.

Containers here have a network and process numbers of their own, no shell, and a read-only root
where nothing else is said.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from apart.table import mebibytes, show
from e2e.page import Page
from image.container import (
    PATIENCE,
    Container,
    Mount,
    Running,
    buildah,
    contents,
    describe,
    size,
    touched,
    unpacked,
)
from qmp_exporter import __version__
from qmp_exporter.demo import Machine


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ROOT: Final = Path(__file__).parents[2]
HOME: Final = "opt/qmp-exporter"
USER: Final = 65532
GROUP: Final = 64055
"""Of the QEMUs; the number of Debian's libvirt-qemu."""

MOST_ADDED: Final = 120 << 20
"""Bytes that the image may have more than its base."""

MOST_SECONDS: Final = 5.0
"""From SIGTERM to the end."""


@contextmanager
def group_writes(folder: Path) -> Iterator[None]:
    """Let QEMUs give the sockets they make in a folder to `GROUP`, as those of libvirt do."""
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2750)
    before = os.umask(0o007)
    try:
        yield
    finally:
        os.umask(before)


async def until(running: Running, reached: Callable[[Page], Any]) -> Page:
    """Scrape until the page says something, and return it."""
    text: str | None = None
    async with asyncio.timeout(PATIENCE):
        while True:
            text = await asyncio.to_thread(running.get, "/metrics")
            if text is not None and reached(page := Page(text)):
                return page
            await asyncio.sleep(0.02)


def test_what_the_image_says_of_itself(image: str) -> None:
    """A user by number, an entry point without a shell, the port, the signal, the labels."""
    config = describe(image)
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in config["Labels"].items()
        if key.startswith("org.opencontainers.image.")
    }
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == [f"/{HOME}/bin/qmp-exporter"]
    assert not config.get("Cmd")
    assert list(config["ExposedPorts"]) == ["10767/tcp"]
    assert config["StopSignal"] == "SIGTERM"
    assert "Healthcheck" not in config
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels.pop("revision"))
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", labels.pop("created"))
    assert labels == {
        "title": "qmp-exporter",
        "description": "Prometheus exporter of QEMU's QMP events",
        "licenses": "Apache-2.0",
        "source": "https://github.com/qmp-exporter/qmp-exporter",
        "version": __version__,
    }


def test_the_base_is_as_it_was(image: str, whole: Path) -> None:
    """All that is new is below /opt/qmp-exporter, owned by root and small."""
    with unpacked(os.environ["BASE"]) as (_, base):
        before, after = contents(base), contents(whole)
        sizes = size(base), size(whole)
    added = after.keys() - before.keys()
    assert {name: after.get(name) for name in before} == before
    assert [name for name in added if not f"{name}/".startswith(f"{HOME}/")] == []
    assert {after[name][1:3] for name in added} == {(0, 0)}
    assert sizes[1] - sizes[0] < MOST_ADDED
    show(
        f"Size of {image}",
        whole=mebibytes(sizes[1]),
        base=mebibytes(sizes[0]),
        added_to_the_base=mebibytes(sizes[1] - sizes[0]),
    )


def test_the_packages_are_those_of_the_lock(whole: Path) -> None:
    """In the locked versions, with nothing that builds, installs or tests."""
    (folder,) = (whole / HOME / "lib").glob("python3.*/site-packages")
    found = {
        re.sub(r"[-_.]+", "-", one.name.lower()): one.version
        for one in distributions(path=[str(folder)])
    }
    lock = (ROOT / "requirements/run.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    del locked["flit-core"]
    assert found == locked | {"qmp-exporter": __version__}
    names = {path.name for path in (whole / HOME).rglob("*")}
    assert not names & {"pip", "setuptools", "wheel", "tests", "pip.conf", "direct_url.json"}
    programs = {path.name for path in (whole / HOME / "bin").iterdir()}
    assert {name for name in programs if not name.startswith("python")} == {"qmp-exporter"}
    show("Packages of the image", **dict(sorted(found.items())))


def test_everything_is_compiled(whole: Path) -> None:
    """Each module has its code beside it, which is good whatever the times of the files are."""
    (folder,) = (whole / HOME / "lib").glob("python3.*/site-packages")
    modules = [path for path in folder.rglob("*.py") if path.is_file()]
    assert len(modules) > 500
    for module in modules:
        (compiled,) = (module.parent / "__pycache__").glob(f"{module.stem}.cpython-3??.pyc")
        assert compiled.read_bytes()[4:8] == (1).to_bytes(
            4, "little"
        )  # PEP 552: by hash, unchecked


def test_buildah_runs_it_as_the_user(shell_less: tuple[str, Path]) -> None:
    """What an engine starts by itself has the number of the image."""
    ask = "import os, json; print(json.dumps([os.getuid(), os.getgid(), os.getgroups()]))"
    told = json.loads(buildah("run", shell_less[0], "--", f"/{HOME}/bin/python", "-c", ask))
    assert told[:2] == [USER, USER]
    assert set(told[2]) <= {USER}


def test_version(container: Container) -> None:
    """As everywhere."""
    assert container.run("--version") == (0, f"qmp-exporter {__version__}\n", "")


@pytest.mark.parametrize(("line", "status"), [("grace: 7m", 0), ("grace: long", 2)])
def test_a_mounted_file_is_checked(
    container: Container, tmp_path: Path, line: str, status: int
) -> None:
    """One that is good is printed with all else that is set, one that is not with its fault."""
    (tmp_path / "file.yml").write_text(f"qmp:\n  socket: /run/qemu/*.qmp\nvm:\n  {line}\n")
    container.mounts = [Mount(tmp_path, "/etc/qmp-exporter")]
    flags = ("--config.check", "--config.file", "/etc/qmp-exporter/file.yml")
    tmp_path.chmod(0o755)
    code, out, err = container.run(*flags)
    assert code == status
    assert ("grace: 7m" in out) == (status == 0)
    assert ("/etc/qmp-exporter/file.yml" in err) == (status == 2)


@pytest.mark.parametrize("read_only", [True, False], ids=["read-only", "writable"])
async def test_it_serves_a_machine_and_stops(
    container: Container, place: Path, *, read_only: bool
) -> None:
    """As user 65532 in the group of the sockets; it writes nothing and starts nothing."""
    container = replace(
        container, mounts=[Mount(place, "/run/qemu")], read_only=read_only, groups=[GROUP]
    )
    container.command()  # makes the folders to mount at
    before = touched(container.root)
    with group_writes(place):
        machine = Machine(place, "web")
        await machine.start()
    try:
        began = time.monotonic()
        with container.running("--qmp.socket", "/run/qemu/*.qmp") as running:
            await until(running, lambda page: page.value("qemu_up", vm="web"))
            served = time.monotonic() - began
            await machine.execute("stop")
            await machine.execute("cont")
            page = await until(running, lambda page: "RESUME" in page.events("web"))
            assert page.rows("qemu_events_total", "event", vm="web") == {"STOP": 1, "RESUME": 1}
            status = running.status()
            assert status["Uid"] == status["Gid"] == [str(USER)] * 4
            assert status["Groups"] == [str(GROUP)]
            assert status["NSpid"][1:] == ["1"]
            assert int(status["CapEff"][0], 16) == 0
            assert running.children == []
            began = time.monotonic()
            assert await asyncio.to_thread(running.terminate) == 0
            stopped = time.monotonic() - began
    finally:
        await machine.close()
    assert stopped < MOST_SECONDS
    assert touched(container.root) == before
    show(
        f"A container with a {'read-only' if read_only else 'writable'} root",
        seconds_to_a_page_with_the_machine=f"{served:.2f}",
        seconds_from_SIGTERM_to_the_end=f"{stopped:.2f}",
        memory=mebibytes(int(status["VmHWM"][0]) << 10),
    )


async def test_a_machine_dials_in(container: Container, place: Path) -> None:
    """Of root, by a socket that the container makes in a folder of its user."""
    folder = place / "in"
    folder.mkdir()
    os.chown(folder, USER, USER)
    container.mounts = [Mount(folder, "/run/qmp-exporter", "rw")]
    flags = ("--qmp.listen", "/run/qmp-exporter/qmp.sock")
    with container.running(*flags) as running:
        await until(running, bool)
        assert (folder / "qmp.sock").stat().st_uid == USER
        async with Machine(place, "web", monitor="unix:in/qmp.sock,server=off,reconnect=1"):
            await until(running, lambda page: page.value("qemu_up", vm="web"))
        assert await asyncio.to_thread(running.terminate) == 0
    assert list(folder.iterdir()) == []


def test_nothing_of_this_machine_is_in_it(image: str) -> None:
    """Neither its configuration nor its history names an index, a proxy or a folder of here."""
    told = buildah("inspect", "--type", "image", "--format", "{{.Config}} {{.OCIv1}}", image)
    assert "ENTRYPOINT" in told
    assert not re.search(f"(?i)proxy|index-url|find-links|{ROOT}", told)
