"""What QEMUs of three generations tell of their events, as their ``query-qmp-schema`` had it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final


FOLDER: Final = Path(__file__).parent / "data" / "qemu-events"

GENERATIONS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    file.stem: json.loads(file.read_text())["events"] for file in FOLDER.glob("*.json")
}
"""From major and minor version to the events, by name, each with its ``members``."""
