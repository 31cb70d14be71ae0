"""What every group is given."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Iterator


SMALLER: Final = 10
"""What sizes are divided by to try whether everything runs."""


@dataclass(frozen=True)
class Bench:
    """A run of benchmarks.

    Attributes:
        rounds: how often each row is measured.
        small: whether sizes are reduced.
        place: an empty folder, for programs that are built.
    """

    rounds: int
    small: bool
    place: Path

    def size(self, whole: int) -> int:
        """Return a size, or what is left of it where sizes are reduced."""
        return max(1, whole // SMALLER) if self.small else whole

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Make a folder of a short name, for sockets and logs, and remove it."""
        with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as name:
            yield Path(name)
