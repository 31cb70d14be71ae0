"""From a counter that a real Prometheus has to the trace that the collector has."""

from __future__ import annotations

from errno import EIO
from typing import TYPE_CHECKING

import pytest

from e2e.stage import stage
from integration.prometheus import exemplars, prometheus
from qmp_exporter.demo import disks


if TYPE_CHECKING:
    from pathlib import Path


async def test_from_a_counter_to_its_trace(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The exemplar of a counter is the span that has the event, at QEMU's time."""
    disk = disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="stop")
    directory = tmp_path_factory.mktemp("prometheus")
    async with stage(place, *disk) as found, found.exporting() as exporter:
        target = exporter.url.removeprefix("http://")
        async with prometheus(directory, target, features="exemplar-storage") as client:
            await disks.read(found.machine, 8)
            await found.hear("BLOCK_IO_ERROR", "STOP")
            errors = await exemplars(client, "qemu_block_io_errors_total")
            stops = await exemplars(client, "qemu_vm_stops_total")
        await disks.repair(found.machine, "disk0")
        await found.machine.execute("cont")
        await found.spans("qemu.stop")
    for kept, name in ((errors, "qemu.activity"), (stops, "qemu.stop")):
        ((labels, value, _),) = kept
        span = found.receiver.span(name)
        assert labels == {"trace_id": span.trace_id, "span_id": span.span_id}
        assert value == 1
    at = found.receiver.span("qemu.activity").event("qemu.block_io_error").time
    assert errors[0][2] == pytest.approx(at / 1e9, abs=0.001)
    # A stop is counted a little later than it happened: when its cause is known.
    assert stops[0][2] >= found.receiver.span("qemu.stop").start / 1e9 - 0.001
