"""The wheel and the sdist, where nothing else is, and without a network."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from package.conftest import ROOT, run, written
from qmp_exporter import __version__


if TYPE_CHECKING:
    from pathlib import Path

    from package.conftest import Dist


SOURCE = ROOT / "src/qmp_exporter"
FILES = {
    path.relative_to(SOURCE.parent).as_posix()
    for path in SOURCE.rglob("*")
    if path.is_file() and path.suffix != ".pyc"
}
"""What is in the package, from src/."""


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all wheels of the lock."""
    folder = tmp_path_factory.mktemp("house")
    download = (sys.executable, "-m", "pip", "download", "-q", "-d", folder)
    lock = ROOT / "requirements/run.txt"
    run(*download, "--only-binary", ":all:", "--require-hashes", "-r", lock)
    return folder


def test_data_files() -> None:
    """The files that are no code are among those that the next tests look for."""
    names = {path.rpartition("/")[2] for path in FILES}
    assert {"page.css", "page.js", "schema.json", "py.typed", "qemu-11.1.jsonl"} <= names


def test_wheel_holds_all(dist: Dist) -> None:
    """The wheel has every file of src/, and the licence."""
    with zipfile.ZipFile(dist.wheel) as archive:
        names = set(archive.namelist())
    info = f"qmp_exporter-{__version__}.dist-info"
    assert {name for name in names if not name.startswith(info)} == FILES
    assert f"{info}/licenses/LICENSE" in names


def test_sdist_holds_all(dist: Dist) -> None:
    """The sdist has every file of src/, the licence, the README, and what it is built with."""
    with tarfile.open(dist.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in FILES} <= names
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_again(dist: Dist, tmp_path: Path) -> None:
    """The same source makes the same bytes, in another place, for another user, at another hour."""
    here = tmp_path / "a place"
    here.mkdir()
    subprocess.run(
        [sys.executable, ROOT / "deploy/deb/build.py", here],
        cwd=ROOT,
        env={**os.environ, "TZ": "Asia/Tokyo", "HOME": str(here), "LC_ALL": "C"},
        umask=0o077,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for one, other in zip(dist.all(), written(here).all(), strict=True):
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other)]
        assert hashes[0] == hashes[1], one.name


@pytest.mark.parametrize("tool", ["pip", "pipx", "uv"])
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_installs(  # noqa: PLR0913, PLR0917
    kind: str, tool: str, dist: Dist, house: Path, tools: Path, tmp_path: Path
) -> None:
    """With pip, pipx and uv, from a folder of wheels and no index, it installs and runs."""
    package = dist.wheel if kind == "wheel" else dist.sdist
    place, home = tmp_path / "place", tmp_path / "home"
    home.mkdir()
    env = {
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(house),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(place / "bin"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(house),
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(place / "bin"),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_PYTHON": sys.executable,
    }
    match tool:
        case "pip":
            run(sys.executable, "-m", "venv", place)
            run(place / "bin/pip", "install", "-q", package, **env)
        case "pipx":
            run(tools / "pipx", "install", package, **env)
        case _:
            run(tools / "uv", "tool", "install", package, **env)
    program = place / "bin/qmp-exporter"
    assert run(program, "--version", cwd=tmp_path, **env).split()[-1] == __version__
    checked = run(program, "--config.check", "--qmp.socket", "/run/qemu/*.qmp", cwd=tmp_path)
    assert "/run/qemu/*.qmp" in checked
