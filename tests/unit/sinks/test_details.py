"""What people are shown of the data of an event."""

from __future__ import annotations

from typing import Any

import pytest

from builders import event
from qmp_exporter.catalog.events import BY_NAME, EVENTS
from qmp_exporter.journal import MAX_DETAILS
from qmp_exporter.model.vm import VM
from qmp_exporter.sinks.details import details


def told(name: str, data: Any = None) -> str:
    """Return the details of an event."""
    return details(BY_NAME[name])(event(name, data).data, VM())


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("STOP", None, ""),
        ("RESET", {"guest": True, "reason": "guest-reset"}, "reason=guest-reset guest=true"),
        ("RESET", None, "reason=other guest=other"),
        ("RTC_CHANGE", {"offset": -3600}, "offset=-3600"),
        ("MIGRATION", {"status": "active"}, "status=active"),
        ("MIGRATION", {"status": "<b>"}, "status=other"),
        ("MIGRATION_PASS", {"pass": 2}, "pass=2"),
        ("VSERPORT_CHANGE", {"id": "org.a", "open": True}, "port=org.a open=true"),
        (
            "ACPI_DEVICE_OST",
            {"info": {"device": "d1", "slot": "0", "slot-type": "DIMM", "source": 1, "status": 0}},
            "slot_type=DIMM source=device-check status=success",
        ),
        ("WATCHDOG", {"action": "pause"}, "action=pause"),
    ],
)
def test_details_are_what_the_catalog_keeps(name: str, data: Any, text: str) -> None:
    """The labels of what it counts and sets, and the values that it sets."""
    assert told(name, data) == text


def test_a_client_has_no_address() -> None:
    """Only how it was authenticated is told."""
    data = {"server": {"auth": "vnc"}, "client": {"host": "192.0.2.1", "service": "5"}}
    assert told("VNC_INITIALIZED", data) == "auth=vnc"
    assert told("VNC_CONNECTED", data) == ""


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_every_sample_has_details(spec: Any) -> None:
    """In a line, within the bound."""
    for sample in spec.samples:
        text = told(spec.name, sample)
        assert len(text) <= MAX_DETAILS
        assert text.isprintable()
