"""What two pages differ in, and texts that people have read."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Final

import pytest


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UPDATE: Final = os.environ.get("GOLDEN_UPDATE") == "1"
FLEET: Final = "qmp_exporter_fleet_"
MANY: Final = "qemu_migration_status"


def series(page: str) -> dict[str, str]:
    """Return the samples of the VMs in a page's order, each with its value, to 0.1 ms."""
    lines = (line for line in page.splitlines() if not line.startswith(("#", FLEET)))
    samples = (line.rpartition(" ") for line in lines)
    return {head: repr(round(float(v), 4)).removesuffix(".0") for head, _, v in samples}


def differing(before: str, after: str) -> Iterator[str]:
    """Yield the samples of a page that are not so, or not at all, in an earlier one.

    A family is in the order of the page, its VMs in that of their names.
    """
    old, new = series(before), series(after)
    families = list(dict.fromkeys(map(_family, (*new, *old))))
    order = {head: (families.index(_family(head)), head.split('"')[1]) for head in (*new, *old)}
    for head in sorted(order, key=order.__getitem__):
        absent = "0" if _family(head) == MANY else ""
        if head not in new:
            yield f"# gone: {head}"
        elif old.get(head, absent) != new[head]:
            yield f"{head} {new[head]}"


def _family(head: str) -> str:
    return head.partition("{")[0]


def checked(text: str, file: Path, how: str) -> None:
    """Fail where a text is not that of its file; write it, if that is asked for.

    Args:
        text: what was found.
        file: what is expected.
        how: the command that writes it anew.
    """
    if UPDATE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    expected = file.read_text() if file.exists() else ""
    if text != expected:
        found = difflib.unified_diff(
            expected.splitlines(), text.splitlines(), str(file), "found", lineterm=""
        )
        pytest.fail("\n".join([*found, f"If that is right: {how}"]), pytrace=False)
