"""From a line of a monitor to an event, and to a DecodeError where it is none."""

from __future__ import annotations

import json

import msgspec
import pytest

from builders import BOOT, START, decode, line
from qmp_exporter.catalog.decoder import MAX_EVENT, MAX_SKEW, Timestamp, decoder, stamp
from qmp_exporter.catalog.events import BY_NAME, EVENTS, UNCATALOGUED
from qmp_exporter.catalog.spec import EventSpec
from qmp_exporter.errors import DecodeError


SAMPLES = [(spec, data) for spec in EVENTS for data in spec.samples]
SAMPLE_IDS = [f"{s.name}-{n}" for s in EVENTS for n in range(len(s.samples))]


@pytest.mark.parametrize(("spec", "data"), SAMPLES, ids=SAMPLE_IDS)
def test_every_sample_of_the_catalog_decodes(spec: EventSpec, data: object) -> None:
    """To its own entry, with its typed data and QEMU's stamp."""
    event = decode(line(spec.name, data, 1.5), START + 9, BOOT + 9)
    assert (event.spec, event.name) == (spec, spec.name)
    assert type(event.data) is spec.payload
    assert (event.time, event.now) == (START + 1.5, BOOT + 9)


@pytest.mark.parametrize(("spec", "data"), SAMPLES, ids=SAMPLE_IDS)
def test_what_a_newer_qemu_adds_is_ignored(spec: EventSpec, data: object) -> None:
    """Members that nobody knows of yet, in the envelope or in the data, change nothing."""
    found = json.loads(line(spec.name, data))
    found |= {"tomorrow": [{}], "data": {**(data or {}), "tomorrow": {"a": [1, None]}}}  # type: ignore[dict-item]
    event = decode(json.dumps(found).encode(), START, BOOT)
    known = decode(line(spec.name, data), START, BOOT)
    assert event == msgspec.structs.replace(known, line=event.line)


def test_an_event_that_nobody_knows_is_an_event() -> None:
    """It keeps its name for the log; its data is not looked at."""
    event = decode(line("VCPU_MELTED", {"device-id": 7}, 1), START, BOOT)
    assert (event.spec, event.name, event.time) == (UNCATALOGUED, "VCPU_MELTED", START + 1)


def test_a_known_name_in_other_letters_is_unknown() -> None:
    """QEMU's names are in capitals."""
    assert decode(line("stop"), START, BOOT).spec is UNCATALOGUED


@pytest.mark.parametrize(
    ("given", "event"),
    [
        (b"", "other"),
        (b"{", "other"),
        (b"[]", "other"),
        (b"null", "other"),
        (b'"STOP"', "other"),
        (b'{"return": {}}', "other"),
        (b'{"event": null}', "other"),
        (b'{"event": 5}', "other"),
        (b'{"event": ["STOP"]}', "other"),
        (b'{"event": "STOP"} {}', "STOP"),
        (b'{"event": "STOP", "timestamp": 5}', "STOP"),
        (b'{"event": "STOP", "timestamp": {"seconds": 1}}', "STOP"),
        (b'{"event": "STOP", "timestamp": {"seconds": "1", "microseconds": 0}}', "STOP"),
        (b'{"event": "STOP", "timestamp": {"seconds": 1e999, "microseconds": 0}}', "STOP"),
        (b'{"event": "STOP", "data": null}', "STOP"),
        (b'{"event": "STOP", "data": []}', "STOP"),
        (b'{"event": "RTC_CHANGE"}', "RTC_CHANGE"),
        (b'{"event": "RTC_CHANGE", "data": {}}', "RTC_CHANGE"),
        (b'{"event": "RTC_CHANGE", "data": {"offset": "5"}}', "RTC_CHANGE"),
        (b'{"event": "RTC_CHANGE", "data": {"offset": 1.5}}', "RTC_CHANGE"),
        (b'{"event": "RTC_CHANGE", "data": {"offset": 9223372036854775808}}', "RTC_CHANGE"),
        (b'{"event": "RTC_CHANGE", "data": {"offset": NaN}}', "RTC_CHANGE"),
        (b'{"event": "MIGRATION", "data": {"status": "\\ud800"}}', "MIGRATION"),
        (b'{"event": "MIGRATION", "data": {"status": "\xff"}}', "MIGRATION"),
        (b'{"event": "MIGRATION", "data": {"status": "a\nb"}}', "MIGRATION"),
        (b'{"event": "VCPU_MELTED", "data": }', "other"),
        (b'{"event": "\xff"}', "other"),
        (b'{"event": "STOP', "STOP"),
        (b'{"event": "STO', "other"),
    ],
)
def test_what_is_no_event_is_refused(given: bytes, event: str) -> None:
    """With the name of the event if the catalog knows it, so that it may be a label."""
    with pytest.raises(DecodeError) as caught:
        decode(given, START, BOOT)
    assert caught.value.event == event
    assert str(caught.value).startswith(f"{event}: ")


