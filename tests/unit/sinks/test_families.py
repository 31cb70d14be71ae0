"""The page in pieces: it says what was put last, and what stayed is the very same piece."""

from __future__ import annotations

import random

import pytest

from qmp_exporter.sinks.families import SEATS, Family, Seats
from qmp_exporter.telemetry.body import plain
from qmp_exporter.telemetry.samples import About


HEAD = b'# HELP m_total Of "a", \\\\ and \\n.\n# TYPE m_total counter\n'
OPEN = b'# HELP m Of \\"a\\", \\\\ and \\n.\n# TYPE m counter\n'


def family() -> Family:
    """A counter without samples, whose help has to be escaped."""
    return Family(About("m_total", "counter", 'Of "a", \\ and \n.'))


def shown(of: Family, *, openmetrics: bool = False) -> bytes:
    """Its text."""
    return plain(of.pieces(openmetrics=openmetrics))


def test_seats_are_had_by_one_at_a_time() -> None:
    """Those that are left are taken again before there are more."""
    seats = Seats()
    assert [seats.take() for _ in range(3)] == [0, 1, 2]
    seats.leave(1)
    assert [seats.take() for _ in range(2)] == [1, 3]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_no_samples_no_head(*, openmetrics: bool) -> None:
    """A metric that nobody has is not on the page, also when it was there before."""
    of = family()
    assert of.pieces(openmetrics=openmetrics) == []
    of.put(0, b"a 1\n", b"a 1 # {}\n")
    of.put(0, b"")
    of.put(99, b"")
    assert of.pieces(openmetrics=openmetrics) == []


def test_head_and_samples() -> None:
    """OpenMetrics names a counter without its suffix in the head, and escapes quotes there."""
    of = family()
    of.put(0, b"a 1\n")
    of.put(SEATS, b"b 1\n")
    assert shown(of) == HEAD + b"a 1\nb 1\n"
    assert shown(of, openmetrics=True) == OPEN + b"a 1\nb 1\n"


def test_only_openmetrics_has_exemplars() -> None:
    """And only those that are there now, of each VM its own."""
    of = family()
    of.put(0, b"a 1\n", b"a 1 # {}\n")
    of.put(1, b"b 1\n")
    assert shown(of) == HEAD + b"a 1\nb 1\n"
    assert shown(of, openmetrics=True) == OPEN + b"a 1 # {}\nb 1\n"
    of.put(0, b"a 2\n")
    assert shown(of, openmetrics=True) == OPEN + b"a 2\nb 1\n"
    of.put(1, b"b 1\n", b"b 1 # {}\n")
    assert shown(of, openmetrics=True) == OPEN + b"a 2\nb 1 # {}\n"
    of.put(1, b"")
    assert shown(of, openmetrics=True) == OPEN + b"a 2\n"


def test_what_did_not_change_is_the_same_piece() -> None:
    """So it is packed once; what changed costs no more than what it stands among."""
    of = family()
    for seat in range(10 * SEATS):
        of.put(seat, b"%d\n" % seat)
    before = of.pieces(openmetrics=False)
    assert len(before) == 11
    assert of.pieces(openmetrics=False) == before
    assert of.pieces(openmetrics=True)[1:] == before[1:]
    of.put(50, b"50\n")
    assert of.pieces(openmetrics=False) == before
    of.put(50, b"changed\n")
    after = of.pieces(openmetrics=False)
    assert sum(one is not other for one, other in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_and_goes(seed: int) -> None:
    """Each seat has its last text, once; nothing is kept of those that were left."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    of, texts = family(), dict[int, tuple[bytes, bytes]]()
    for step in range(3000):
        seat = chance.randrange(5 * SEATS)
        text = b"%d %d\n" % (seat, step) * chance.choice((0, 1, 2, 300))
        marked = text.replace(b"\n", b" #\n") if chance.random() < 0.2 else b""
        of.put(seat, text, marked)
        texts[seat] = text, marked or text
        if step % 100 == 0:
            for openmetrics in (False, True):
                lines = shown(of, openmetrics=openmetrics).splitlines()[2:]
                wanted = b"".join(both[openmetrics] for both in texts.values()).splitlines()
                assert sorted(lines) == sorted(wanted)
    for seat in texts:
        of.put(seat, b"")
    assert of.pieces(openmetrics=False) == of.pieces(openmetrics=True) == []
    assert not of._rows
    assert not of._marked
