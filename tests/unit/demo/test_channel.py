"""The lines that drive QEMU, against the other end of a socket pair."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.demo.channel import ChannelClosedError, CommandError, Control, Qtest


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Peer:
    """The other end: reads lines, writes bytes as they are."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._end = end
        self._read = b""

    async def line(self) -> str:
        """Return the next line that was sent."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(2):
            while b"\n" not in self._read:
                self._read += await loop.sock_recv(self._end, 4096)
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    async def say(self, *chunks: str) -> None:
        """Send chunks, one by one."""
        for chunk in chunks:
            await asyncio.get_running_loop().sock_sendall(self._end, chunk.encode())
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close this end."""
        self._end.close()


@pytest.fixture
async def control() -> AsyncIterator[tuple[Control, Peer]]:
    """A QMP client and what stands for QEMU."""
    ours, theirs = socket.socketpair()
    _, channel = await asyncio.get_running_loop().create_unix_connection(Control, sock=ours)
    yield channel, Peer(theirs)
    channel.close()
    theirs.close()


@pytest.fixture
async def qtest() -> AsyncIterator[tuple[Qtest, Peer]]:
    """A qtest client and what stands for QEMU."""
    ours, theirs = socket.socketpair()
    _, channel = await asyncio.get_running_loop().create_unix_connection(Qtest, sock=ours)
    yield channel, Peer(theirs)
    channel.close()
    theirs.close()


async def test_control_negotiates(control: tuple[Control, Peer]) -> None:
    """A greeting that comes in pieces is answered with qmp_capabilities."""
    channel, peer = control
    waiting = asyncio.create_task(channel.negotiate())
    await peer.say('{"QMP": {"version"', ": {}}}\r", "\n")
    command = json.loads(await peer.line())
    assert command["execute"] == "qmp_capabilities"
    await peer.say(json.dumps({"return": {}, "id": command["id"]}) + "\r\n")
    assert await waiting == {"version": {}}


async def test_control_matches_replies_by_id(control: tuple[Control, Peer]) -> None:
    """Replies may come in any order and between events; each reaches who asked."""
    channel, peer = control
    tasks = [asyncio.create_task(channel.execute(name, {"n": 1})) for name in ("a", "b")]
    first, second = [json.loads(await peer.line()) for _ in tasks]
    assert first["arguments"] == {"n": 1}
    await peer.say(
        json.dumps({"return": "for b", "id": second["id"]}) + "\n"
        '{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}\n',
        json.dumps({"return": "for a", "id": first["id"]}) + "\n",
    )
    assert await asyncio.gather(*tasks) == ["for a", "for b"]


async def test_control_raises_refusals(control: tuple[Control, Peer]) -> None:
    """What QEMU refuses becomes an error with the command and QEMU's words."""
    channel, peer = control
    task = asyncio.create_task(channel.execute("dance", {}))
    number = json.loads(await peer.line())["id"]
    error = {"class": "CommandNotFound", "desc": "no such command"}
    await peer.say(json.dumps({"error": error, "id": number}) + "\n")
    with pytest.raises(CommandError, match="dance: no such command") as caught:
        await task
    assert (caught.value.command, caught.value.reason) == ("dance", "no such command")


async def test_control_survives_an_abandoned_command(control: tuple[Control, Peer]) -> None:
    """The late reply to a command that nobody waits for disturbs no other."""
    channel, peer = control
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await channel.execute("slow", {})
    late = json.loads(await peer.line())["id"]
    task = asyncio.create_task(channel.execute("next", {}))
    number = json.loads(await peer.line())["id"]
    await peer.say(f'{{"return": 1, "id": {late}}}\n{{"return": 2, "id": {number}}}\n')
    assert await task == 2


async def test_control_ends_with_its_peer(control: tuple[Control, Peer]) -> None:
    """When QEMU goes, what is being waited for fails, and so does all that follows."""
    channel, peer = control
    tasks = [
        asyncio.create_task(channel.execute("a", {})),
        asyncio.create_task(channel.negotiate()),
    ]
    await peer.line()
    peer.hang_up()
    for task in tasks:
        with pytest.raises(ChannelClosedError):
            await task
    with pytest.raises(ChannelClosedError):
        await channel.execute("b", {})


async def test_qtest_answers_in_order(qtest: tuple[Qtest, Peer]) -> None:
    """Answers belong to the questions in their order; interrupts in between are none."""
    channel, peer = qtest
    tasks = [asyncio.create_task(channel.inb(0x71)), asyncio.create_task(channel.inl(0xCFC))]
    assert [await peer.line() for _ in tasks] == ["inb 0x71", "inl 0xcfc"]
    await peer.say("IRQ raise 8\nOK 0x0012\nIRQ lower 8\n", "OK 0xdeadbeef\n")
    assert await asyncio.gather(*tasks) == [0x12, 0xDEADBEEF]


async def test_qtest_writes_what_qemu_reads(qtest: tuple[Qtest, Peer]) -> None:
    """Every access is one line with addresses and values in hexadecimal."""
    channel, peer = qtest
    calls = {
        "outb 0x505 0x1": channel.outb(0x505, 1),
        "outw 0x1f0 0x5555": channel.outw(0x1F0, 0x5555),
        "outl 0xcf8 0x80000010": channel.outl(0xCF8, 0x8000_0010),
        "writel 0x8 0xf000fff0": channel.writel(8, 0xF000_FFF0),
        "write 0x100000 0x3 0x010203": channel.write(0x100000, b"\1\2\3"),
        "inw 0x1c": channel.inw(0x1C),
        "readl 0x100": channel.readl(0x100),
    }
    for line, call in calls.items():
        task = asyncio.ensure_future(call)
        assert await peer.line() == line
        await peer.say("OK 0x7\n")
        assert await task in (None, 7)


async def test_qtest_raises_failures(qtest: tuple[Qtest, Peer]) -> None:
    """An answer other than OK is an error; the next question is not hurt by it."""
    channel, peer = qtest
    tasks = [asyncio.create_task(channel.ask(line)) for line in ("dance", "inb 0x71")]
    await peer.say("FAIL Unknown command 'dance'\nOK 0x1\n")
    with pytest.raises(CommandError, match="dance: FAIL Unknown command"):
        await tasks[0]
    assert await tasks[1] == "0x1"


async def test_qtest_skips_who_stopped_waiting(qtest: tuple[Qtest, Peer]) -> None:
    """The answer to an abandoned question is not given to the next."""
    channel, peer = qtest
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await channel.inb(1)
    task = asyncio.create_task(channel.inb(2))
    await peer.line()
    await peer.line()
    await peer.say("OK 0x1\nOK 0x2\n")
    assert await task == 2
    task = asyncio.create_task(channel.inb(3))
    await peer.line()
    peer.hang_up()
    with pytest.raises(ChannelClosedError):
        await task
