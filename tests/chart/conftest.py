"""What tests of the chart share."""

from __future__ import annotations

import shutil
from typing import Any

import helm_python
import pytest

from chart.rendering import CHART


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example chart with its dependency, which Helm has put where it belongs."""
    copy = tmp_path_factory.mktemp("chart") / "helm"
    shutil.copytree(CHART.parent, copy, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    path = copy / "examples" / "qemu-pod"
    helm_python.dependency_update(path, skip_refresh=True)
    return helm_python.Chart.load(path)
