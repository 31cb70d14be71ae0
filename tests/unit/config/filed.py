"""Configuration files for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.config.load import settings
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from pathlib import Path

    from qmp_exporter.config.settings import Settings


def load_text(folder: Path, text: str | bytes, **given: Any) -> Settings:
    """Return the settings of a file with this text, and of these flags."""
    path = folder / "c.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings({"config_file": str(path), **given}, {})


def refused(folder: Path, text: str | bytes) -> str:
    """Return why a file with this text is refused: one line, without the path in front."""
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text)
    said = str(caught.value)
    assert said.isprintable(), "more than a line"
    assert said.startswith(f"{folder}/c.yml:")
    return said.removeprefix(f"{folder}/c.yml:")
