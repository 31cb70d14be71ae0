"""Text of others, made fit for a label value."""

from __future__ import annotations

from typing import Final


MAX_BYTES: Final = 128
_SHORT: Final = MAX_BYTES // 4  # this many characters never exceed it, whatever they are


def label_text(text: str) -> str:
    """Return ``text`` as a label value: at most 128 bytes of UTF-8, no control characters.

    Lone surrogates, which JSON can carry and UTF-8 cannot, and control characters become ``?``.
    """
    if len(text) <= _SHORT and text.isprintable():
        return text
    clean = "".join(c if c.isprintable() else "?" for c in text[:MAX_BYTES])
    return clean.encode("utf-8", "replace")[:MAX_BYTES].decode("utf-8", "ignore")
