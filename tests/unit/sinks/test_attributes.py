"""Attributes of events: what QEMU says, in bounds, as protobuf takes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from builders import SOME, START, decode, deeper_and_deeper, event
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.model.disks import Disks
from qmp_exporter.model.vm import VM
from qmp_exporter.sinks import NOBODY
from qmp_exporter.sinks.attributes import (
    CAUSE,
    LONGEST_KEPT,
    MAX_ATTRIBUTES,
    MAX_TEXT,
    MOST_KEPT,
    Describer,
    name_of,
    nanoseconds,
    plain,
)


if TYPE_CHECKING:
    from qmp_exporter.model.event import Event


def attributes(data: object, name: str = "NEWER_THAN_US") -> dict[str, Any]:
    """Return the attributes of an event."""
    return told(event(name, data))


def told(event_: Event, vm: VM = NOBODY, **limits: int) -> dict[str, Any]:
    """Return the attributes of an event that is described for the first time."""
    return dict(Describer(addresses=False, **limits)(event_, vm).attributes)


def test_members_become_attributes_by_their_own_names() -> None:
    """What is in a member is told with that member's name before it; what is nothing is not."""
    data = {"node-name": "n", "nested": {"a-b": {"c": 1.5}}, "gone": None, "empty": "", "on": True}
    assert attributes(data) == {"qemu.node_name": "n", "qemu.nested.a_b.c": 1.5, "qemu.on": True}


def test_lists_and_what_lies_deep_are_text() -> None:
    """So that nothing is lost, and no attribute has a type that a backend refuses."""
    data = {"list": [1, {"a": 2}], "a": {"b": {"c": {"d": {"e": 1}}}}}
    assert attributes(data) == {"qemu.list": '[1, {"a": 2}]', "qemu.a.b.c.d": '{"e": 1}'}


def test_numbers_that_protobuf_does_not_hold_are_text() -> None:
    """Arguments of a Hyper-V crash are unsigned."""
    found = attributes({"most": 2**63 - 1, "more": 2**63, "least": -(2**63), "less": -(2**63) - 1})
    assert found == {
        "qemu.most": 2**63 - 1,
        "qemu.more": str(2**63),
        "qemu.least": -(2**63),
        "qemu.less": str(-(2**63) - 1),
    }


def test_what_a_guest_can_make_long_is_cut() -> None:
    """In length and in number."""
    assert attributes({"text": "x" * 50_000}) == {"qemu.text": "x" * MAX_TEXT}
    assert len(attributes({f"k{n}": n for n in range(1000)})) == MAX_ATTRIBUTES
    assert all(len(name) < 100 for name in attributes({"k" * 9999: 1}))


def test_less_may_be_wanted_and_not_more() -> None:
    """The limits that OpenTelemetry's variables set hold for events as for all else."""
    data = {"text": "x" * 5_000, "more": 1, "most": 2}
    event_ = event("X", data)
    assert told(event_, most=2, longest=3) == {
        "qemu.text": "xxx",
        "qemu.more": 1,
    }
    error = event("BLOCK_IO_ERROR", {"device": "d" * 99, "operation": "read", "action": "stop"})
    assert told(error, most=2, longest=3) == {
        "error.type": "io-",
        "qemu.device": "ddd",
    }
    found = told(event_, most=9_999, longest=9_999)
    assert found["qemu.text"] == "x" * MAX_TEXT


def test_the_device_is_called_as_in_the_metrics() -> None:
    """With -blockdev QEMU's own name of it is empty."""
    data = {
        "device": "",
        "qom-path": "/machine/peripheral/disk1/virtio-backend",
        "operation": "write",
        "action": "report",
    }
    assert attributes(data, "BLOCK_IO_ERROR")["qemu.device"] == "disk1"


def test_names_of_the_acpi_specification_stand_for_its_numbers() -> None:
    """Those of the flat event of old QEMUs, too."""
    data = {"device": "d1", "slot": "0", "slot-type": "DIMM", "source": 1, "status": 0}
    found = attributes(data, "ACPI_DEVICE_OST")
    assert isinstance(found["qemu.source"], str)
    assert found["qemu.device"] == "d1"


def test_what_is_true_or_false_is_no_text() -> None:
    """As a label it has to be one."""
    found = attributes({"guest": True, "reason": "guest-reset"}, "RESET")
    assert found == {"qemu.guest": True, "qemu.reason": "guest-reset"}
    assert attributes(None, "RESET") == {"qemu.reason": "other"}


def test_a_word_that_is_newer_than_the_catalog_is_told() -> None:
    """A label has a closed set; but a number is no name of the ACPI specification's."""
    assert attributes({"status": "newest"}, "MIGRATION") == {"qemu.status": "newest"}
    data = {"slot": "0", "slot-type": "NEW", "source": 0x7777, "status": 0}
    found = attributes(data, "ACPI_DEVICE_OST")
    assert (found["qemu.slot_type"], found["qemu.source"]) == ("NEW", "other")


