"""Writes the dashboards, the rules and the alerts; with ``--check``, fails when one is not current.

As ``scripts/dashboards`` runs it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import exporter, fleet, migrations, rules, storage, vm
from dashboards.alerts import GROUPS


if TYPE_CHECKING:
    from collections.abc import Iterator

    from grafana_foundation_sdk.builders.dashboard import Dashboard


HERE: Final = Path(__file__).parent
GENERATED: Final = "# Written by scripts/dashboards from dashboards/{}; edit that instead.\n"


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def rule_file(source: str, groups: list[dict[str, Any]]) -> str:
    """Return a file of rules."""
    text = yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=1000)
    return GENERATED.format(source) + text


def dashboard_file(made: Dashboard) -> str:
    """Return a dashboard as Grafana imports it.

    Its panels are numbered, for links to them, and its links are not hidden in a menu.
    """
    found = json.loads(JSONEncoder().encode(made.build()))
    for number, panel in enumerate(found["panels"], start=1):
        panel["id"] = number
    for link in found["links"]:
        del link["placement"]
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file, and what is in it."""
    alerts = [
        {"name": name, "rules": [alert.rule for alert in found]} for name, found in GROUPS.items()
    ]
    for board in (fleet, vm, migrations, storage, exporter):
        name = board.__name__.rpartition(".")[2]
        yield HERE / "grafana" / f"{name}.json", dashboard_file(board.build())
    yield HERE / "prometheus" / "rules.yaml", rule_file("rules.py", [rules.group()])
    yield HERE / "prometheus" / "alerts.yaml", rule_file("alerts.py", alerts)


def main() -> int:
    """Write what has changed, or with ``--check`` say so."""
    stale = []
    for path, text in files():
        if not path.exists() or path.read_text() != text:
            stale.append(path)
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    for path in stale:
        print("stale:" if "--check" in sys.argv else "written:", path.relative_to(HERE.parent))
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
