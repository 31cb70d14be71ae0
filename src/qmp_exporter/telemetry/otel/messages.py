"""Lets the SDK's exporters of metrics send what is put together already.

They would take the SDK's own data model, of which encode.py says why it is not used. Private
members of opentelemetry 1.45 that this relies on: ``_export_batch`` of the exporter over HTTP;
``_export``, ``_translate_data`` and ``_count_data`` of that over gRPC. A test fails when one is
missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from qmp_exporter.telemetry.otel.request import Request


def take_messages(exporter: Any) -> Any:
    """Return an exporter of metrics, whose ``export`` takes a ``Request`` from now on."""
    if hasattr(exporter, "_export_batch"):
        send = exporter._export_batch  # noqa: SLF001 - see above
    else:
        send = exporter._export  # noqa: SLF001 - see above
        exporter._translate_data = lambda message: message  # noqa: SLF001 - see above
        exporter._count_data = lambda _: 0  # noqa: SLF001 - see above; we count ourselves

    def export(request: Request) -> Any:
        return send(request.message())

    exporter.export = export
    return exporter
