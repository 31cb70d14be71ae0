"""All that a scrape shows, with its structure."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from qmp_exporter.telemetry.samples import of_families


if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from qmp_exporter.sinks.metrics import MetricsSink
    from qmp_exporter.telemetry.samples import Samples


class Everything:
    """Samples of the VMs and of the exporter.

    Args:
        metrics: the sink that counts for the VMs.
        registry: of what the exporter tells of itself.
        began: Unix nanoseconds since when they count.
    """

    def __init__(self, metrics: MetricsSink, registry: CollectorRegistry, began: int) -> None:
        self.began = began
        self._metrics = metrics
        self._registry = registry

    def samples(self) -> Iterator[list[Samples]]:
        """Yield all samples, those of one moment together; first the exporter's, as in a scrape."""
        yield of_families(self._registry.collect(), self)
        yield from self._metrics.samples(monotonic)

    def last(self, owner: object) -> tuple[list[Samples], list[Samples]]:
        """Return the last samples of an owner that is gone, and those of who took its place."""
        return self._metrics.last(owner, monotonic())