def test_an_event_is_described_once_for_all_sinks() -> None:
    """What was told last is told again, and not what was told of another."""
    describe = Describer(addresses=False)
    one, other = event("X", {"a": 1}), event("X", {"a": 2})
    assert describe(one, VM()) is describe(one, VM())
    assert describe(other, VM()).attributes == {"qemu.a": 2}


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_every_failure_of_the_catalog_has_a_word(spec: Any) -> None:
    """Of few letters, as it stands for a kind: people search and sum by it."""
    for data in spec.samples:
        failure = event(spec.name, data).data.failure
        assert failure == "" or failure.replace("-", "").isalpha()
        assert spec.severity < 17 or failure


def test_a_stamp_is_told_to_the_microsecond() -> None:
    """QEMU's, not what a float makes of it."""
    stamp = decode(
        b'{"timestamp": {"seconds": 1700000000, "microseconds": 123457}, "event": "STOP"}', START, 0
    )
    assert nanoseconds(stamp.time) == 1_700_000_000_123_457_000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@SOME
@given(st.dictionaries(st.text(), anything, max_size=5), st.text(min_size=1))
def test_whatever_is_sent_can_be_exported(data: dict[str, object], name: str) -> None:
    """Lone surrogates and odd numbers included: one record must not spoil a batch of them."""
    line = json.dumps({"event": name, "data": data, "timestamp": None}).encode()
    try:
        found = decode(line, START, 0.0)
    except Exception:  # noqa: BLE001 - refused; that is another test
        return
    assert name_of(found).isascii()
    description = Describer(addresses=True)(found, VM())
    (record,) = ScopeLogs.FromString(description.record(1, 2, b"")).log_records
    (noted,) = Span.FromString(description.event(1)).events
    assert len(record.attributes) == len(noted.attributes) == len(description.attributes)
    for key, value in description.attributes.items():
        assert key.startswith("qemu.")
        assert len(str(value)) <= MAX_TEXT


def test_what_is_too_deep_to_be_written_is_left_out() -> None:
    """Python reads a little deeper than it writes; a sink that fails would leave its span open."""
    for found in deeper_and_deeper():
        assert told(found).get("qemu.b", 1) == 1


def test_a_lone_surrogate_is_replaced() -> None:
    """JSON may carry one, protobuf may not."""
    assert plain("a\ud800b") == "a?b"


DISKS = VM(disks=Disks(nodes={"n": "disk0"}))
ERROR = {"device": "", "node-name": "n", "operation": "read", "action": "report"}


def test_an_event_that_comes_again_is_told_again() -> None:
    """Whatever its stamp is, as long as its disk has the same name."""
    describe = Describer(addresses=False)
    one, other = (event("BLOCK_IO_ERROR", ERROR, at) for at in (1, 2))
    first = describe(one, DISKS)
    assert first.attributes["qemu.device"] == "disk0"
    assert first.body == "BLOCK_IO_ERROR device=disk0 operation=read action=report"
    assert describe(event("STOP"), DISKS).attributes == {}
    assert describe(other, DISKS) is first
    renamed = msgspec.structs.replace(DISKS.disks, nodes={"n": "disk1"})
    found = describe(event("BLOCK_IO_ERROR", ERROR, 3), VM(disks=renamed))
    assert found.attributes["qemu.device"] == "disk1"
    assert "device=disk1" in found.body


def test_a_cause_is_told_of_one_event_only() -> None:
    """By all sinks that are asked after it; the next event of that kind may have none."""
    describe = Describer(addresses=False)
    one = event("BLOCK_IO_ERROR", ERROR, 1)
    first = describe(one, DISKS)
    caused = describe(one, DISKS, "WATCHDOG")
    assert caused.attributes == {**first.attributes, CAUSE: "WATCHDOG"}
    assert (caused.name, caused.severity, caused.body) == (first.name, first.severity, first.body)
    assert describe(one, DISKS) is caused
    assert describe(event("BLOCK_IO_ERROR", ERROR, 2), DISKS) is first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"data": {"a": 1}, "event": "X"}', b'{"data": {"a": 2}, "event": "X"}'),
        (
            b'{"timestamp": 1, "data": {"a": 1}, "event": "X"}',
            b'{"timestamp": 1, "data": {"a": 2}, "event": "X"}',
        ),
        (
            b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "X", "data": {"a": 1}}',
            b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "X", "data": {"a": 2}}',
        ),
    ],
)
def test_no_event_is_taken_for_another(one: bytes, other: bytes) -> None:
    """Also where the stamp does not come first, or is none."""
    describe = Describer(addresses=False)
    for line, number in ((one, 1), (other, 2), (one, 1)):
        found = msgspec.structs.replace(event("X", {}), line=line)
        assert describe(found, VM()).attributes == {"qemu.a": number}


def test_what_is_kept_has_a_bound() -> None:
    """Of events that never come again, and of long ones."""
    describe = Describer(addresses=False)
    for number in range(3 * MOST_KEPT):
        assert describe(event("X", {"a": number}), VM()).attributes == {"qemu.a": number}
    assert 0 < len(describe._kept) <= MOST_KEPT
    long = event("X", {"a": "x" * LONGEST_KEPT})
    describe(long, VM())
    assert not any(len(rest) > LONGEST_KEPT for rest in describe._kept)
