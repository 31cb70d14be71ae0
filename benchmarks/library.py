"""Rendering by prometheus-client: a program, ``library.py FILE``.

Before anything is measured, FILE, an exposition, is read into families with all their samples; a
collector has only to hand them over, so that nothing but `generate_latest` is measured. It renders
once for each order, and says how many seconds that took and how many bytes came.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric


class Kept(Collector):
    """The families of an exposition."""

    def __init__(self, text: str) -> None:
        self._families = list(text_string_to_metric_families(text))

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def main(path: str) -> None:
    """Render until the input ends."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Kept(Path(path).read_text()))
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        body = generate_latest(registry)
        print(json.dumps({"seconds": time.perf_counter() - began, "bytes": len(body)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
