"""What our dashboards may do against the rules of Grafana's dashboard-linter, and why.

Source: grafana/dashboard-linter, docs/index.md, "Exclusions and Warnings", and
lint/configuration.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import yaml

from boards.board import ROOT
from boards.lint import RULES


if TYPE_CHECKING:
    from collections.abc import Iterable

    from boards.board import Json
    from boards.lint import Finding


EXCEPTIONS: Final = ROOT / "dashboards" / "lint.yaml"


class Exclusion(NamedTuple):
    """A finding that is meant to be.

    Attributes:
        rule: of the finding.
        dashboard: of the finding.
        panel: of the finding; empty for findings that are of no panel.
        query: of the finding; empty for all queries of the panel.
        reason: why.
    """

    rule: str
    dashboard: str
    panel: str
    query: str
    reason: str

    def excuses(self, finding: Finding) -> bool:
        """Tell whether the finding is meant."""
        return self[:3] == finding[:3] and self.query in ("", finding.query)


def exclusions(text: str) -> list[Exclusion]:
    """Read exceptions, which are written as in the ``.lint`` file of the linter.

    Unlike there, an exception is of one dashboard always, of one panel unless the finding is of
    none, and of one query by its ``refId``; there are no warnings.

    Raises:
        ValueError: something in it is unknown.
    """
    model = yaml.safe_load(text) or {}
    _only(model, {"exclusions"})
    found = []
    for rule, entries in (model.get("exclusions") or {}).items():
        if rule not in RULES:
            raise ValueError(f"no rule {rule}")
        _only(entries, {"reason", "entries"})
        for entry in entries.get("entries") or ():
            _only(entry, {"dashboard", "panel", "refId", "reason"})
            reason = entry.get("reason") or entries.get("reason") or ""
            board, panel, ref = (entry.get(name) or "" for name in ("dashboard", "panel", "refId"))
            found.append(Exclusion(rule, board, panel, ref, reason))
    return found


def _only(model: Json, names: set[str]) -> None:
    unknown = model.keys() - names
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")


def unexcused(findings: Iterable[Finding], found: Iterable[Exclusion]) -> list[Finding]:
    """Return the findings that no exception excuses."""
    known = list(found)
    return [finding for finding in findings if not any(one.excuses(finding) for one in known)]
