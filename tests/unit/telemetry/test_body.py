"""Bodies in pieces: whoever unpacks them finds what was put in."""

from __future__ import annotations

import gzip
import subprocess
import zlib

from hypothesis import given
from hypothesis import strategies as st

from builders import SOME
from qmp_exporter.telemetry.body import Piece, gzipped, plain
from support import require_tool


TEXTS = st.lists(st.binary(max_size=300) | st.sampled_from([b"", b"a" * 70_000]), max_size=6)


@SOME
@given(TEXTS)
def test_pieces_make_one_file(texts: list[bytes]) -> None:
    """One member, with the size and checksum of all, and nothing after its end."""
    body = [Piece(text) for text in texts]
    packed = gzipped(body)
    assert plain(body) == b"".join(texts)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert unpacker.decompress(packed) == b"".join(texts)
    assert unpacker.eof
    assert unpacker.unused_data == b""
    assert gzip.decompress(packed) == b"".join(texts)


@SOME
@given(TEXTS, st.randoms(use_true_random=False))
def test_pieces_stand_in_any_order(texts: list[bytes], chance: object) -> None:
    """What was packed beside others needs none of them."""
    body = [Piece(text) for text in texts]
    gzipped(body)
    chance.shuffle(body)  # type: ignore[attr-defined]
    assert gzip.decompress(gzipped(body)) == plain(body)
    assert gzip.decompress(gzipped(body[1:])) == plain(body[1:])


def test_gzip_itself_finds_no_fault() -> None:
    """The program that wrote the format down."""
    body = [Piece(b"qemu_up 1\n" * 1000), Piece(b""), Piece(b"# EOF\n")]
    gunzip = require_tool("gzip")
    checked = subprocess.run([gunzip, "-dc"], input=gzipped(body), capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert checked.stdout == plain(body)


def test_a_piece_is_packed_once() -> None:
    """And small: a page is told again and again."""
    piece = Piece(b'qemu_up{vm="web"} 1\n' * 5000)
    assert piece.packed() is piece.packed()
    assert len(piece.packed()) < len(piece.text) / 50
