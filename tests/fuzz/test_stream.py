"""Whatever bytes a monitor sends: sessions of the corpus, changed, and no sessions at all.

`scripts/fuzz` does the same for as long as one likes, guided by what the code does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SOME
from fuzz.harness import LIMIT, applied, check, hear, seeds, vm


if TYPE_CHECKING:
    from collections.abc import Callable


SEEDS: Final = seeds()
LINES: Final = sorted({line for seed in SEEDS for line in seed.splitlines(keepends=True)})
ODD: Final = (
    b"\n",
    b"\r\n \t\r\n",
    b"\xff\xfe",
    b"\\ud800",
    b'"\\udfff"',
    b"1e999",
    b"-1",
    b"9" * 5000,
    b"null",
    b"NaN",
    b"{}",
    b"[]",
    b'{"return": {}, "id": 5}\n',
    b'{"return": {}, "id": []}\n',
    b'{"error": {}, "id": {}}\n',
    b'{"error": {}}\n',
    b'{"event": "STOP"}\n',
    b'{"event": 5}\n',
    b"[" * 1500,
    b"x" * LIMIT,
    b"x" * (LIMIT + 1) + b"\n",
)
places = st.lists(st.integers(0, 1 << 20), max_size=12)
pieces = st.sampled_from(LINES) | st.sampled_from(ODD) | st.binary(max_size=60)


@st.composite
def sessions(draw: st.DrawFn) -> bytes:
    """Draw lines of all sessions, and bytes put in, taken out and written over."""
    stream = b"".join(draw(st.lists(pieces, min_size=1, max_size=25)))
    for at in draw(st.lists(st.integers(0, max(0, len(stream) - 1)), max_size=6)):
        new = draw(st.binary(max_size=3) | st.sampled_from(ODD[3:12]))
        stream = stream[:at] + new + stream[at + draw(st.sampled_from((0, 0, 1, 1, 40))) :]
    return stream


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_seed_is_a_session(seed: bytes) -> None:
    """Each stream of the corpus is heard to its end: replies, then events, none of them wrong."""
    heard = await hear([seed])
    kinds = [call[0] for call in heard.calls]
    assert heard.error == ""
    assert kinds.count("reply") == 10
    assert kinds[-1] == "event"
    watch = vm()
    applied(watch, heard.calls)
    assert watch.risen("qmp_exporter_decode_errors_total") == {}
    assert sum(watch.rows("qemu_events_total").values()) == kinds.count("event")


@given(st.sampled_from(SEEDS), places)
@settings(SOME, max_examples=30)
def test_a_session_means_the_same_wherever_it_is_cut(seed: bytes, cuts: list[int]) -> None:
    """What QEMU really said, in other chunks."""
    check(seed, cuts, page=False)


@given(sessions(), places)
@settings(SOME, max_examples=100)
def test_a_session_that_was_changed_does_no_harm(stream: bytes, cuts: list[int]) -> None:
    """It ends in order or with an error of the protocol; what it said is a page."""
    check(stream, cuts)


@given(st.binary(max_size=2000), places)
@SOME
def test_no_bytes_do_harm(stream: bytes, cuts: list[int]) -> None:
    """Whatever they are."""
    check(stream, cuts)


@pytest.mark.parametrize(
    "fault",
    [
        lambda stream: stream.replace(b"\n", b""),
        lambda stream: stream.replace(b'"', b""),
        lambda stream: stream * 20,
        lambda stream: stream.replace(b"1", b"9" * 5000),
        lambda stream: stream.replace(b"{", b"{" * 1200),
        lambda stream: stream[::-1],
    ],
    ids=["no ends", "no quotes", "again and again", "numbers", "deep", "backwards"],
)
def test_a_session_that_is_all_wrong_does_no_harm(fault: Callable[[bytes], bytes]) -> None:
    """Faults that chance does not make."""
    for seed in SEEDS:
        check(fault(seed), (100, 200, 5000))
