"""The SDK's exporters, made from our settings, and what became of what they were to send.

Private members of opentelemetry 1.45 that this and outcome.py rely on: the argument ``_transport``
of the exporters over HTTP, and ``RequestsHTTPTransport``, which it takes; the member ``_metrics``
of all over OTLP, which is told why an export failed; of those over gRPC,
``_initialize_channel_and_stub`` and ``_client``. A test fails when one is missing.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry.exporter.otlp.common.http import Compression

from qmp_exporter.telemetry.otel.messages import exporters_of_ours, take_messages
from qmp_exporter.telemetry.otel.outcome import Outcome, Transport, watch
from qmp_exporter.telemetry.otel.reasons import reason_of


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qmp_exporter.config.otel import Metrics, Signal
    from qmp_exporter.config.otlp import Otlp
    from qmp_exporter.telemetry.otel.request import Request


T = TypeVar("T")

OURS: Final = "OTEL_EXPORTER_OTLP_"
"""Variables that the exporters would read a second time, and not all as we do."""

_CLASSES: Final = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
}

log = logging.getLogger(__name__)


class Way(Generic[T]):
    """A way out: an exporter of the SDK.

    Args:
        exporter: which.
        name: where it goes, for people.
        outcome: what it tells of its exports.
    """

    def __init__(self, exporter: Any, name: str, outcome: Outcome) -> None:
        self.name = name
        self._exporter = exporter
        self._outcome = outcome
        self._closed = False

    def send(self, batch: Sequence[T] | Request) -> tuple[int, str]:
        """Export a batch; return how many items of it were not taken, and why."""
        self._outcome.begin()
        try:
            if self._exporter.export(batch).name != "SUCCESS":
                return len(batch), self._outcome.reason
            number, reason = self._outcome.rejected
        except Exception as err:  # noqa: BLE001 - whatever it is, the next one may do
            return len(batch), reason_of(err)
        return min(number, len(batch)), reason

    def close(self) -> None:
        """Let go of connections, and stop trying again."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()


def ways(what: str, found: Signal | Metrics) -> list[Way[Any]]:
    """Return the ways out of a signal.

    Args:
        what: ``traces``, ``logs`` or ``metrics``.
        found: its settings.
    """
    take_over()
    made: list[Way[Any]] = []
    for name in found.exporters:
        outcome = Outcome(what)
        if name == "console":
            made.append(Way(_console(what), "stdout", outcome))
        elif found.otlp is not None:
            make = _grpc if found.otlp.protocol == "grpc" else _http
            timeout = min(found.otlp.timeout, found.timeout)
            with _alone():
                exporter = make(what, found.otlp, timeout, outcome)
            exporter._metrics = outcome  # noqa: SLF001 - see above
            if what == "metrics":
                exporter = take_messages(exporter)
            made.append(Way(exporter, found.otlp.shown, outcome))
    return made


def _http(what: str, otlp: Otlp, timeout: float, outcome: Outcome) -> Any:
    return _exporter("http", what)(
        endpoint=otlp.endpoint,
        headers=dict(otlp.headers),
        timeout=timeout,
        compression=Compression(otlp.compression),
        _transport=Transport(otlp, outcome),
    )


def _grpc(what: str, otlp: Otlp, timeout: float, outcome: Outcome) -> Any:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its library writes to stderr by itself
    grpc: Any = import_module("grpc")  # an extra
    credentials = None
    if otlp.secure:
        credentials = grpc.ssl_channel_credentials(
            *map(_content, (otlp.certificate, otlp.client_key, otlp.client_certificate))
        )
    compressions = {"none": "NoCompression", "gzip": "Gzip", "deflate": "Deflate"}
    exporter = _exporter("grpc", what)(
        endpoint=otlp.endpoint,
        insecure=not otlp.secure,
        credentials=credentials,
        headers=otlp.headers,
        timeout=timeout,
        compression=getattr(grpc.Compression, compressions[otlp.compression]),
    )
    watch(exporter, outcome)
    return exporter


def _exporter(protocol: str, what: str) -> Any:
    """Return a class, whose module is imported only if it is used: each takes its time."""
    module, name = _CLASSES[what]
    found = exporters_of_ours(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}")
    return getattr(found, name)


def _content(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _console(what: str) -> Any:
    from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415

    makers = {
        "traces": ConsoleSpanExporter,
        "logs": ConsoleLogRecordExporter,
        "metrics": ConsoleMetricExporter,
    }
    return makers[what](out=sys.stdout, formatter=lambda item: f"{item.to_json(indent=None)}\n")


@contextmanager
def _alone() -> Iterator[None]:
    """Hide variables from the SDK that are in the settings already."""
    hidden = {name: text for name, text in os.environ.items() if name.startswith(OURS)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


class _Relay(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.debug("%s", record.getMessage())


def take_over() -> None:
    """Keep what the SDK's exporters log of each attempt for those who debug; we tell the rest."""
    theirs = logging.getLogger("opentelemetry.exporter")
    if theirs.propagate:
        theirs.propagate = False
        theirs.addHandler(_Relay())
