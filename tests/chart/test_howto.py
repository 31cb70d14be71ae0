"""docs/howto/kubernetes.md: what stands there the chart takes, and the example does."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from chart.rendering import CHART, ROOT, chart, render
from helm import build


PAGE: Final = (ROOT / "docs" / "howto" / "kubernetes.md").read_text()
BLOCKS: Final = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE: Final = CHART.parent / "examples" / "qemu-pod"


def values() -> list[dict[str, Any]]:
    """Return the blocks that are values; those of the dependency without its name."""
    read = [yaml.safe_load(text) for text in BLOCKS if "{{" not in text]
    return [one.get(chart().name, one) for one in read if "dependencies" not in one]


@pytest.mark.parametrize("given", values(), ids="-".join)
def test_values(given: dict[str, Any]) -> None:
    """Every block of values is one that the chart takes, and makes a difference."""
    assert render(given) != render({})


def test_dependency() -> None:
    """The dependency reads as in the example, of the version that there is."""
    (block,) = (text for text in BLOCKS if "dependencies" in text)
    assert block in (EXAMPLE / "Chart.yaml").read_text()
    assert f"version: {chart().version}\n" in block


def test_template() -> None:
    """The lines of the template are those of the example, but for how far in they stand."""

    def flat(text: str) -> str:
        return re.sub(r"nindent \d+", "nindent", " ".join(text.split()))

    (block,) = (text for text in BLOCKS if "{{" in text)
    example = flat((EXAMPLE / "templates" / "statefulset.yaml").read_text())
    included = re.findall(r"{{.*?}}", block)
    assert len(included) == 3
    for line in (*included, *re.findall(r"`- ({{.*?}})`", PAGE)):
        assert flat(line) in example


def test_names() -> None:
    """Every value and template that the page names is there."""
    known = {path for path, _, _ in build.values((CHART / "values.yaml").read_text())}
    sections = {path.partition(".")[0] for path in known}
    for name in re.findall(r"`([a-z][A-Za-z]+\.[A-Za-z.]+)(?:: \w+)?`", PAGE):
        if name.partition(".")[0] in sections and not name.endswith((".md", ".yml", ".crt")):
            assert name in known, name
    helpers = (CHART / "templates" / "_sidecar.tpl").read_text()
    for name in re.findall(r"qmp-exporter\.sidecar[.a-z]*", PAGE):
        assert f'define "{name.rstrip(".")}"' in helpers, name


def test_links() -> None:
    """Every link of the page leads to a file or a heading that is there."""
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = link.partition("#")
        if link.startswith("https://"):
            continue
        if path:
            assert (ROOT / "docs" / "howto" / path).exists(), link
        else:
            assert anchor in anchors, link
