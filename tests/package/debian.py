"""A small Debian 12 in a folder, to install a package in."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from package.conftest import run
from support import missing, require_tool


if TYPE_CHECKING:
    from types import TracebackType


CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "qmp-exporter/debian")
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = Path(__file__).parents[2] / "scripts/mirror"

BOOKS = (
    *("var/log/dpkg.log", "var/log/apt", "var/log/alternatives.log", "var/lib/apt", "var/cache"),
    *("var/lib/dpkg/status", "var/lib/dpkg/status-old", "var/lib/dpkg/lock"),
    *("var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers/Lock"),
    *("etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock"),
    *("run/systemd", "proc", "tmp", "dev"),
)
"""What dpkg, apt, systemctl and the programs for users note, and what is no file."""


class Debian:
    """A copy of it, which is gone when its context ends.

    Args:
        folder: where it is put; its path is short enough for a socket in it.
        depends: what a package depends on, as its control file says: that is there from the
            start, installed by apt.
    """

    def __init__(self, folder: Path, depends: str) -> None:
        self.path = folder
        self._depends = depends

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            missing("not root, which a chroot takes")
        run("cp", "-a", "--reflink=auto", self._made(), self.path)
        run("mount", "-t", "proc", "proc", self.path / "proc")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run("umount", self.path / "proc")
        shutil.rmtree(self.path)

    def run(self, command: str, *more: str) -> str:
        """Run a command in it, as root; return what it wrote to stdout."""
        return run("chroot", self.path, *_ENVIRONMENT, *shlex.split(command), *more)

    def files(self) -> dict[str, tuple[object, ...]]:
        """Return what is there: mode, owner and content of every file, apart from `BOOKS`."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            for one in (*folders, *files):
                path = Path(folder, one)
                name = path.relative_to(self.path).as_posix()
                if name not in BOOKS:
                    found[name] = self._of(path)
            inner = os.path.relpath(folder, self.path)
            folders[:] = [one for one in folders if os.path.normpath(f"{inner}/{one}") not in BOOKS]
        return found

    def packages(self) -> set[str]:
        """Return what dpkg knows of every package."""
        text = (self.path / "var/lib/dpkg/status").read_text()
        return {part.strip() for part in text.split("\n\n")} - {""}

    @staticmethod
    def _of(path: Path) -> tuple[object, ...]:
        about = path.lstat()
        content = ""
        if stat.S_ISREG(about.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(about.st_mode):
            content = str(path.readlink())
        return oct(about.st_mode), about.st_uid, about.st_gid, content

    def _made(self) -> Path:
        """Return the folder that is copied; make it where it is not there yet."""
        place = CACHE / hashlib.sha256(self._depends.encode()).hexdigest()[:12]
        if place.exists():
            return place
        if not KEYS.exists():
            missing("debian-archive-keyring is not installed")
        new = place.with_suffix(".new")
        shutil.rmtree(CACHE, ignore_errors=True)  # what an older package depended on
        CACHE.mkdir(parents=True, exist_ok=True)
        bootstrap = require_tool("debootstrap")
        site = run(MIRROR).split()  # without one it takes its own
        run(bootstrap, "--variant=minbase", f"--keyring={KEYS}", "bookworm", new, *site)
        system = ("chroot", new, *_ENVIRONMENT)
        satisfy = ("apt-get", "-q", "-y", "--no-install-recommends", "satisfy", self._depends)
        run(*system, "apt-get", "-q", "update")
        run(*system, *satisfy)
        run(*system, "apt-get", "clean")
        new.rename(place)
        return place


def fields(package: Path) -> dict[str, str]:
    """Return the control file of a package."""
    text = subprocess.run(
        ["dpkg-deb", "-f", package], check=True, capture_output=True, text=True
    ).stdout
    lines = [line.partition(": ") for line in text.splitlines() if line[:1] != " "]
    return {name: value for name, _, value in lines}


_ENVIRONMENT = (
    *("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"),
    "DEBIAN_FRONTEND=noninteractive",
)
