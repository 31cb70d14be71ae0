"""The events of three generations of QEMU, as each tells of them (``query-qmp-schema``).

The files say how they are written: ``notation``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER: Final = Path(__file__).parent / "data" / "schemas"
GENERATIONS: Final = ("7.2", "10.0", "11.1")


@cache
def schema(generation: str) -> dict[str, dict[str, Any]]:
    """Return the members of each event of a QEMU."""
    events = json.loads((FOLDER / f"qemu-{generation}.json").read_bytes())["events"]
    return {name: event.get("members", {}) for name, event in events.items()}


def leaves(members: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield the path and the type of each member that has no members."""
    for name, member in members.items():
        yield from _leaves(member["type"], (*path, name))


def _leaves(kind: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    if not isinstance(kind, dict) or "enum" in kind:
        yield path, kind
    elif "array" in kind:
        yield from _leaves(kind["array"], path)
    elif "alternate" in kind:
        for one in kind["alternate"]:
            yield from _leaves(one, path)
    else:
        yield from leaves(kind["object"], path)
        for variant in kind.get("variants", {}).values():
            yield from leaves(variant, path)
