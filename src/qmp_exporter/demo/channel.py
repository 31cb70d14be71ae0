"""The two line protocols that drive QEMU: QMP and qtest.

Both run over one end of a socket pair whose other end QEMU inherits: nothing to poll for, no
path to remove. Both are `asyncio.Protocol` classes and read whatever comes as it comes, so that
QEMU never has to keep lines for us.

Sources: QEMU's docs/interop/qmp-spec and the comment at the top of its softmmu/qtest.c.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, cast


if TYPE_CHECKING:
    from collections.abc import Iterator


class LabError(Exception):
    """Anything that goes wrong between the lab and QEMU."""


class ChannelClosedError(LabError):
    """QEMU has ended, or is about to: no answer will come."""


class CommandError(LabError):
    """QEMU refused a command.

    Attributes:
        command: what was asked for.
        reason: QEMU's own words.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command
        self.reason = reason


class _LineChannel(asyncio.Protocol):
    """Splits what arrives into lines and keeps the answers that are being waited for."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._rest = b""

    def line_received(self, line: bytes) -> None:
        """Take one line, without its end."""
        raise NotImplementedError

    def waiting(self) -> Iterator[asyncio.Future[Any]]:
        """All answers that are being waited for."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.line_received(line.strip())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._transport = None
        for answer in list(self.waiting()):
            if not answer.done():
                answer.set_exception(ChannelClosedError("QEMU closed the connection"))
                answer.exception()  # nobody may be waiting any more: no complaint of asyncio

    def send(self, line: bytes) -> None:
        """Send one line.

        Raises:
            ChannelClosedError: QEMU is gone.
        """
        if self._transport is None:
            raise ChannelClosedError("QEMU closed the connection")
        self._transport.write(line + b"\n")

    def close(self) -> None:
        """Close our end. What is being waited for fails."""
        if self._transport is not None:
            self._transport.close()


class Control(_LineChannel):
    """A QMP client: commands and replies. Events are read and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._greeting: asyncio.Future[dict[str, Any]] = asyncio.Future()
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._names: dict[int, str] = {}
        self._next = 0

    def line_received(self, line: bytes) -> None:
        """Take the greeting, an event or a reply."""
        message = json.loads(line)
        if "QMP" in message and not self._greeting.done():
            self._greeting.set_result(message["QMP"])
        elif (reply := self._replies.get(message.get("id"))) is None or reply.done():
            pass  # an event, or the reply to somebody who stopped waiting
        elif "error" in message:
            name = self._names[message["id"]]
            reply.set_exception(CommandError(name, message["error"]["desc"]))
        else:
            reply.set_result(message["return"])

    def waiting(self) -> Iterator[asyncio.Future[Any]]:
        """The greeting and every reply that has not come."""
        yield self._greeting
        yield from self._replies.values()

    async def negotiate(self) -> dict[str, Any]:
        """Wait for QEMU's greeting, answer it, and return it (its version and capabilities).

        Raises:
            ChannelClosedError: QEMU ended instead.
        """
        greeting = await self._greeting
        await self.execute("qmp_capabilities", {})
        return greeting

    async def execute(self, command: str, arguments: dict[str, Any]) -> Any:
        """Send a command and return the content of ``return``.

        Raises:
            CommandError: QEMU refused.
            ChannelClosedError: QEMU is gone, or went before it answered.
        """
        self._next = number = self._next + 1
        request = {"execute": command, "arguments": arguments, "id": number}
        self._replies[number] = reply = asyncio.get_running_loop().create_future()
        self._names[number] = command
        try:
            self.send(json.dumps(request).encode())
            return await reply
        finally:
            del self._replies[number], self._names[number]


class Qtest(_LineChannel):
    """QEMU's own test protocol: the guest's view of ports and memory, without a guest.

    Addresses and values are integers; a value is masked by QEMU to the width of the access.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers: deque[tuple[str, asyncio.Future[str]]] = deque()

    def line_received(self, line: bytes) -> None:
        """Take the answer to the oldest question; the notice of an interrupt is none."""
        text = line.decode()
        if text.startswith("IRQ"):
            return
        command, answer = self._answers.popleft()
        if answer.done():
            return
        if text.startswith("OK"):
            answer.set_result(text[2:].strip())
        else:
            answer.set_exception(CommandError(command, text))

    def waiting(self) -> Iterator[asyncio.Future[Any]]:
        """Every answer that has not come."""
        return (answer for _, answer in self._answers)

    async def ask(self, command: str) -> str:
        """Send one line and return what follows ``OK``.

        Raises:
            CommandError: QEMU does not know the command, or an argument of it.
            ChannelClosedError: QEMU is gone.
        """
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.send(command.encode())
        self._answers.append((command, answer))
        return await answer

    async def outb(self, port: int, value: int) -> None:
        """Write one byte to an I/O port."""
        await self.ask(f"outb {port:#x} {value:#x}")

    async def outw(self, port: int, value: int) -> None:
        """Write two bytes to an I/O port."""
        await self.ask(f"outw {port:#x} {value:#x}")

    async def outl(self, port: int, value: int) -> None:
        """Write four bytes to an I/O port."""
        await self.ask(f"outl {port:#x} {value:#x}")

    async def inb(self, port: int) -> int:
        """Read one byte from an I/O port."""
        return int(await self.ask(f"inb {port:#x}"), 0)

    async def inw(self, port: int) -> int:
        """Read two bytes from an I/O port."""
        return int(await self.ask(f"inw {port:#x}"), 0)

    async def inl(self, port: int) -> int:
        """Read four bytes from an I/O port."""
        return int(await self.ask(f"inl {port:#x}"), 0)

    async def readl(self, address: int) -> int:
        """Read four bytes of memory, in the guest's byte order."""
        return int(await self.ask(f"readl {address:#x}"), 0)

    async def writel(self, address: int, value: int) -> None:
        """Write four bytes of memory, in the guest's byte order."""
        await self.ask(f"writel {address:#x} {value:#x}")

    async def write(self, address: int, data: bytes) -> None:
        """Write bytes to memory."""
        await self.ask(f"write {address:#x} {len(data):#x} 0x{data.hex()}")
