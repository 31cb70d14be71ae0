"""From an event to what its span event and its log record tell of it.

Unlike a label, an attribute may hold what the guest chose: the arguments of a panic, the text of an
error. So its length and number are bounded, and its text is what protobuf takes.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from qmp_exporter.catalog.decoder import unstamped
from qmp_exporter.catalog.events import EVENTS, UNCATALOGUED
from qmp_exporter.catalog.spec import Severity
from qmp_exporter.catalog.states import BOOLEANS, OTHER
from qmp_exporter.catalog.text import label_text
from qmp_exporter.model.operation import Value
from qmp_exporter.sinks.counting import read
from qmp_exporter.sinks.details import details
from qmp_exporter.sinks.raw import data_of
from qmp_exporter.telemetry.otel.events import Description


if TYPE_CHECKING:
    from qmp_exporter.model.disks import Disks
    from qmp_exporter.model.event import Event
    from qmp_exporter.model.vm import VM


Attributes: TypeAlias = dict[str, Value]

MAX_ATTRIBUTES: Final = 64
"""Of one event; QEMU's own have less than 20."""

MAX_TEXT: Final = 1024
"""Characters of one value."""

MAX_SIZE: Final = 2048
"""Bytes of all attributes of one event; QEMU's own have some hundred. What makes batches of events
counts on it, so that one VM cannot make them too large for a collector, which are of all VMs."""

MAX_DEPTH: Final = 4
"""Members of members that become attributes of their own; what is deeper becomes text."""

MOST_KEPT: Final = 128
"""Events of which the attributes are kept, should they come again."""

LONGEST_KEPT: Final = 1024
"""Bytes of their lines."""

CAUSE: Final = "qemu.cause"
ERROR_TYPE: Final = "error.type"
"""OpenTelemetry's semantic conventions: what kind of failure an operation or event tells of."""

_INT64: Final = range(-(2**63), 2**63)
_ODD: Final = re.compile(r"[^a-z0-9_]")
_LONGEST_NAME: Final = 64
_OVERHEAD: Final = 16
"""Bytes of an attribute besides its texts: tags and lengths, or a number."""


class Describer:
    """Describes events and their VMs.

    It is asked once for each sink: what it told last it tells again, and so does it for an event
    that comes again with another stamp, as those of a storm do.

    Args:
        addresses: whether the addresses of clients are told.
        most: attributes of an event, if less than usual.
        longest: characters of a text, if less than usual.
    """

    def __init__(
        self, *, addresses: bool, most: int = MAX_ATTRIBUTES, longest: int = MAX_TEXT
    ) -> None:
        self._most, self._longest = min(most, MAX_ATTRIBUTES), min(longest, MAX_TEXT)
        self._addresses = addresses
        self._last: Event | None = None
        self._last_told = Description("", 0, "", {})
        self._kept: dict[bytes, tuple[Disks, Description]] = {}
        self._told: Attributes = {}
        self._room = 0

    def __call__(self, event: Event, vm: VM, cause: str = "") -> Description:
        """Return what is told of an event.

        Args: ``cause`` is the name of the event that caused it, to be told with it from now on.
        """
        if event is not self._last:
            self._last, self._last_told = event, self._recall(event, vm)
        if cause:
            told = self._last_told
            attributes = {**told.attributes, CAUSE: cause}
            self._last_told = Description(told.name, told.severity, told.body, attributes)
        return self._last_told

    def _recall(self, event: Event, vm: VM) -> Description:
        rest = unstamped(event.line)
        known = self._kept.get(rest)
        if known is not None and known[0] is vm.disks:  # which labels may name
            return known[1]
        said = _DETAILS[event.spec.name](event.data, vm)
        body = f"{label_text(event.name)} {said}".rstrip()
        found = Description(name_of(event), severity_of(event), body, self._tell(event, vm))
        if rest and len(rest) <= LONGEST_KEPT:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[rest] = vm.disks, found
        return found

    def _tell(self, event: Event, vm: VM) -> Attributes:
        failure = event.data.failure
        named: Attributes = {ERROR_TYPE: failure[: self._longest]} if failure else {}
        # As the metrics call it, so that both can be joined; then all that QEMU says.
        for name, of in _LABELS[event.spec.name]:
            named[name] = of(event.data, vm)[: self._longest]
        if len(named) > self._most:
            named = dict(islice(named.items(), self._most))
        told = self._told = dict(named)
        self._room = MAX_SIZE - sum(_size(name, value) for name, value in named.items())
        self._flatten("qemu", data_of(event.line, addresses=self._addresses), MAX_DEPTH)
        return told | {
            name: value
            for name, value in named.items()
            if value != OTHER or not isinstance(told[name], str)  # a word newer than ours
        }

    def _flatten(self, prefix: str, data: dict[str, Any], depth: int) -> None:
        told = self._told
        for key, value in data.items():
            name = f"{prefix}.{_word(key)}"
            if isinstance(value, dict) and depth > 1:
                self._flatten(name, value, depth - 1)
            elif len(told) < self._most:
                found = plain(value, self._longest)
                if found is None or found == "":
                    continue
                if (left := self._room - _size(name, found)) >= 0:
                    told[name], self._room = found, left


def name_of(event: Event) -> str:
    """Return the name of an event in OpenTelemetry, also of one that has no entry."""
    if event.spec is not UNCATALOGUED:
        return event.spec.otel_name
    return f"qemu.{_word(event.name)}"


def severity_of(event: Event) -> Severity:
    """Return how bad an event is: of a kind that is mostly good news, a failure is an error."""
    usual = event.spec.severity
    return Severity.ERROR if usual is Severity.INFO and event.data.failure else usual


def nanoseconds(seconds: float) -> int:
    """Return Unix seconds, which have microseconds, in whole nanoseconds."""
    return round(seconds * 1e6) * 1000


def plain(value: object, longest: int = MAX_TEXT) -> Value | None:
    """Return a value as an attribute takes it; none for what has nothing to tell."""
    if isinstance(value, str):
        if len(value) <= longest and value.isascii():
            return str(value)  # no member of an enumeration
        return value[:longest].encode("utf-8", "replace").decode()
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value in _INT64 else str(value)
    try:
        return None if value is None else plain(json.dumps(value), longest)
    except RecursionError:  # deeper than it can be written, though it could be read
        return None


def _size(name: str, value: Value) -> int:
    """Return how many bytes an attribute has in OTLP, at most."""
    text = value if isinstance(value, str) else ""
    return _OVERHEAD + len(name) + (len(text) if text.isascii() else len(text.encode()))


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    """Return a name of QEMU's as a part of a name of OpenTelemetry's."""
    return _ODD.sub("_", text[:_LONGEST_NAME].lower())


_LABELS: Final = {
    spec.name: tuple(
        (f"qemu.{name}", read(label))
        for name, label in spec.labels.items()
        if label.values != BOOLEANS  # those have a type of their own here
    )
    for spec in (*EVENTS, UNCATALOGUED)
}
_DETAILS: Final = {spec.name: details(spec) for spec in (*EVENTS, UNCATALOGUED)}
