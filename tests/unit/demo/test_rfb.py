"""The VNC client, against a server that says what the test tells it to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.demo import LabError, rfb


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def server(path: Path, *script: bytes | int) -> AsyncIterator[list[bytes]]:
    """Serve one client: send the bytes, read as many as the numbers say; then hang up."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
            else:
                received.append(await reader.readexactly(step))
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield received


YES, NO = bytes(4), b"\0\0\0\1"
SCREEN = bytes(20) + b"\0\0\0\2vm"


async def test_viewer_logs_in(tmp_path: Path) -> None:
    """Version, security type none, and a shared session, to the last byte of the screen's name."""
    script = rfb.VERSION, 12, b"\2\1\2", 1, YES, 1, SCREEN
    async with server(tmp_path / "s", *script) as received, rfb.viewer(tmp_path / "s"):
        assert received == [rfb.VERSION, b"\1", b"\1"]


async def test_viewer_is_told_no(tmp_path: Path) -> None:
    """A server that wants a password, or refuses, is an error."""
    refusals = (rfb.VERSION, 12, b"\1\2"), (rfb.VERSION, 12, b"\1\1", 1, NO)
    for number, script in enumerate(refusals):
        path = tmp_path / str(number)
        async with server(path, *script):
            with pytest.raises(rfb.LoginRefusedError):
                async with rfb.viewer(path):
                    pytest.fail("logged in")


async def test_hang_up_is_an_error(tmp_path: Path) -> None:
    """A server that leaves in the middle is named."""
    async with server(tmp_path / "s", b"RFB"):
        with pytest.raises(LabError, match="hung up"):
            await rfb.probe(tmp_path / "s")


async def test_wrong_password_must_be_wrong(tmp_path: Path) -> None:
    """A refusal is what is expected; a server that asks for none, or takes it, is an error."""
    challenge = rfb.VERSION, 12, b"\1\2", 1, bytes(range(16)), 16
    async with server(tmp_path / "no", *challenge, NO) as received:
        await rfb.wrong_password(tmp_path / "no")
        assert received[-1] == bytes(16)
    async with server(tmp_path / "yes", *challenge, YES):
        with pytest.raises(LabError, match="took a wrong password"):
            await rfb.wrong_password(tmp_path / "yes")
    async with server(tmp_path / "open", rfb.VERSION, 12, b"\1\1"):
        with pytest.raises(LabError, match="asks for no password"):
            await rfb.wrong_password(tmp_path / "open")


async def test_tcp_address() -> None:
    """A server may also be a host and a port."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(rfb.VERSION)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        await rfb.probe((host, port))
