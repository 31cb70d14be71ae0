"""What the long tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import require_tool


if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name, for sockets and logs."""
    require_tool(os.environ.get("QEMU") or "qemu-system-x86_64")
    with tempfile.TemporaryDirectory(prefix="soak") as directory:
        yield Path(directory)
