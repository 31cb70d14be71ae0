"""What metrics are called in OpenTelemetry: made from their Prometheus names, by rule.

The rule is the reverse of what the Collector's Prometheus exporter and Prometheus' OTLP receiver do
to a name and a unit, so that both arrive at the Prometheus name again. Source: OpenTelemetry
specification, compatibility/prometheus_and_openmetrics.md, "OTLP Metric points to Prometheus".
"""

from __future__ import annotations

from typing import Final, NamedTuple


class OtelName(NamedTuple):
    """What a metric is called, and its unit in UCUM; empty for numbers of things and for 0 or 1.

    The unit ``1`` is not that of a number of things: it makes a gauge's name end in ``_ratio``.
    """

    name: str
    unit: str


_UNITS: Final = {"_seconds": "s", "_bytes": "By"}
_NAMESPACES: Final = ("qmp_exporter", "qemu")


def otel_name(name: str) -> OtelName:
    """Return what the metric of a Prometheus name is called.

    ``_total`` goes, the unit at the end becomes the metric's, and our prefix a namespace. Names of
    others (``process_``, ``python_``) get none: OpenTelemetry has other metrics under ``process``.
    """
    name = name.removesuffix("_total")
    unit = ""
    for end, ucum in _UNITS.items():
        if name.endswith(end):
            name, unit = name.removesuffix(end), ucum
    for space in _NAMESPACES:
        if name.startswith(f"{space}_"):
            name = f"{space}.{name.removeprefix(f'{space}_')}"
    return OtelName(name, unit)
