"""Numbers and times in words."""

from __future__ import annotations

import pytest

from qmp_exporter.web.html.words import address, clock, duration, size, utc


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "under 1 s"),
        (0.9, "under 1 s"),
        (1, "1 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7470, "2 h 4 min"),
        (86400 * 1000 + 3600, "1,000 d 1 h"),
        (float("nan"), "an unknown time"),
        (float("inf"), "an unknown time"),
    ],
)
def test_duration_is_two_units(seconds: float, text: str) -> None:
    """A length of time is given in its largest unit and the next smaller one."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")],
)
def test_size_is_in_binary_units(amount: int, text: str) -> None:
    """To one decimal."""
    assert size(amount) == text


def test_moment_is_utc() -> None:
    """A machine reads the same as people do."""
    assert utc(86400.9) == '<time datetime="1970-01-02T00:00:00Z">1970-01-02 00:00:00</time>'
    assert clock(3661) == '<time datetime="1970-01-01T01:01:01Z">01:01:01</time>'


@pytest.mark.parametrize(
    ("vm", "address_"),
    [("web", "vm?name=web"), ('a/b c&"d', "vm?name=a%2Fb%20c%26%22d"), ("\udcff", "vm?name=%3F")],
)
def test_any_name_has_an_address(vm: str, address_: str) -> None:
    """Every character that means something in a URL or in HTML is escaped."""
    assert address(vm) == address_
