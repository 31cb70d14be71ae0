"""What a unit of systemd says, and a process as it would start it."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def read(text: str, section: str) -> dict[str, list[str]]:
    """Return the values of every key of a section, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    now = ""
    for line in text.splitlines():
        if line.startswith("["):
            now = line.strip("[]")
        elif now == section and line[:1] not in ("#", ""):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def environment(root: Path, service: dict[str, list[str]]) -> dict[str, str]:
    """Return the environment that a service gets, the files it names included."""
    lines = [one for value in service["Environment"] for one in shlex.split(value)]
    for name in service["EnvironmentFile"]:
        lines += (root / name.removeprefix("-").strip("/")).read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line.strip() and line[0] not in "#;"]
    return {name: value for name, _, value in pairs}


class Notices:
    """The socket at which a service says that it is ready."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)  # noqa: FBT003
        path.chmod(0o777)

    async def ready(self) -> None:
        """Wait for the word."""
        while "READY=1" not in (
            (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode().splitlines()
        ):
            pass

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@asynccontextmanager
async def started(root: Path, text: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a service in a folder as its unit says, as its user, and wait until it is ready."""
    service = read(text, "Service")
    chroot = require_tool("chroot")
    user, group = service["User"][0], service["Group"][0]
    folder = root / "run" / service["RuntimeDirectory"][0]
    folder.mkdir(mode=int(service["RuntimeDirectoryMode"][0], 8))
    ids = [_id(root / "etc" / book, name) for book, name in (("passwd", user), ("group", group))]
    folder.chmod(int(service["RuntimeDirectoryMode"][0], 8))
    os.chown(folder, *ids)
    notices = Notices(root / "run/notify")
    process = await asyncio.create_subprocess_exec(
        *(chroot, f"--userspec={user}:{group}", root, *shlex.split(service["ExecStart"][0])),
        env={"NOTIFY_SOCKET": "/run/notify", "PATH": "/usr/bin:/bin", **environment(root, service)},
        umask=int(service["UMask"][0], 8),
    )
    try:
        ended = asyncio.ensure_future(process.wait())
        ready = asyncio.ensure_future(notices.ready())
        await asyncio.wait((ended, ready), timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), "it is not ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        notices.close()
        (root / "run/notify").unlink()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _id(book: Path, name: str) -> int:
    lines = [line.split(":") for line in book.read_text().splitlines()]
    return next(int(line[2]) for line in lines if line[0] == name)
