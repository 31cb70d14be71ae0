"""A SPICE client that logs in and leaves.

It does as much of the protocol as QEMU needs to send SPICE_CONNECTED, SPICE_INITIALIZED and
SPICE_DISCONNECTED. Sources: the SPICE protocol, section "Link", and for the password RFC 8017,
section 7.1.1 (RSA with OAEP and SHA-1, of 1024 bits).
"""

from __future__ import annotations

import asyncio
import os
import struct
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path


MAIN, INPUTS = 1, 3
"""Types of channels; a session has one of type main."""

MAGIC = b"REDQ"
HEADER = struct.Struct("<4sIII")
CAPABILITIES = 0b1011  # choice of authentication, by password, short headers
KEY_BYTES = 128
HASH_BYTES = 20
PATIENCE = 10.0


class RefusedError(Exception):
    """The server does not take the password."""


@asynccontextmanager
async def channel(
    address: Path | int,
    kind: int = MAIN,
    *,
    session: int = 0,
    password: str = "",
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Be a channel of a client, logged in on entry; yield the number of its session.

    Args:
        address: path of the server's unix socket, or its port at 127.0.0.1.
        kind: the type of channel.
        session: to which this channel belongs; 0 for a main channel, which begins one.
        password: where the server asks for none, any will do.
        trust: in whose certificates, where the port is one for TLS.

    Raises:
        RefusedError: that is not the password.
    """
    if isinstance(address, int):
        reader, writer = await asyncio.open_connection("127.0.0.1", address, ssl=trust)
    else:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        async with asyncio.timeout(PATIENCE):
            link = struct.pack("<IBBIIII", session, kind, 0, 1, 0, 18, CAPABILITIES)
            writer.write(HEADER.pack(MAGIC, 2, 2, len(link)) + link)
            *_, size = HEADER.unpack(await reader.readexactly(HEADER.size))
            reply = await reader.readexactly(size)
            # After an error code: a SubjectPublicKeyInfo, whose modulus begins at its byte 29.
            modulus = int.from_bytes(reply[4 + 29 : 4 + 29 + KEY_BYTES], "big")
            writer.write(struct.pack("<I", 1) + encrypted(password.encode() + b"\0", modulus))
            if any(await reader.readexactly(4)):
                raise RefusedError
            if kind == MAIN:  # the first message: type, size, and as its first member the session
                _, _, session = struct.unpack("<HII", await reader.readexactly(10))
        yield session
    finally:
        writer.close()


def encrypted(message: bytes, modulus: int) -> bytes:
    """Encrypt a message of at most 86 bytes with a public key whose exponent is 65537."""
    padding = bytes(KEY_BYTES - len(message) - 2 * HASH_BYTES - 2)
    block = sha1(b"", usedforsecurity=False).digest() + padding + b"\1" + message
    seed = os.urandom(HASH_BYTES)
    block = masked(block, seed)
    number = int.from_bytes(masked(seed, block) + block, "big")
    return pow(number, 65537, modulus).to_bytes(KEY_BYTES, "big")


def masked(data: bytes, seed: bytes) -> bytes:
    """Return data, its bits turned over as MGF1 makes of a seed (RFC 8017, appendix B.2.1)."""
    counters = range(-(-len(data) // HASH_BYTES))
    parts = (sha1(seed + struct.pack(">I", n), usedforsecurity=False).digest() for n in counters)
    return bytes(a ^ b for a, b in zip(data, b"".join(parts), strict=False))
