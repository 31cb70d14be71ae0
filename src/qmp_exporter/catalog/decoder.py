"""From a line of a monitor to an event, in one pass of msgspec.

Each event gets an envelope type whose tag is its name, so that one union decoder reads name,
timestamp and typed data at once. Source of the shape: QEMU's docs/interop/qmp-spec.rst,
"Asynchronous events".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Union

import msgspec

from qmp_exporter.catalog.events import BY_NAME, EVENTS, UNCATALOGUED
from qmp_exporter.catalog.spec import EventSpec, Int, Payload
from qmp_exporter.catalog.states import OTHER
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.event import Event


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


MAX_EVENT: Final = 64 * 1024
"""Bytes of an event; QEMU's own have some hundred."""

_HEAD: Final = 256  # bytes in which the name of an event is looked for

MAX_SKEW: Final = 3600.0
"""Seconds that QEMU's stamp may differ from the time of arrival and still be believed."""


class Timestamp(msgspec.Struct, frozen=True, gc=False):
    """When QEMU sent an event; -1 and -1 where the host's clock failed."""

    seconds: Int
    microseconds: Int


class _Anything(msgspec.Struct, frozen=True):
    """An event of whatever kind, or no event at all."""

    event: str | None = None
    timestamp: Timestamp | None = None


def _envelope(spec: EventSpec) -> type[msgspec.Struct]:
    # Only an event whose data may be left out, in some QEMU, has a default for it.
    default: tuple[Any, ...]
    try:
        default = ("data", spec.payload, spec.payload())
    except TypeError:
        default = ("data", spec.payload)
    return msgspec.defstruct(
        spec.name,
        [default, ("timestamp", Timestamp | None, None)],
        tag_field="event",
        tag=spec.name,
        frozen=True,
        gc=False,
    )


def decoder(specs: Iterable[EventSpec] = EVENTS) -> Callable[[bytes, float, float], Event]:
    """Return a function that decodes a line into an event of one of ``specs``.

    The function takes the line, the wall clock in Unix seconds and the monotonic clock in seconds
    at its arrival. It raises DecodeError where the line is not an event, or where a known event
    has a payload of the wrong types or is too long; an unknown event is an event of
    ``UNCATALOGUED``.
    """
    by_envelope = {_envelope(spec): spec for spec in specs}
    typed = msgspec.json.Decoder(Union[tuple(by_envelope)])  # noqa: UP007
    anything = msgspec.json.Decoder(_Anything)
    known = {spec.name for spec in by_envelope.values()}

    def decode(line: bytes, wall: float, now: float) -> Event:
        if len(line) > MAX_EVENT:
            raise DecodeError(_name_of(line[:_HEAD]), f"a line of {len(line)} bytes")
        try:
            envelope = typed.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            return uncatalogued(line, wall, now, err)
        spec = by_envelope[type(envelope)]
        return Event(spec, spec.name, envelope.data, stamp(envelope.timestamp, wall), now, line)

    def uncatalogued(line: bytes, wall: float, now: float, why: Exception) -> Event:
        try:
            found = anything.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise DecodeError(_name_of(line), str(why)) from None
        if found.event is None:
            raise DecodeError(OTHER, "a line without an event")
        if found.event in known:
            raise DecodeError(found.event, str(why))
        return Event(UNCATALOGUED, found.event, Payload(), stamp(found.timestamp, wall), now, line)

    return decode


def unstamped(line: bytes) -> bytes:
    """Return what follows the stamp, which comes first in all of QEMU's lines; else nothing."""
    return line.partition(b"}")[2] if line.startswith(b'{"timestamp": {"') else b""


def _name_of(line: bytes) -> str:
    """Return which known event a broken line names, as far as that can be seen."""
    _, found, rest = line.partition(b'"event": "')
    name = rest.partition(b'"')[0].decode("ascii", "replace") if found else OTHER
    return name if name in BY_NAME else OTHER


def stamp(timestamp: Timestamp | None, wall: float) -> float:
    """Return QEMU's stamp in Unix seconds, or ``wall`` where it cannot be believed."""
    if timestamp is None or timestamp.seconds < 0:
        return wall
    seconds = timestamp.seconds + timestamp.microseconds / 1e6
    return seconds if abs(seconds - wall) <= MAX_SKEW else wall
