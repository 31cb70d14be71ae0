"""The QEMU that is tested with, and what a scenario has to do with its version."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from support import require_tool


if TYPE_CHECKING:
    from collections.abc import Iterator


shows = pytest.mark.shows
"""``@shows("STOP", "RESUME")``: the events that a scenario brings to the scraped page."""

on_qemu = pytest.mark.on_qemu
"""``@on_qemu(since=(9, 2), before=(10, 2), why="...")``: where a scenario applies, and why."""


def binary() -> str:
    """Return the path of the QEMU that is tested with: what QEMU names, else the one installed."""
    return require_tool(os.environ.get("QEMU") or "qemu-system-x86_64")


@cache
def told(path: str) -> str:
    """Return what a QEMU says of its version: ``7.2.22 (Debian ...)``."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"QEMU emulator version (.+)", said)
    assert found, said
    return found[1]


def version_of(path: str) -> tuple[int, ...]:
    """Return major and minor version of a QEMU."""
    return tuple(int(part) for part in told(path).split(".")[:2])


def claims(item: pytest.Item) -> list[str]:
    """Return the events that a test says it shows."""
    return sorted({event for mark in item.iter_markers("shows") for event in mark.args})


def obstacles(item: pytest.Item) -> Iterator[str]:
    """Yield why a test does not apply to the QEMU that is tested with."""
    for mark in item.iter_markers("on_qemu"):
        version = version_of(binary())
        since, before = mark.kwargs.get("since", version), mark.kwargs.get("before")
        if version < since or (before and version >= before):
            yield mark.kwargs["why"]
