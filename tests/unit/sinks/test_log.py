"""Each event as a line of JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import BOOT, START, decode, deeper_and_deeper, event, line, link
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.spec import EventSpec
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.vm import VM, Step
from qmp_exporter.sinks.log import MAX_LINE, LogSink, line_of


NOTHING = VM()
SAMPLES = [(spec, data) for spec in EVENTS for data in spec.samples]
CLIENT = {"host": "192.0.2.7", "service": "46089", "family": "ipv4", "sasl_username": "alice"}
SERVER = {"host": "::", "service": "5900", "family": "ipv6", "auth": "sasl"}


class Journal:
    """A place for lines, with room for some, and a rate."""

    def __init__(self, room: int = 99, rate: int = 99) -> None:
        self.lines: list[str] = []
        self.dropped: Counter[str] = Counter()
        self._room, self._rate = room, rate
        self.sink = LogSink(self._write, self._allowed, self._drop)

    def _write(self, text: str) -> bool:
        if len(self.lines) >= self._room:
            return False
        self.lines.append(text)
        return True

    def _allowed(self) -> bool:
        self._rate -= 1
        return self._rate >= 0

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1


def test_a_line_has_all_that_qemu_said() -> None:
    """When, how bad, who, what, and the data, also where no metric has it."""
    data = {"device": "d0", "operation": "read", "action": "stop", "reason": "No space \u00fc"}
    assert json.loads(line_of("web", event("BLOCK_IO_ERROR", data, at=1.5))) == {
        "ts": "2023-11-14T22:13:21.500000Z",
        "level": "error",
        "vm": "web",
        "event": "BLOCK_IO_ERROR",
        "data": data,
    }


@pytest.mark.parametrize(("spec", "data"), SAMPLES)
def test_every_event_has_a_line(spec: EventSpec, data: dict[str, Any] | None) -> None:
    """Of its own name and severity; one without data has none."""
    found = json.loads(line_of("web", event(spec.name, data)))
    assert (found["event"], found["level"]) == (spec.name, spec.severity.name.lower())
    assert found["data"].keys() == (data or {}).keys()


def test_an_event_that_nobody_knows_has_a_line() -> None:
    """With its own name, which no metric shows."""
    found = json.loads(line_of("web", event("TOMORROW", {"a": 1})))
    assert (found["event"], found["data"]) == ("TOMORROW", {"a": 1})


@pytest.mark.parametrize("name", ["VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED"])
def test_where_a_client_sits_is_nobody_s_affair(name: str) -> None:
    """Its address is left out; who it is, and the address of the server, are not."""
    found = json.loads(line_of("web", event(name, {"server": SERVER, "client": CLIENT})))
    assert found["data"]["client"] == {"family": "ipv4", "sasl_username": "alice"}
    assert found["data"]["server"] == SERVER
    assert "192.0.2.7" not in line_of("web", event(name, {"server": SERVER, "client": CLIENT}))


@given(
    st.text(max_size=200),
    st.text(max_size=200),
    st.dictionaries(st.text(max_size=20), st.text(max_size=3000), max_size=5),
)
def test_whatever_a_guest_says_is_one_line(vm: str, name: str, data: dict[str, str]) -> None:
    """Of plain ASCII, at most so long, which is JSON again."""
    name = name and f"-{name}"  # none of the catalog, whose data is not just anything
    said = {"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 0}}
    found = line_of(vm, decode(json.dumps(said).encode(), START, BOOT)) if name else "{}"
    assert found.isascii()
    assert found.isprintable()
    assert len(found) <= MAX_LINE
    assert json.loads(found).get("vm", vm) == vm


def test_what_is_too_deep_to_be_written_is_left_out() -> None:
    """The line says so; none is missing."""
    for found in deeper_and_deeper():
        assert "data" in line_of("web", found) or json.loads(line_of("web", found))["truncated"]


def test_a_line_too_long_is_cut_to_what_matters() -> None:
    """It says so, and what happened to whom."""
    for name, data in (("TOMORROW", {"a": "x" * MAX_LINE}), ("\u00fc" * 10_000, {})):
        found = line_of("web", event(name, data))
        assert len(found) <= MAX_LINE
        shown = json.loads(found)
        assert shown["truncated"] is True
        assert "data" not in shown
        assert name.startswith(shown["event"])


def test_data_that_is_no_object_is_none() -> None:
    """QEMU never sends it; somebody else may."""
    said = line("TOMORROW").replace(b"}}", b'}, "data": [1, {}]}', 1)
    assert json.loads(line_of("web", decode(said, START, BOOT)))["data"] == {}


def test_only_events_have_lines() -> None:
    """Not what becomes of the connection."""
    journal = Journal()
    journal.sink.add("web")
    journal.sink.take("web", link(TargetState.CONNECTED), NOTHING, Step(NOTHING), None)
    journal.sink.take("web", event("STOP"), NOTHING, Step(NOTHING), None)
    journal.sink.rename("web", "db")
    journal.sink.forget("db")
    assert [json.loads(one)["event"] for one in journal.lines] == ["STOP"]


def test_what_has_no_line_is_counted_by_reason() -> None:
    """Those above the rate are not even made; those for which there is no room come after."""
    journal = Journal(room=2, rate=5)
    for _ in range(9):
        journal.sink.take("web", event("STOP"), NOTHING, Step(NOTHING), None)
    assert len(journal.lines) == 2
    assert journal.dropped == {"queue": 3, "rate": 4}
