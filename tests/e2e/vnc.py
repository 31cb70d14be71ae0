"""A VNC client that knows its password.

Sources: RFC 6143, section 7.2.2: the challenge is encrypted with DES, the password being its key,
the bits of each byte in reverse order.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from qmp_exporter.demo import rfb


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


KEY_BYTES = 8


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
