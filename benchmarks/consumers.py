"""Others that count the events of a monitor: a program, ``consumers.py KIND PATH NUMBER``.

KIND is one of `KINDS`. It says ``ready`` when it listens; when it has counted NUMBER events, when
that was and how many it counted; and it stays until its input ends, so that what it has cost can
be read.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import TYPE_CHECKING, Final, cast

from prometheus_client import Counter
from qemu.qmp import QMPClient


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Take = Callable[[QMPClient, int], Awaitable[int]]


CHUNK: Final = 256 * 1024
"""Bytes that the floor reads at once."""


def say(**message: object) -> None:
    """Tell the one who started this program."""
    print(json.dumps(message), flush=True)


async def iterate(client: QMPClient, number: int) -> int:
    """Iterate over events as the documentation of qemu.qmp shows it."""
    counted = 0
    async for _ in client.events:
        counted += 1
        if counted == number:
            break
    return counted


async def count(client: QMPClient, number: int) -> int:
    """Iterate, and count with prometheus-client, by the same labels as the program in Go."""
    events = Counter("qemu_events", "Events.", ["vm", "event"])
    failures = Counter(
        "qemu_block_io_errors",
        "I/O errors.",
        ["vm", "device", "operation", "action", "reason"],
    )
    counted = 0
    async for event in client.events:
        name = event["event"]
        events.labels("vm", name).inc()
        if name == "BLOCK_IO_ERROR":
            data = cast("dict[str, str]", event["data"])
            which = data.get("node-name", ""), data["operation"], data["action"], data["reason"]
            failures.labels("vm", *which).inc()
        counted += 1
        if counted == number:
            break
    return counted


async def connected(path: str, number: int, take: Take) -> None:
    """Let a client of qemu.qmp take so many events."""
    client = QMPClient("benchmark")
    await client.connect(path)
    say(ready=True)
    counted = await take(client, number)
    say(end=time.time(), counted=counted)
    sys.stdin.read()
    await client.disconnect()


def stock(path: str, number: int) -> None:
    """Run `iterate`."""
    asyncio.run(connected(path, number, iterate))


def counter(path: str, number: int) -> None:
    """Run `count`."""
    asyncio.run(connected(path, number, count))


def floor(path: str, number: int) -> None:
    """Read and split, and decode nothing."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(path)
        monitor.recv(CHUNK)  # the greeting
        monitor.sendall(b'{"execute": "qmp_capabilities"}')
        monitor.recv(CHUNK)
        say(ready=True)
        counted, rest = 0, b""
        while counted < number and (chunk := monitor.recv(CHUNK)):
            *lines, rest = (rest + chunk).split(b"\n")
            counted += len(lines)
        say(end=time.time(), counted=counted)
        sys.stdin.read()


KINDS: Final = {"stock": stock, "counter": counter, "floor": floor}


if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
