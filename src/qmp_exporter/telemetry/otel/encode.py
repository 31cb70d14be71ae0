"""Data points of OTLP as bytes.

The SDK makes a dozen objects of each point, and there are 146 points for a VM: for 1,000 VMs that
takes seconds of a core, and the garbage collector, which comes then, stops the event loop for a
tenth of a second. So the points are written here; what is around them is left to protobuf.

Source: open-telemetry/opentelemetry-proto, metrics/v1/metrics.proto; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    HistogramDataPoint,
    NumberDataPoint,
)

from qmp_exporter.telemetry.samples import Distribution


if TYPE_CHECKING:
    from collections.abc import Iterable


_GONE: Final = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK

# A tag is the number of the field times 8, and 1 for 8 bytes or 2 for a length and that many bytes.
_POINT: Final = b"\x0a"  # data_points, which is field 1 of Gauge, Sum and Histogram
_NUMBER: Final = Struct("<BQBQBd")  # start_time_unix_nano, time_unix_nano, as_double
_START, _TIME, _AS_DOUBLE = 2 * 8 + 1, 3 * 8 + 1, 4 * 8 + 1


@lru_cache(maxsize=8192)  # more than there are pairs of a VM; the next VM has most of them, too
def attribute(name: str, value: str) -> bytes:
    """Return an attribute of a number's point."""
    pair = KeyValue(key=name, value=AnyValue(string_value=value))
    found: bytes = NumberDataPoint(attributes=[pair]).SerializeToString()
    return found


def attributes(names: Iterable[str], values: Iterable[str]) -> bytes:
    """Return the attributes of a number's point."""
    return b"".join(map(attribute, names, values))


def point(attributes: bytes, start: int, now: int, value: float | Distribution) -> bytes:
    """Return the point of a number or of a histogram.

    Args:
        attributes: of it.
        start: Unix nanoseconds since when it counts.
        now: Unix nanoseconds when it was read.
        value: sent as a fraction, as Prometheus has no others: an integer of OTLP has 64 bits,
            which a sum may outgrow, and a series may not change its type.
    """
    if isinstance(value, Distribution):
        return _point(_histogram(attributes, start, now, value))
    return _point(attributes + _NUMBER.pack(_START, start, _TIME, now, _AS_DOUBLE, value))


def gone(attributes: bytes, now: int) -> bytes:
    """Return a number's point that says that there is none any more."""
    return _point(attributes + NumberDataPoint(time_unix_nano=now, flags=_GONE).SerializeToString())


def varint(number: int) -> bytes:
    """Return a number in groups of 7 bits, the lowest first; all but the last have the 8th bit."""
    found = bytearray()
    while number >> 7:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _histogram(attributes: bytes, start: int, now: int, value: Distribution) -> bytes:
    found: bytes = HistogramDataPoint(
        attributes=NumberDataPoint.FromString(attributes).attributes,
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=sum(value.counts),
        sum=value.total,
        bucket_counts=value.counts,
        explicit_bounds=value.bounds,
    ).SerializeToString()
    return found


def _point(message: bytes) -> bytes:
    return _POINT + varint(len(message)) + message
