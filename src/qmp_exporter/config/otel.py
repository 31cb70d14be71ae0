"""What OpenTelemetry's environment variables say; nothing of OpenTelemetry is imported for it.

Sources: open-telemetry/opentelemetry-specification, configuration/sdk-environment-variables.md and
protocol/exporter.md. Durations are milliseconds there, also that of ``OTEL_EXPORTER_OTLP_TIMEOUT``,
which Python's SDK takes for seconds. docs/opentelemetry.md says what is honoured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import msgspec

from qmp_exporter.config.otlp import GENERAL, Otlp, endpoint_set, read_otlp
from qmp_exporter.config.variables import Variables
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from collections.abc import Mapping


Exporter: TypeAlias = Literal["otlp", "console"]
Temporality: TypeAlias = Literal["cumulative", "delta", "lowmemory"]

EXPORTERS: Final = ("otlp", "console")
SAMPLERS: Final = tuple(
    f"{parent}{name}"
    for parent in ("", "parentbased_")
    for name in ("always_on", "always_off", "traceidratio")
)


class Signal(msgspec.Struct, frozen=True):
    """How spans, or log records, are exported.

    Attributes:
        exporters: each once, at least one.
        otlp: of the exporter ``otlp``, if it is one of them.
        queue: items that may wait; the oldest go where there is no room.
        batch: items of one export, at most.
        delay: seconds between two exports, at most.
        timeout: seconds of one export, with what is tried again.
    """

    exporters: tuple[Exporter, ...]
    otlp: Otlp | None = None
    queue: int = 2048
    batch: int = 512
    delay: float = 5.0
    timeout: float = 30.0


class Metrics(msgspec.Struct, frozen=True):
    """How metrics are pushed.

    Attributes:
        exporters: each once, at least one.
        otlp: of the exporter ``otlp``, if it is one of them.
        interval: seconds between the starts of two exports.
        timeout: seconds of one export, with what is tried again.
        temporality: of counters and histograms.
    """

    exporters: tuple[Exporter, ...]
    otlp: Otlp | None = None
    interval: float = 60.0
    timeout: float = 30.0
    temporality: Temporality = "cumulative"


class Limits(msgspec.Struct, frozen=True):
    """The most of what a span or a log record has; of texts, None for any length.

    Attributes:
        attributes: of a span.
        length: of the text of an attribute of a span.
        events: of a span.
        links: of a span.
        event_attributes: of an event of a span.
        link_attributes: of a link of a span.
        inner_length: of the text of an attribute of an event or a link.
        log_attributes: of a log record.
        log_length: of the text of an attribute of a log record.
    """

    attributes: int = 128
    length: int | None = None
    events: int = 128
    links: int = 128
    event_attributes: int = 128
    link_attributes: int = 128
    inner_length: int | None = None
    log_attributes: int = 128
    log_length: int | None = None


class Otel(msgspec.Struct, frozen=True):
    """What is exported by OpenTelemetry, and how.

    Attributes:
        traces: None where no spans are exported.
        logs: None where no log records are exported.
        metrics: None where no metrics are pushed.
        service: the name of the service; empty where none was set.
        attributes: of every resource, as pairs, without the name of the service.
        sampler: one of ``SAMPLERS``.
        ratio: of what ``traceidratio`` samples.
        limits: of spans and log records.
        remarks: what may not be meant as it is written.
    """

    traces: Signal | None = None
    logs: Signal | None = None
    metrics: Metrics | None = None
    service: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    sampler: str = "parentbased_always_on"
    ratio: float = 1.0
    limits: Limits = Limits()
    remarks: tuple[str, ...] = ()


def read_otel(environment: Mapping[str, str]) -> Otel | None:
    """Return what is exported; None where nothing is, and nothing else is looked at then.

    Raises:
        ConfigError: a variable is wrong.
    """
    found = Variables(environment)
    if found.boolean("OTEL_SDK_DISABLED"):
        return None
    traces = _exporters(found, "TRACES")
    logs = _exporters(found, "LOGS")
    pushed = found.choices((*EXPORTERS, "prometheus"), "OTEL_METRICS_EXPORTER")
    metrics = tuple(name for name in pushed or () if name in EXPORTERS)  # /metrics is there anyway
    if not (traces or logs or metrics):
        return None
    attributes = dict(found.attributes("OTEL_RESOURCE_ATTRIBUTES"))
    service = found.words("OTEL_SERVICE_NAME")
    named = attributes.pop("service.name", "")
    sampler = found.choice(SAMPLERS, "parentbased_always_on", "OTEL_TRACES_SAMPLER")
    sampled = sampler.endswith("traceidratio")
    return Otel(
        _signal(found, "TRACES", traces, "BSP", 5.0) if traces else None,
        _signal(found, "LOGS", logs, "BLRP", 1.0) if logs else None,
        _metrics(found, metrics) if metrics else None,
        service or named,
        tuple(attributes.items()),
        sampler,
        found.ratio("OTEL_TRACES_SAMPLER_ARG") if sampled else 1.0,
        _limits(found),
        tuple(found.remarks),
    )


def shown(otel: Otel) -> list[str]:
    """Return the settings in lines for people, without secrets."""
    lines = []
    for name in ("traces", "logs", "metrics"):
        signal: Signal | Metrics | None = getattr(otel, name)
        if signal is None:
            continue
        where: list[str] = [one for one in signal.exporters if one != "otlp"]
        if signal.otlp is not None:
            headers = ", ".join(key for key, _ in signal.otlp.headers)
            more = f" with the headers {headers}" if headers else ""
            where.append(f"{signal.otlp.protocol} to {signal.otlp.shown}{more}")
        lines.append(f"{name}: {'; '.join(where)}")
    return lines


def _exporters(found: Variables, signal: str) -> tuple[str, ...]:
    chosen = found.choices(EXPORTERS, f"OTEL_{signal}_EXPORTER")
    if chosen is None:
        return ("otlp",) if endpoint_set(found, signal) else ()
    return chosen


def _signal(
    found: Variables, name: str, exporters: tuple[str, ...], short: str, delay: float
) -> Signal:
    start = f"OTEL_{short}_"
    queue = found.number(2048, f"{start}MAX_QUEUE_SIZE", least=1)
    batch = found.number(min(512, queue), f"{start}MAX_EXPORT_BATCH_SIZE", least=1)
    if batch > queue:
        raise ConfigError(
            f"{start}MAX_EXPORT_BATCH_SIZE: found {batch}; expected at most {queue}, which is"
            f" {start}MAX_QUEUE_SIZE"
        )
    return Signal(
        cast("tuple[Exporter, ...]", exporters),
        read_otlp(found, name) if "otlp" in exporters else None,
        queue,
        batch,
        found.seconds(delay, f"{start}SCHEDULE_DELAY"),
        found.timeout(30.0, f"{start}EXPORT_TIMEOUT"),
    )


def _metrics(found: Variables, exporters: tuple[str, ...]) -> Metrics:
    preference = f"{GENERAL}METRICS_TEMPORALITY_PREFERENCE"
    interval = found.number(60_000, "OTEL_METRIC_EXPORT_INTERVAL", least=1) / 1000
    return Metrics(
        cast("tuple[Exporter, ...]", exporters),
        read_otlp(found, "METRICS") if "otlp" in exporters else None,
        interval,
        found.timeout(30.0, "OTEL_METRIC_EXPORT_TIMEOUT"),
        cast(
            "Temporality",
            found.choice(("cumulative", "delta", "lowmemory"), "cumulative", preference),
        ),
    )


def _limits(found: Variables) -> Limits:
    def count(*names: str) -> int:
        return found.number(128, *(f"OTEL_{name}_COUNT_LIMIT" for name in names))

    def length(*names: str) -> int | None:
        number = found.number(-1, *(f"OTEL_{name}_VALUE_LENGTH_LIMIT" for name in names))
        return None if number < 0 else number

    general = "ATTRIBUTE"
    count(general), length(general)  # also where each has its own
    return Limits(
        count("SPAN_ATTRIBUTE", general),
        length("SPAN_ATTRIBUTE", general),
        count("SPAN_EVENT"),
        count("SPAN_LINK"),
        count("EVENT_ATTRIBUTE", general),
        count("LINK_ATTRIBUTE", general),
        length(general),
        count("LOGRECORD_ATTRIBUTE", general),
        length("LOGRECORD_ATTRIBUTE", general),
    )
