"""What a broken or hostile QEMU may send as any event of the catalog, up to the page.

Lines are made of the samples: members dropped, renamed, doubled or of another type, numbers that
nothing can hold, text that is none, stamps of another time, and bytes flipped at last.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from builders import (
    BOOT,
    SOME,
    START,
    Watch,
    blocks,
    connected,
    decode,
    drive,
    line,
    samples,
    spice_channels,
    status,
    vnc_clients,
)
from qmp_exporter.catalog.decoder import MAX_SKEW
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS
from qmp_exporter.catalog.spec import EventSpec
from qmp_exporter.catalog.states import OTHER
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.disks import MAX_DISKS


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.model.event import Event


LABEL_SETS: Final = 8


class Raw(str):
    """Text that stands in JSON as it is, whether that is JSON or not."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object whose keys may be there twice."""


def dumped(value: object) -> str:
    """Return JSON, or what looks like it."""
    match value:
        case Raw():
            return str(value)
        case Pairs():
            return "{" + ", ".join(f"{dumped(k)}: {dumped(v)}" for k, v in value) + "}"
        case list():
            return "[" + ", ".join(map(dumped, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def pairs(value: object) -> object:
    """Return JSON with its objects as pairs."""
    if isinstance(value, dict):
        return Pairs((key, pairs(inner)) for key, inner in value.items())
    return value


ODD_NUMBERS: Final = (
    "0",
    "-0",
    "-1",
    "1.0",
    "1.5",
    "1e3",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "01",
    str(2**31),
    str(2**63 - 1),
    str(-(2**63)),
    str(2**63),
    str(2**64),
    str(10**400),
    "9" * 5000,
)
ODD_TEXTS: Final = (
    '""',
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000"',
    '"a\\nb\\r\\u2028"',
    '"a\nb"',
    '"\x00"',
    '"\\"\\\\"',
    '"\ufeff\u200b\u202e"',
    '"' + "x" * 3000 + '"',
    '"' + "\U0001f427" * 200 + '"',
    '"other"',
    '"running"',
    '"#block1"',
    '"/machine/peripheral/"',
    '"/machine/peripheral//x"',
    '"\\x"',
    '"',
)
ODD: Final = (
    *ODD_NUMBERS,
    *ODD_TEXTS,
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[{}]",
    "",
    "[" * 3000 + "]" * 3000,
    '{"a":' * 2000 + "1" + "}" * 2000,
)
anything = st.sampled_from(ODD).map(Raw) | st.text(max_size=40) | st.integers() | st.floats()
likely = st.integers(0, 9).map(bool)


@st.composite
def changed(draw: st.DrawFn, value: object) -> object:
    """Draw JSON that is mostly like ``value``."""
    if isinstance(value, Pairs):
        found = Pairs()
        for key, inner in value:
            if draw(likely):
                found.append((key, draw(changed(inner))))
            if not draw(likely):
                found.append((key, draw(anything)))
        if not draw(likely):
            found.append((draw(st.text(max_size=9)), draw(anything)))
        return found
    if draw(likely):
        return value
    if isinstance(value, str) and draw(st.booleans()):
        return draw(st.text(min_size=1, max_size=9))  # an unknown member of an enum, another id
    return draw(anything)


stamps = st.fixed_dictionaries(
    {
        "seconds": st.sampled_from([-1, 0, int(START), int(START) + 3000, 2**63 - 1])
        | st.integers(int(START) - 9, int(START) + 9),
        "microseconds": st.sampled_from([-1, 0, 999_999, 10**9, -(2**63), 2**63 - 1]),
    }
).map(pairs)


@st.composite
def lines(draw: st.DrawFn, spec: EventSpec) -> bytes:
    """Draw a line that is more or less an event."""
    data = draw(st.sampled_from(spec.samples))
    envelope = Pairs()
    if draw(likely):
        envelope.append(("timestamp", draw(changed(draw(stamps)))))
    envelope.append(("event", draw(changed(spec.name))))
    if data is not None or not draw(likely):
        envelope.append(("data", draw(changed(pairs(data or {})))))
    text = dumped(envelope).encode("utf-8", "surrogatepass")
    if draw(likely):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.binary(max_size=4)) + text[at + draw(st.integers(0, 4)) :]


def decoded(given: Iterable[bytes]) -> list[Event]:
    """Return the events; whatever is none raises a DecodeError, and nothing else."""
    events: list[Event] = []
    refused: set[str] = set()
    for number, one in enumerate(given):
        try:
            events.append(decode(one, START, BOOT + number))
        except DecodeError as err:
            refused.add(err.event)
    assert refused <= {OTHER, *(spec.name for spec in EVENTS)}
    assert all(abs(event.time - START) <= MAX_SKEW for event in events)
    return events


def vm() -> Watch:
    """Return a VM that runs, with a disk and both displays, and few label sets."""
    watch = Watch(label_sets=LABEL_SETS)
    watch.all(connected(), status("running"), blocks(drive("disk0")))
    watch.all(vnc_clients(), spice_channels())
    return watch


CLOSED: Final = {
    metric.name: [{*label.values, OTHER} if label.values else None for label in metric.labels]
    for metric in ALL_VM_METRICS
}


def most_rows(name: str) -> int:
    """Return how many rows a metric may have."""
    rows = 1
    for known in CLOSED[name]:
        rows *= len(known) if known else 1
    if all(CLOSED[name]):
        return rows
    if not name.endswith("_total"):
        return 256 + 3
    return LABEL_SETS + rows


def check(watch: Watch) -> None:
    """Hold the page to the parsers, its labels to their sets and its rows to their limits."""
    assert list(openmetrics(watch.page(99, openmetrics=True)))  # type: ignore[no-untyped-call]
    rows: dict[str, int] = {}
    for name, (who, *values) in samples(watch.page(99)):
        if name in CLOSED:
            assert who == "web"
            rows[name] = rows.get(name, 0) + 1
            for value, known in zip(values, CLOSED[name], strict=True):
                assert known is None or value in known, (name, value)
                assert value.isprintable()
                assert len(value.encode()) <= 128
    for name, found in rows.items():
        assert found <= most_rows(name), name


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
@given(st.data())
@settings(SOME, max_examples=12)
def test_nothing_that_looks_like_an_event_does_harm(spec: EventSpec, data: st.DataObject) -> None:
    """It is an event or a DecodeError; the model and the sink take it; the page stays a page."""
    watch = vm()
    for event in decoded(data.draw(st.lists(lines(spec), min_size=5, max_size=25))):
        watch.feed(event)
    watch.feed(status(None, 50))
    check(watch)


@given(st.lists(st.binary(max_size=60) | st.sampled_from(ODD).map(str.encode), max_size=20))
@SOME
def test_random_bytes_are_no_event(given: list[bytes]) -> None:
    """Or, by a miracle, one."""
    decoded(given)


def test_ids_without_end_share_a_row() -> None:
    """A QEMU that makes up disks, nodes and devices gets so many rows and no more."""
    watch = vm()
    errors = {"operation": "write", "action": "stop", "nospace": True}
    for number in range(500):
        at, name = number / 10, f"id{number}"
        for event, data in (
            ("BLOCK_IO_ERROR", {"device": name, **errors}),
            ("QUORUM_FAILURE", {"reference": name, "sectors-count": 2**63 - 1}),
            ("QUORUM_REPORT_BAD", {"node-name": name, "type": "read"}),
            ("MEM_UNPLUG_ERROR", {"device": name}),
            ("DEVICE_UNPLUG_GUEST_ERROR", {"device": name}),
            ("VSERPORT_CHANGE", {"id": name, "open": True}),
        ):
            watch.feed(decode(line(event, data, at), START, BOOT + at))
    check(watch)
    assert watch.value("qemu_memory_unplug_errors_total", OTHER) == 500 - LABEL_SETS
    assert watch.value("qemu_quorum_failures_total", OTHER) == 500 - LABEL_SETS
    assert len(watch.rows("qemu_block_io_status")) == (MAX_DISKS + 1) * 3
    assert watch.value("qemu_block_io_status", OTHER, "nospace") == 1
    assert {"qemu_block_io_status", "qemu_virtio_serial_port_open"} < set(watch.overflows)


def test_a_guest_cannot_make_up_more_than_the_specification_has() -> None:
    """The integers of _OST are the guest's: the rows are those that have names."""
    watch = vm()
    for source in (*range(-1, 0x10), 0x100, 0x103, 0x200, 0x201):
        for code in (*range(-1, 4), *range(0x80, 0xA1)):
            for slot in ("DIMM", "CPU", "new"):
                info = {"slot-type": slot, "slot": "0", "source": source, "status": code}
                watch.feed(decode(line("ACPI_DEVICE_OST", {"info": info}), START, BOOT))
    check(watch)
    assert watch.overflows == []
