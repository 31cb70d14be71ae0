"""What became of an export: what the SDK's exporters know of it and do not tell."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.http.transport._requests import (
    RequestsHTTPResult,
    RequestsHTTPTransport,
)
from opentelemetry.exporter.otlp.common._exporter_metrics import ExportResult
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from qmp_exporter.telemetry.otel.reasons import reason_of


if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.exporter.http.transport._base import BaseHTTPResult

    from qmp_exporter.config.otlp import Otlp


_ANSWERS: Final[dict[str, tuple[Any, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
_LONGEST: Final = 64 * 1024
"""Bytes of an answer: it holds a number and a message."""
_REDIRECTS: Final = range(300, 400)


class Outcome:
    """Of the last export.

    It stands where the SDK would measure its exports, and there it is told why one failed.

    Args:
        what: ``traces``, ``logs`` or ``metrics``.

    Attributes:
        answer: of the collector, as bytes or as a message.
    """

    def __init__(self, what: str) -> None:
        self._answer, self._rejected = _ANSWERS[what]
        self.begin()

    def begin(self) -> None:
        """Forget the one before."""
        self._result = ExportResult()
        self.answer: Any = b""

    @contextmanager
    def export_operation(self, num_items: int) -> Iterator[ExportResult]:  # noqa: ARG002
        """Be told of an export, by the SDK."""
        self._result = ExportResult()
        yield self._result

    @property
    def reason(self) -> str:
        """Why it failed."""
        status: Any = next(iter((self._result.error_attrs or {}).values()), None)
        return reason_of(self._result.error, status)

    @property
    def rejected(self) -> tuple[int, str]:
        """How many items a collector that took the rest did not take, and why.

        Source: opentelemetry-proto, docs/specification.md, "Partial Success".
        """
        answer = self.answer
        if isinstance(answer, bytes):
            try:
                answer = self._answer.FromString(answer)
            except DecodeError:  # or JSON; it took all, or it would be none of success
                return 0, ""
        partial = answer.partial_success
        number = getattr(partial, self._rejected)
        return number, f"{number} rejected: {partial.error_message}" if number else ""


class RedirectedError(Exception):
    """A collector sent us elsewhere, with our telemetry, which is for the user to decide."""


class Transport(RequestsHTTPTransport):
    """HTTP as the SDK does it, but for four things.

    ``REQUESTS_CA_BUNDLE`` does not come before a certificate that was set; a redirect, which the
    SDK takes for success, is a failure; the answer is kept, of which there may be no end; and
    connections end when it is closed.
    """

    def __init__(self, otlp: Otlp, outcome: Outcome) -> None:
        pair = (otlp.client_certificate, otlp.client_key) if otlp.client_key else None
        self._verify = otlp.certificate or True
        self._outcome = outcome
        super().__init__(verify=self._verify, cert=pair or otlp.client_certificate or None)

    def request(self, method: str, url: str, **more: Any) -> BaseHTTPResult:
        """Send a request."""
        try:
            response = self._session.request(
                method, url, allow_redirects=False, stream=True, verify=self._verify, **more
            )
        except Exception as err:  # noqa: BLE001 - the SDK decides on it
            return RequestsHTTPResult(error=err)
        if response.status_code in _REDIRECTS:
            response.close()
            where = response.headers.get("location", "nowhere")
            return RequestsHTTPResult(
                error=RedirectedError(f"{response.status_code}, redirected to {where}")
            )
        # The status says it all; what is with it may be missing.
        with suppress(Exception), response:
            self._outcome.answer = response.raw.read(_LONGEST, decode_content=True)
        return RequestsHTTPResult(response.status_code, response.reason, response=response)

    def close(self) -> None:
        """End all connections but one that is in use.

        urllib3 2 leaves them to the garbage collector, and an error that it raised keeps them from
        that for long.
        """
        adapters: Any = self._session.adapters
        for adapter in adapters.values():
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated
                    if (pool := manager.pools.get(key)) is not None:
                        pool.close()
        super().close()


def watch(exporter: Any, outcome: Outcome) -> None:
    """Keep the answers that an exporter over gRPC gets, on each channel that it opens."""
    connect = exporter._initialize_channel_and_stub  # noqa: SLF001 - see exporters.py

    def kept() -> None:
        export = exporter._client.Export  # noqa: SLF001

        def call(**arguments: Any) -> None:
            outcome.answer = export(**arguments)

        exporter._client = SimpleNamespace(Export=call)  # noqa: SLF001

    def reconnect() -> None:
        connect()
        kept()

    exporter._initialize_channel_and_stub = reconnect  # noqa: SLF001
    kept()
