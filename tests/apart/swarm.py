"""Fake monitors by the thousand, in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_qmp
from apart.process import answer, apart
from fake_qmp import FakeMonitor
from recorder import strangers


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from apart.process import Process


LAST = "query-migrate-capabilities"
"""What the exporter asks last after it has connected, where nothing has to be switched on."""

REPLIES = {LAST: [{"capability": "events", "state": True}]}

DISK = {"device": "ide0", "node-name": "n0", "operation": "read", "action": "report"}
EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RTC_CHANGE", {"offset": 1}),
    ("BLOCK_IO_ERROR", DISK | {"reason": "Input/output error"}),
    ("GUEST_PANICKED", {"action": "run"}),
    ("RESET", {"guest": True, "reason": "guest-reset"}),
    ("STOP", {}),
    ("RESUME", {}),
    ("POWERDOWN", {}),
)
"""What happens to a fake VM; after a STOP the exporter has a question."""


@contextlib.asynccontextmanager
async def swarm(log: Path) -> AsyncIterator[Process]:
    """Run this module as a program."""
    async with apart("apart.swarm", log) as process:
        yield process


class Vm:
    """A VM which comes and goes at one path.

    Attributes:
        connections: how often its state has been read to the end.
        sent: its events after that, by name.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.stem
        self.connections = 0
        self.sent: Counter[str] = Counter()
        self.monitor: FakeMonitor
        self._stack = contextlib.AsyncExitStack()

    async def open(self) -> None:
        """Make the socket."""
        self.monitor = FakeMonitor(self.path, name=self.name, replies=REPLIES)
        await self._stack.enter_async_context(self.monitor)

    async def close(self) -> None:
        """Cut the connection off if there is one, and remove the socket."""
        self._hold_to_the_list()
        await self._stack.aclose()

    async def served(self) -> None:
        """Wait until a new client has read the state."""
        await self.monitor.wait_command(LAST)
        self.connections += 1
        self._hold_to_the_list()

    def hang_up(self) -> None:
        """Cut the connection off."""
        self._hold_to_the_list()
        assert self.monitor._writer is not None
        self.monitor._writer.close()

    async def send(self, name: str, data: dict[str, Any]) -> None:
        """Send an event."""
        await self.monitor.send_event(name, data)
        self.sent[name] += 1

    def _hold_to_the_list(self) -> None:
        found = strangers(bytes(self.monitor.received))
        assert not found, found
        self.monitor.received.clear()
        self.monitor.commands.clear()


# ---- connections by the thousand

_vms: list[Vm] = []


async def gather(directory: str, number: int) -> None:
    """Make VMs, and wait until the state of each is read."""
    for index in range(number):
        vm = Vm(Path(directory, f"{index}.qmp"))
        await vm.open()
        _vms.append(vm)
    await asyncio.gather(*(vm.served() for vm in _vms))


async def cycle(cycles: int) -> dict[str, tuple[int, int]]:
    """Let all VMs together lose so many connections and be connected again.

    Every second time the socket is removed and made again.

    Returns:
        For each, how many connections and events it has had in all.
    """
    left = iter(range(cycles))

    async def live(vm: Vm) -> None:
        for number in left:
            await vm.send("RTC_CHANGE", {"offset": number})
            if number % 2:
                await vm.close()
                await vm.open()
            else:
                vm.hang_up()
            await vm.served()

    await asyncio.gather(*(live(vm) for vm in _vms))
    return {vm.name: (vm.connections, vm.sent.total()) for vm in _vms}


# ---- lives of all kinds


async def churn(directory: str, number: int, seconds: float, seed: int) -> dict[str, Any]:
    """Let so many VMs come, send events and go for some time; at the end all are gone.

    Returns:
        How many lives there were, how many connections, and the events sent by name.
    """
    ends = time.monotonic() + seconds
    totals: Counter[str] = Counter()
    lives = connections = 0

    async def slot(index: int) -> None:
        nonlocal lives, connections
        dice = random.Random(seed * number + index)  # noqa: S311 - to be repeated
        await asyncio.sleep(dice.uniform(0, seconds / 10))
        while time.monotonic() < ends:
            # One of few names, or one that never comes again.
            again = dice.random() < 0.5
            vm = Vm(Path(directory, f"{index}.qmp" if again else f"{index}-{lives}.qmp"))
            lives += 1
            await _live(vm, dice, seconds)
            connections += vm.connections
            totals.update(vm.sent)

    await asyncio.gather(*(slot(index) for index in range(number)))
    return {"lives": lives, "connections": connections, "sent": totals}