@pytest.mark.parametrize("name", ["STOP", "VCPU_MELTED"])
def test_deep_nesting_is_refused(name: str) -> None:
    """Rather than the stack exhausted."""
    deep = b"[" * 100_000 + b"]" * 100_000
    given = b'{"event": "%s", "data": {"a": %s}}' % (name.encode(), deep)
    with pytest.raises(DecodeError) as caught:
        decode(given, START, BOOT)
    assert caught.value.event == (name if name in BY_NAME else "other")


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (None, START),
        (Timestamp(-1, -1), START),
        (Timestamp(-1, 0), START),
        (Timestamp(int(START) - 5, 250_000), START - 4.75),
        (Timestamp(int(START) + 5, 0), START + 5),
        (Timestamp(int(START - MAX_SKEW), 0), START - MAX_SKEW),
        (Timestamp(int(START + MAX_SKEW), 0), START + MAX_SKEW),
        (Timestamp(int(START - MAX_SKEW) - 1, 0), START),
        (Timestamp(int(START + MAX_SKEW), 500_000), START),
        (Timestamp(0, 0), START),
        (Timestamp(2**63 - 1, 2**63 - 1), START),
        (Timestamp(int(START), -(2**63)), START),
    ],
)
def test_a_stamp_is_believed_within_an_hour(timestamp: Timestamp | None, expected: float) -> None:
    """None, -1 (the host's clock failed), or more than an hour off: the time of arrival."""
    assert stamp(timestamp, START) == expected


def test_an_event_without_a_stamp_is_of_now() -> None:
    """Documents of old QEMUs have examples without; `null` is as good as none."""
    for given in (b'{"event": "STOP"}', b'{"event": "STOP", "timestamp": null}'):
        assert decode(given, START, BOOT).time == START
    assert decode(b'{"event": "NEW"}', START, BOOT).time == START


def test_a_decoder_knows_what_it_is_given() -> None:
    """The entries are its argument: the others are events without an entry."""
    only = decoder([BY_NAME["STOP"], BY_NAME["RESUME"]])
    assert only(line("STOP"), START, BOOT).spec is BY_NAME["STOP"]
    assert only(line("RTC_CHANGE", {"offset": 1}), START, BOOT).spec is UNCATALOGUED


@pytest.mark.parametrize(
    "head", [b'{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "STOP"', b"["]
)
def test_what_is_too_long_for_an_event_is_not_read(head: bytes) -> None:
    """A line of half a megabyte would take the loop some milliseconds; its event is named."""
    line = head + b" " * MAX_EVENT + b"}"
    with pytest.raises(DecodeError, match=f"a line of {len(line)} bytes") as found:
        decoder()(line, 1.0, 0.0)
    assert found.value.event == ("STOP" if b"STOP" in head else "other")
    fits = b'{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "STOP"'
    fits += b" " * (MAX_EVENT - len(fits) - 1) + b"}"
    assert decoder()(fits, 1.0, 0.0).name == "STOP"
