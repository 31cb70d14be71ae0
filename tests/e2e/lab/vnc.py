"""VNC clients that the demo does not have: one that knows its password, and one that uses TLS.

Sources: RFC 6143, section 7.2.2: the challenge is encrypted with DES, the password being its key,
the bits of each byte in reverse order. For VeNCrypt (security type 19) the RFB protocol of the
rfbproto project, section 7.2.19.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from qmp_exporter.demo import rfb


if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


KEY_BYTES = 8
VENCRYPT = 19
VERSION = b"\0\2"
X509_NONE, X509_PASSWORD = 260, 261


@asynccontextmanager
async def logged_in(address: rfb.Address, password: str) -> AsyncIterator[None]:
    """Be a client, logged in on entry, disconnected on exit.

    Raises:
        LoginRefusedError: that is not the password.
    """
    async with rfb._connection(address) as (reader, writer):
        async with asyncio.timeout(rfb.PATIENCE):
            await rfb._hello(reader, writer)
            writer.write(bytes([rfb.PASSWORD]))
            writer.write(encrypted(await reader.readexactly(rfb.CHALLENGE_SIZE), password))
            await rfb._result(reader)
            writer.write(b"\1")  # ClientInit: others may stay
            await rfb._server_init(reader)
        yield


def encrypted(challenge: bytes, password: str) -> bytes:
    """Encrypt a challenge; three times DES with one key is DES."""
    key = password.encode()[:KEY_BYTES].ljust(KEY_BYTES, b"\0")
    reverse = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    # DES of whole blocks without a chain is what the RFC says; it keeps no secret.
    encryptor = Cipher(TripleDES(reverse * 3), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(challenge) + encryptor.finalize()


@asynccontextmanager
async def tls_viewer(
    address: rfb.Address, trust: ssl.SSLContext, *, password: str | None = None
) -> AsyncIterator[None]:
    """Be a VNC client over TLS, initialised on entry, disconnected on exit.

    Args:
        address: of the screen.
        trust: in whose certificates.
        password: to be tried; none where the server asks for none.

    Raises:
        LoginRefusedError: the password is wrong.
    """
    async with rfb._connection(address) as (reader, writer):
        async with asyncio.timeout(rfb.PATIENCE):
            assert VENCRYPT in await rfb._hello(reader, writer)
            writer.write(bytes([VENCRYPT]))
            assert await reader.readexactly(2) == VERSION
            writer.write(VERSION)
            assert await reader.readexactly(1) == b"\0"  # the version will do
            (count,) = await reader.readexactly(1)
            offered = struct.unpack(f">{count}I", await reader.readexactly(4 * count))
            wanted = X509_NONE if password is None else X509_PASSWORD
            assert offered == (wanted,)
            writer.write(struct.pack(">I", wanted))
            assert await reader.readexactly(1) == b"\1"  # so will the type
            await writer.start_tls(trust, server_hostname="127.0.0.1")
            if password is not None:
                challenge = await reader.readexactly(rfb.CHALLENGE_SIZE)
                writer.write(encrypted(challenge, password))
            await rfb._result(reader)
            writer.write(b"\1")  # ClientInit: others may stay
            await rfb._server_init(reader)
        yield
