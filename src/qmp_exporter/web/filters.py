"""Which metrics a scrape asks for: ``name[]`` by name, ``collect[]`` and ``exclude[]`` by group.

Parameters of other names are ignored, as node_exporter does, from which the latter two are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qmp_exporter.errors import RequestError


if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping


def wanted(query: MultiMapping[str], groups: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the names of the series that are asked for; empty for all.

    Args:
        query: of the request.
        groups: the names of the series of each group.

    Raises:
        RequestError: the query asks for what there is not, or contradicts itself.
    """
    names = frozenset(query.getall("name[]", ()))
    collected = _known("collect[]", query, groups)
    excluded = _known("exclude[]", query, groups)
    if collected and excluded:
        raise RequestError("found collect[] and exclude[]; expected one of them")
    if not (collected or excluded):
        return names
    chosen = collected or groups.keys() - excluded
    within = frozenset().union(*(groups[group] for group in chosen))
    # No series has no name: what is empty in the end is not all.
    return (names & within if names else within) or frozenset({""})


def _known(
    parameter: str, query: MultiMapping[str], groups: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    found = frozenset(query.getall(parameter, ()))
    if found - groups.keys():
        raise RequestError(f"found an unknown group in {parameter}; expected {', '.join(groups)}")
    return found
