"""The page in pieces: it says what was put last, and what stayed is the very same piece."""

from __future__ import annotations

import random

import pytest

from qmp_exporter.sinks.families import JOINED, Family
from qmp_exporter.telemetry.body import plain
from qmp_exporter.telemetry.samples import About


HEAD = b"# HELP m_total Of \\\\ and \\n.\n# TYPE m_total counter\n"
OPEN = b"# HELP m Of \\\\ and \\n.\n# TYPE m counter\n"


def family() -> Family:
    """A counter without samples, whose help has to be escaped."""
    return Family(About("m_total", "counter", "Of \\ and \n."))


def shown(of: Family, *, openmetrics: bool = False) -> bytes:
    """Its text."""
    return plain(of.pieces(openmetrics=openmetrics))


@pytest.mark.parametrize("openmetrics", [False, True])
def test_no_samples_no_head(*, openmetrics: bool) -> None:
    """A metric that nobody has is not on the page, also when it was there before."""
    of = family()
    assert of.pieces(openmetrics=openmetrics) == []
    of.put("a", b"a 1\n")
    of.put("a", b"")
    of.put("b", b"")
    assert of.pieces(openmetrics=openmetrics) == []


def test_head_and_samples() -> None:
    """OpenMetrics names a counter without its suffix in the head; both escape the help."""
    of = family()
    of.put("a", b"a 1\n")
    of.put("b", b"b 1\n")
    assert shown(of) == HEAD + b"a 1\nb 1\n"
    assert shown(of, openmetrics=True) == OPEN + b"a 1\nb 1\n"


def test_only_openmetrics_has_exemplars() -> None:
    """And only as long as there are any."""
    of = family()
    of.put("a", b"a 1\n", b"a 1 # {}\n")
    of.put("b", b"b 1\n")
    assert shown(of) == HEAD + b"a 1\nb 1\n"
    assert shown(of, openmetrics=True) == OPEN + b"a 1 # {}\nb 1\n"
    of.put("a", b"a 2\n")
    assert shown(of, openmetrics=True) == OPEN + b"a 2\nb 1\n"
    of.put("b", b"b 1\n", b"b 1 # {}\n")
    of.put("b", b"")
    assert shown(of, openmetrics=True) == OPEN + b"a 2\n"


def test_what_did_not_change_is_the_same_piece() -> None:
    """So it is packed once; what changed costs no more than what it is joined to."""
    of = family()
    for number in range(100):
        of.put(number, b"%d\n" % number * (JOINED // 10))
    before = of.pieces(openmetrics=False)
    assert of.pieces(openmetrics=False) == before
    assert of.pieces(openmetrics=True)[1:] == before[1:]
    assert all(len(piece.text) < 2 * JOINED for piece in before)
    of.put(50, b"changed\n")
    after = of.pieces(openmetrics=False)
    assert sum(one is not other for one, other in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_and_goes(seed: int) -> None:
    """Each owner has its last text, once; nothing is kept of those that went."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    of, texts = family(), dict[int, tuple[bytes, bytes]]()
    for step in range(3000):
        owner = chance.randrange(200)
        size = chance.choice((0, 1, 50, JOINED // 20))
        text = b"%d %d\n" % (owner, step) * size
        marked = text.replace(b"\n", b" #\n") if chance.random() < 0.2 else b""
        of.put(owner, text, marked)
        texts.pop(owner, None) if not text else texts.update({owner: (text, marked or text)})
        if step % 100 == 0:
            for openmetrics in (False, True):
                lines = shown(of, openmetrics=openmetrics).splitlines()[2:]
                wanted = b"".join(both[openmetrics] for both in texts.values()).splitlines()
                assert sorted(lines) == sorted(wanted)
    for owner in list(texts):
        of.put(owner, b"")
    assert of.pieces(openmetrics=False) == []
    assert not of._of
    assert not of._segments