async def _live(vm: Vm, dice: random.Random, seconds: float) -> None:
    await vm.open()
    if dice.random() < 0.2:  # it goes before anybody, or while somebody, has asked
        await asyncio.sleep(dice.uniform(0, 0.1))
    else:
        for _ in range(dice.choice((1, 1, 2))):
            await vm.served()
            for _ in range(dice.randrange(10)):
                await asyncio.sleep(dice.expovariate(30 / seconds))
                await vm.send(*dice.choice(EVENTS))
            if dice.random() < 0.3:
                vm.hang_up()
            else:
                break
    await vm.close()
    if dice.random() < 0.3:  # as a crash leaves it
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(vm.path))
        await asyncio.sleep(dice.uniform(0, seconds / 30))
        vm.path.unlink()


# ---- time


async def appear(paths: list[str], again: int) -> list[float]:
    """Make one socket after the other, each removed and made again some times.

    Returns:
        The seconds from each until a client has connected.
    """
    found = []
    for path in paths:
        vm = Vm(Path(path))
        for _ in range(again + 1):
            await vm.open()
            began = time.monotonic()
            await vm.monitor.wait_connected()
            found.append(time.monotonic() - began)
            await vm.served()
            await vm.close()
    return found


_talk: list[asyncio.Task[None]] = []


async def talk(every: float) -> None:
    """Let each of the VMs gathered send an event now and then, stamped as it is sent."""

    async def one(vm: Vm, first: float) -> None:
        await asyncio.sleep(first)
        while True:
            await vm.send("POWERDOWN", {})
            await asyncio.sleep(every)

    # Not all at once.
    firsts = (every * index / len(_vms) for index in range(len(_vms)))
    _talk.extend(asyncio.create_task(one(*both)) for both in zip(_vms, firsts, strict=True))


async def flood(path: str) -> None:
    """Let a VM send disk errors as fast as they are taken."""
    vm = Vm(Path(path))
    await vm.open()
    await vm.served()
    line = (
        b'{"timestamp": {"seconds": %d, "microseconds": 0}, "event": "BLOCK_IO_ERROR", "data":'
        b' {"device": "ide0", "node-name": "n0", "operation": "read", "action": "report",'
        b' "reason": "Input/output error"}}\r\n'
    )
    lines = (line % int(time.time())) * 1000
    _talk.append(asyncio.create_task(vm.monitor.flood(lines, sys.maxsize)))


STORM: tuple[bytes, ...] = (
    (
        b'"BLOCK_IO_ERROR", "data": {"device": "ide0", "node-name": "n0", "operation": "read",'
        b' "action": "report", "nospace": false, "reason": "Input/output error"}}'
    ),
    b'"RTC_CHANGE", "data": {"offset": 3}}',
    b'"GUEST_PANICKED", "data": {"action": "run", "info": {"type": "hyper-v", "arg1": 30}}}',
    b'"BALLOON_CHANGE", "data": {"actual": 944766976}}',
    b'"MIGRATION_PASS", "data": {"pass": 7}}',
)
"""What a storm is of, in turn."""


async def storm(path: str, rate: float, seconds: float) -> int:
    """Let a VM send so many events a second, stamped as they are sent; return how many it sent."""
    vm = Vm(Path(path))
    await vm.open()
    await vm.served()
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) // len(STORM) * len(STORM) - sent
        second, rest = divmod(time.time(), 1)
        stamp = b'{"timestamp": {"seconds": %d, "microseconds": %d}, "event": '
        stamp %= (int(second), int(rest * 1e6))
        lines = b"".join(stamp + kind + b"\r\n" for kind in STORM)
        await vm.monitor.flood(lines, due // len(STORM))
        sent += due
        await asyncio.sleep(0.01)
    return sent


async def hush() -> None:
    """Let nobody talk any more."""
    for task in _talk:
        task.cancel()
    await asyncio.wait(_talk)
    _talk.clear()


async def fill(directory: str, files: int) -> None:
    """Make files that are no sockets."""
    for index in range(files):
        os.close(os.open(f"{directory}/file-{index}.qmp", os.O_CREAT))


if __name__ == "__main__":
    fake_qmp.PATIENCE = 120.0  # a thousand VMs at once have to wait for each other
    asyncio.run(
        answer(
            gather=gather,
            cycle=cycle,
            churn=churn,
            appear=appear,
            talk=talk,
            flood=flood,
            storm=storm,
            hush=hush,
            fill=fill,
        )
    )
