"""From catalog entries to rows."""

from __future__ import annotations

import msgspec
import pytest

from builders import Watch, blocks, connected, drive, event, spice_channels, status
from qmp_exporter.catalog.spec import NONE, Counter, Label
from qmp_exporter.model.vm import VM
from qmp_exporter.sinks import NOBODY
from qmp_exporter.sinks.counting import plan, presets


class Data(msgspec.Struct):
    """What a counter reads."""

    device: str = "disk0"
    action: str = "stop"
    guest: bool | None = None
    count: int = 7
    full: bool = False


def counter(*labels: Label, **more: object) -> Counter:
    """Return a counter with these labels."""
    return Counter("m_total", "Help.", labels, **more)  # type: ignore[arg-type]


ACTION = Label("action", ("stop", "report"))
GUEST = Label("guest", ("true", "false"))
DEVICE = Label("device")


@pytest.mark.parametrize(
    ("label", "data", "value"),
    [
        (ACTION, Data(action="report"), "report"),
        (ACTION, Data(action="explode"), "other"),
        (GUEST, Data(guest=True), "true"),
        (GUEST, Data(guest=False), "false"),
        (GUEST, Data(guest=None), "other"),
        (DEVICE, Data(device="a\nb"), "a?b"),
        (Label("who", field="device"), Data(), "disk0"),
    ],
)
def test_where_a_value_comes_from(label: Label, data: Data, value: str) -> None:
    """The member of that name, or of `field`; in a closed set or `other`; else fit for a label."""
    assert plan(counter(label)).values(data, NOBODY) == (value,)


def test_the_name_of_a_disk_is_the_vms() -> None:
    """It depends on what query-block said."""
    watch = Watch()
    watch.all(connected(), blocks(drive("", "disk1", "#block1")))
    data = {"device": "", "node-name": "#block1", "operation": "read", "action": "stop"}
    error = event("BLOCK_IO_ERROR", data).data
    how = plan(counter(Label("device", disk=True)))
    assert how.values(error, watch.vm) == ("disk1",)
    assert how.values(error, NOBODY) == ("unknown",)


def test_how_much_is_counted() -> None:
    """One, or the member that is to be added."""
    assert plan(counter()).amount is None
    amount = plan(counter(add="count")).amount
    assert amount is not None
    assert amount(Data(count=5)) == 5


def test_whether_it_is_counted() -> None:
    """Always, or when a member says so."""
    assert plan(counter()).when is None
    when = plan(counter(when="full")).when
    assert when is not None
    assert when(Data(full=True))
    assert not when(Data())


def test_what_a_limit_keeps_out_is_other() -> None:
    """Free labels read `other`; those of closed sets keep telling."""
    assert plan(counter(DEVICE, ACTION)).other(("disk0", "stop")) == ("other", "stop")
    assert plan(counter(ACTION)).other(("stop",)) == ("stop",)


@pytest.mark.parametrize(
    ("how", "rows"),
    [
        (counter(), {()}),
        (counter(ACTION), {("stop",), ("report",)}),
        (
            counter(ACTION, GUEST),
            {("stop", "true"), ("stop", "false"), ("report", "true"), ("report", "false")},
        ),
        (counter(ACTION, preset=(("stop",),)), {("stop",)}),
        (counter(ACTION, preset=NONE), set()),
        (counter(Label("device", known="disks")), {("disk0",), ("disk1",)}),
        (counter(Label("reference", known="quorums")), set()),
        (counter(Label("protocol", ("vnc", "spice"), known="displays")), {("spice",)}),
    ],
)
def test_rows_that_are_there_from_the_start(how: Counter, rows: set[tuple[str, ...]]) -> None:
    """All combinations that are known, or those that the entry tells."""
    watch = Watch()
    watch.all(connected(), status("running"), blocks(drive("disk0"), drive("disk1")))
    watch.feed(spice_channels())
    assert set(presets(how, watch.vm)) == rows


def test_of_nobody_no_disk_is_known() -> None:
    """A VM that was never reached has no rows of disks."""
    assert set(presets(counter(Label("device", known="disks")), VM())) == set()
