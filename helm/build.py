"""Writes what of the chart is made of other files; with ``--check``, fails when it is not current.

Copies of dashboards and rules, as a chart can read no file outside of itself; the schema of the
exporter's configuration file in that of the values; and the table of values in the README, from
the comments of values.yaml. As ``scripts/chart --write`` runs it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml


if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT: Final = Path(__file__).parent.parent
CHART: Final = ROOT / "helm" / "qmp-exporter"
SET_BY_CHART: Final = ("listen_address", "systemd_socket", "config_file")
"""Keys of ``web`` that are no values: the chart sets them by flags."""

HEAD: Final = """\
# qmp-exporter

<!-- Written by scripts/chart --write from values.yaml; edit that, or helm/build.py, instead. -->

{description}.
How it is installed, and how the sidecar goes into a chart of yours, is in
[docs/howto/kubernetes.md]({home}/blob/main/docs/howto/kubernetes.md).

    helm install qmp-exporter helm/qmp-exporter --set podMonitor.enabled=true

It takes Kubernetes {kube} and later; PodMonitor, ServiceMonitor and PrometheusRule take the
Prometheus operator. Names of values are checked: one that is unknown is an error.

## Templates for your chart

{templates}

All take your chart's scope (`.`), or that of the dependency where it has another name:
`(index .Subcharts "NAME")`.

## Values

| value | default | what it does |
| --- | --- | --- |
"""


class UndocumentedError(Exception):
    """A value has no comment."""


def comment(lines: list[str], line: int) -> str:
    """Return the comment right above a line, as one line."""
    found: list[str] = []
    while line and lines[line - 1].strip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(found)


def values(text: str) -> Iterator[tuple[str, Any, str]]:
    """Yield path, default and comment of each value.

    A mapping with comments in it is a section; one without is a value.

    Raises:
        UndocumentedError: there is no comment above one.
    """
    lines = text.splitlines()
    loader = yaml.SafeLoader(text)

    def walk(node: yaml.MappingNode, above: str) -> Iterator[tuple[str, Any, str]]:
        for key, value in node.value:
            path = f"{above}{key.value}"
            said = comment(lines, key.start_mark.line)
            inside = isinstance(value, yaml.MappingNode) and any(
                comment(lines, child.start_mark.line) for child, _ in value.value
            )
            if inside:
                yield from walk(value, f"{path}.")
            elif not said:
                raise UndocumentedError(f"values.yaml: {path} has no comment above it")
            else:
                yield path, loader.construct_document(value), said

    node = yaml.compose(text, yaml.SafeLoader)
    if isinstance(node, yaml.MappingNode):
        yield from walk(node, "")


def readme() -> str:
    """Return README.md."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    text = HEAD.format(
        description=chart["description"],
        home=chart["home"],
        kube=chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0"),
        templates=templates(),
    )
    for path, default, said in values((CHART / "values.yaml").read_text()):
        shown = json.dumps(default, sort_keys=True).replace("|", "\\|")
        text += f"| `{path}` | `{shown}` | {said.replace('|', chr(92) + '|')} |\n"
    return text


def templates() -> str:
    """Return the list of templates for other charts, as their file has it."""
    head = (CHART / "templates" / "_sidecar.tpl").read_text().partition("*/}}")[0]
    found: list[list[str]] = []
    for line in head.splitlines():
        if line.startswith("qmp-exporter."):
            name, _, said = line.partition(" ")
            found.append([f"`{name}`:", said.strip()])
        elif found and line.strip():
            found[-1].append(line.strip())
    return "\n".join("- " + " ".join(words) for words in found)


def plain(schema: Any) -> Any:
    """Return a schema as Go can read it, whose expressions have no lookahead: without those.

    What it lets pass the exporter itself refuses, and so does ``--config.check``.
    """
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: plain(value)
        for key, value in schema.items()
        if key not in ("$schema", "title", "if", "then", "else")
        and not (key == "pattern" and isinstance(value, str) and "(?" in value)
    }
    return {key: value for key, value in found.items() if key != "propertyNames" or value}


def values_schema() -> str:
    """Return values.schema.json with the exporter's own schema in it."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    source = ROOT / "src" / "qmp_exporter" / "config" / "schema.json"
    config = plain(json.loads(source.read_text()))
    config["type"] = "object"
    for key in SET_BY_CHART:
        del config["properties"]["web"]["properties"][key]
    schema["definitions"]["config"] = config
    return json.dumps(schema, indent=2) + "\n"


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file that is made, and what is in it."""
    boards = ROOT / "dashboards"
    for path in sorted((boards / "grafana").glob("*.json")):
        yield CHART / "files" / "dashboards" / path.name, path.read_text()
    for name in ("rules.yaml", "alerts.yaml"):
        yield CHART / "files" / name, (boards / "prometheus" / name).read_text()
    yield CHART / "values.schema.json", values_schema()
    yield CHART / "README.md", readme()


def main() -> int:
    """Write what has changed, or with ``--check`` say so."""
    check = "--check" in sys.argv
    wanted = dict(files())
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    gone = [path for path in (CHART / "files" / "dashboards").iterdir() if path not in wanted]
    if not check:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        for path in gone:
            path.unlink()
    for path in stale + gone:
        verb = "stale" if check else "written" if path in wanted else "removed"
        sys.stdout.write(f"{verb}: {path.relative_to(ROOT)}\n")
    return int(check and bool(stale or gone))


if __name__ == "__main__":
    sys.exit(main())
