"""The body of an answer in pieces, each of which is packed once.

A gzip file is one stream of deflate (RFC 1952), and what comes after a full flush needs nothing of
what came before it (RFC 1951 by way of zlib's manual, Z_FULL_FLUSH). So pieces that were packed at
different times make one file, and of a page only what changed is packed again.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Sequence


_LEVEL: Final = 1
"""The fastest: on an exposition it is within a few percent of the best in size."""

# RFC 1952, section 2.3: no name, no time, packed by the fastest algorithm, system unknown.
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_LAST_BLOCK: Final = b"\x03\x00"  # RFC 1951, section 3.2.6: the last one, with nothing in it


class Piece:
    """A part of a body, which does not change.

    Attributes:
        text: as it is, in UTF-8.
    """

    __slots__ = ("_packed", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._packed: bytes | None = None

    def packed(self) -> bytes:
        """Return it as blocks of deflate that need nothing before them, and end at a byte.

        Thread-safe, as it is the same whoever does it.
        """
        if self._packed is None:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            self._packed = packer.compress(self.text) + packer.flush(zlib.Z_FULL_FLUSH)
        return self._packed


Body: TypeAlias = "Sequence[Piece]"


def plain(body: Body) -> bytes:
    """Return a body as it is."""
    return b"".join([piece.text for piece in body])


def gzipped(body: Body) -> bytes:
    """Return a body as a gzip file."""
    check = size = 0
    for piece in body:
        check = zlib.crc32(piece.text, check)
        size += len(piece.text)
    end = struct.pack("<LL", check, size & 0xFFFFFFFF)
    return b"".join([_HEADER, *[piece.packed() for piece in body], _LAST_BLOCK, end])
