"""Text of others as a label value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import MANY
from qmp_exporter.catalog.text import MAX_BYTES, label_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("web-1", "web-1"),
        ("Kühlschrank \u4e2d", "Kühlschrank \u4e2d"),
        ("a\nb\tc\0d\x7fe\u2028f\u200bg", "a?b?c?d?e?f?g"),
        ("\ud800", "?"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128),
        ("ü" * 64, "ü" * 64),
        ("x" + "ü" * 64, "x" + "ü" * 63),
        ("\U0001f427" * 33, "\U0001f427" * 32),
    ],
)
def test_it_is_fit_for_a_label(text: str, shown: str) -> None:
    """Control characters and surrogates become `?`, and a character is never cut in two."""
    assert label_text(text) == shown


ANY = st.text(st.characters(exclude_categories=()), max_size=200)


@MANY
@given(ANY)
def test_whatever_it_is(text: str) -> None:
    """At most 128 bytes of printable UTF-8; text that is so already is left as it is."""
    shown = label_text(text)
    assert len(shown.encode()) <= MAX_BYTES
    assert shown.isprintable()
    assert label_text(shown) == shown
