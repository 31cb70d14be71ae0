"""The two formats of the page, and which of them a scraper wants.

prometheus-client's own choice fails for versions that are none, and promises every version that
it is asked for.
"""

from __future__ import annotations

from typing import Final


TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_REFUSED: Final = frozenset({"0", "0.", "0.0", "0.00", "0.000"})  # RFC 9110, section 12.4.2


def wants_openmetrics(accept: str) -> bool:
    """Return whether an ``Accept`` header takes OpenMetrics 1.0; else it is the text format."""
    return any(map(_is_openmetrics, accept.split(",")))


def _is_openmetrics(entry: str) -> bool:
    kind, *parameters = (part.strip() for part in entry.lower().split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    return (
        kind == "application/openmetrics-text"
        and given.get("version", "1.0.0") == "1.0.0"
        and given.get("q") not in _REFUSED
    )
