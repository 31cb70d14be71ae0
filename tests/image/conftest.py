"""What the tests of the container image share: the image, and a container of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from image.container import Container, describe, unpacked
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import Iterator


SHELLS: Final = ("sh", "bash", "dash", "rbash", "busybox")


@pytest.fixture(scope="session")
def image() -> str:
    """The image, as buildah knows it."""
    if not (found := os.environ.get("IMAGE")):
        pytest.fail("there is no image: run these with scripts/image --check")
    for program in ("buildah", "curl", "ip", "nsenter", "unshare"):
        require_tool(program)
    return found


@pytest.fixture(scope="session")
def whole(image: str) -> Iterator[Path]:
    """The root of the image, as it is."""
    with unpacked(image) as (_, root):
        yield root


@pytest.fixture(scope="session")
def shell_less(image: str) -> Iterator[tuple[str, Path]]:
    """A container of the image without the shells of its base: for buildah, and its root."""
    with unpacked(image) as (name, root):
        for folder in ("bin", "usr/bin", "usr/local/bin"):
            for shell in SHELLS:
                (root / folder / shell).unlink(missing_ok=True)
        assert not (root / "bin/sh").exists()
        yield name, root


@pytest.fixture
def container(image: str, shell_less: tuple[str, Path]) -> Container:
    """What runs in it."""
    return Container(shell_less[1], describe(image))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name, for sockets."""
    require_tool(os.environ.get("QEMU") or "qemu-system-x86_64")
    with tempfile.TemporaryDirectory(prefix="image") as directory:
        yield Path(directory)
