"""A VNC client that looks and leaves.

It does as much of the protocol as QEMU needs to send VNC_CONNECTED, VNC_INITIALIZED and
VNC_DISCONNECTED. Source: RFC 6143, section 7.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qmp_exporter.demo.channel import LabError


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


Address = Path | tuple[str, int]
"""A unix socket, or host and port. Display N of QEMU's ``-vnc host:N`` is port 5900 + N."""

VERSION = b"RFB 003.008\n"
NO_AUTHENTICATION, PASSWORD = 1, 2
CHALLENGE_SIZE = 16

PATIENCE = 10.0
"""Seconds a login may take."""


class LoginRefusedError(LabError):
    """The server does not let us in."""


@asynccontextmanager
async def viewer(address: Address) -> AsyncIterator[None]:
    """Be a client that needs no password, initialised on entry, disconnected on exit.

    Raises:
        LoginRefusedError: the server wants a password.
        OSError: nobody listens, or answers.
    """
    async with _connection(address) as (reader, writer):
        async with asyncio.timeout(PATIENCE):
            offered = await _hello(reader, writer)
            if NO_AUTHENTICATION not in offered:
                raise LoginRefusedError(f"{address}: wants a security type of {list(offered)}")
            writer.write(bytes([NO_AUTHENTICATION]))
            await _result(reader)
            writer.write(b"\1")  # ClientInit: others may stay
            await _server_init(reader)
        yield


async def wrong_password(address: Address) -> None:
    """Try a password that cannot be right; QEMU needs ``-vnc ...,password=on``.

    Raises:
        OSError: nobody listens, or answers.
        LabError: the server asked for no password, or took this one.
    """
    async with _connection(address) as (reader, writer), asyncio.timeout(PATIENCE):
        offered = await _hello(reader, writer)
        if PASSWORD not in offered:
            raise LabError(f"{address}: asks for no password, offers {list(offered)}")
        writer.write(bytes([PASSWORD]))
        await reader.readexactly(CHALLENGE_SIZE)
        writer.write(bytes(CHALLENGE_SIZE))
        try:
            await _result(reader)
        except LoginRefusedError:
            return
        raise LabError(f"{address}: took a wrong password")


async def probe(address: Address) -> None:
    """Connect and leave without a word, as a port scanner does."""
    async with _connection(address) as (reader, _), asyncio.timeout(PATIENCE):
        await reader.readexactly(len(VERSION))


@asynccontextmanager
async def _connection(
    address: Address,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    if isinstance(address, Path):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    except asyncio.IncompleteReadError as error:
        raise LabError(f"{address}: the VNC server hung up") from error
    finally:
        writer.close()


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Agree on the version; return the security types offered."""
    await reader.readexactly(len(VERSION))
    writer.write(VERSION)
    (count,) = await reader.readexactly(1)
    return await reader.readexactly(count)


async def _result(reader: asyncio.StreamReader) -> None:
    """Read SecurityResult: four bytes, zero for yes."""
    if any(await reader.readexactly(4)):
        raise LoginRefusedError("the VNC server refused the login")


async def _server_init(reader: asyncio.StreamReader) -> None:
    """Read size and format of the screen (20 bytes) and its name."""
    await reader.readexactly(20)
    length = int.from_bytes(await reader.readexactly(4), "big")
    await reader.readexactly(length)
