"""An image that buildah has, and a container of it as an engine would make one.

What runs here has the user, the environment and the entry point of the image; file systems,
processes and a network of its own, in which it is process 1; and what of the host is mounted in.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


PATIENCE: Final = 20.0
"""Seconds for what takes a second."""

_BEGIN: Final = """\
set -eu
root=$1 mode=$2 user=$3 groups=$4
shift 4
ip link set lo up
mount --bind "$root" "$root"
mount -o "remount,bind,$mode" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    mount -o "remount,bind,$3" "$root$2"
    shift 3
done
shift
cd /
exec chroot --userspec="$user" --groups="$groups" "$root" "$@"
"""
"""Makes the file systems of a container and becomes what runs in it."""


def buildah(*arguments: str) -> str:
    """Return what buildah prints."""
    done = subprocess.run(["buildah", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def describe(image: str) -> dict[str, Any]:
    """Return the configuration of an image, as OCI has it."""
    found = json.loads(buildah("inspect", "--type", "image", image))
    config: dict[str, Any] = found["OCIv1"]["config"]
    return config


@contextmanager
def unpacked(image: str) -> Iterator[tuple[str, Path]]:
    """Make a container of an image; it has a name for buildah, and a folder with its root."""
    name = buildah("from", "--pull-never", image)
    try:
        yield name, Path(buildah("mount", name))
    finally:
        buildah("rm", name)


def walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every path of a tree, as seen from its root and from here."""
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder, name)
            yield str(path.relative_to(root)), path


def touched(root: Path) -> dict[str, tuple[int, ...]]:
    """Return of each path of a tree what a change of any kind would change."""
    found = {name: path.lstat() for name, path in walk(root)}
    return {
        name: (s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for name, s in found.items()
    }


def contents(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return mode, owners and content of each path of a tree."""
    return {name: _content(path) for name, path in walk(root)}


def _content(path: Path) -> tuple[int, int, int, str]:
    status = path.lstat()
    text = ""
    if stat.S_ISLNK(status.st_mode):
        text = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        text = hashlib.sha256(path.read_bytes()).hexdigest()
    return status.st_mode, status.st_uid, status.st_gid, text


def size(root: Path) -> int:
    """Return the bytes of all files of a tree."""
    return sum(path.lstat().st_size for _, path in walk(root) if not path.is_dir())


@dataclass
class Mount:
    """A folder of the host in a container.

    Attributes:
        source: the folder.
        target: its path in the container.
        mode: ``ro`` or ``rw``.
    """

    source: Path
    target: str
    mode: str = "ro"


@dataclass
class Container:
    """What runs, and how.

    Attributes:
        root: the folder with its root.
        config: of the image.
        mounts: what of the host it has.
        read_only: whether its root is.
        groups: what its user is a member of.
    """

    root: Path
    config: dict[str, Any]
    mounts: Sequence[Mount] = ()
    read_only: bool = True
    groups: Sequence[int] = field(default_factory=tuple)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs the image with these arguments."""
        mounts: list[str] = []
        for mount in self.mounts:
            (self.root / mount.target.lstrip("/")).mkdir(parents=True, exist_ok=True)
            mounts += [str(mount.source), mount.target, mount.mode]
        return [
            *("unshare", "--mount", "--net", "--pid", "--fork"),
            *("sh", "-c", _BEGIN, "sh"),
            *(str(self.root), "ro" if self.read_only else "rw", self.config["User"]),
            *(",".join(map(str, self.groups)), *mounts, "--"),
            *(*self.config["Entrypoint"], *arguments),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets; there are no others."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run to the end; return status, output and errors."""
        process = subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            Running(process).kill()
        return process.returncode, out, err

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Running]:
        """Run in the background; what is left at the end is killed."""
        running = Running(subprocess.Popen(self.command(*arguments), env=self.environment))
        try:
            yield running
        finally:
            running.kill()


class Running:
    """A container that runs.

    Args:
        process: that made it and waits for it.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process

    @property
    def pid(self) -> int | None:
        """Of its process 1, as the host sees it; none before there is one."""
        children = _children(self._process.pid)
        return children[0] if children else None

    @property
    def children(self) -> list[int]:
        """What its process 1 has started."""
        return [] if self.pid is None else _children(self.pid)

    def status(self) -> dict[str, list[str]]:
        """Return what the kernel tells of its process 1: proc_pid_status(5)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    def get(self, path: str) -> str | None:
        """Return what it answers on its port, from within its network; none if it does not."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it has ended with status {self._process.returncode}")
        url = f"http://127.0.0.1:10767{path}"
        done = subprocess.run(
            ["nsenter", "--net", f"--target={self.pid}", "curl", "-sS", "--fail", url],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    def kill(self) -> None:
        """End it, if it has not ended, with all that it has started.

        The kernel does so with the end of process 1. It would not follow the end of ``unshare``:
        a process that changes its user forgets --kill-child, see PR_SET_PDEATHSIG.
        """
        if self._process.poll() is None and (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait(PATIENCE)

    def terminate(self) -> int:
        """Send SIGTERM to its process 1 and return its status, negative for a signal."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGTERM)
        return self._process.wait(PATIENCE)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
