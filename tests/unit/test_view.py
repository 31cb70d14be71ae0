"""What people are shown of the VMs, from the model and the page sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import (
    ADDRESS,
    BOOT,
    START,
    blocks,
    connected,
    drive,
    event,
    link,
    lost,
    status,
    vnc,
    vnc_clients,
)
from qmp_exporter import view as module
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.inputs import Input
from qmp_exporter.model.target import Target
from qmp_exporter.pipeline import Pipeline
from qmp_exporter.sinks.page import PageSink
from qmp_exporter.telemetry.self_metrics import SelfMetrics
from qmp_exporter.view import View
from qmp_exporter.web import Display, Machine, Migrated, Row


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.model.fleet import Member


class Watched:
    """A view of one VM, and what happens to it."""

    def __init__(self) -> None:
        page = PageSink()
        self.pipeline = Pipeline((page,), SelfMetrics(), lambda *_: None)
        self.pipeline.add(Target(ADDRESS))
        self.view = View(self.pipeline.fleet, page, (("/metrics", "Metrics"),))

    def feed(self, *inputs: Input) -> Row:
        """Let it be given inputs, and return its row."""
        for given in inputs:
            self.pipeline.feed(ADDRESS, given)
        (row,) = self.view.overview().rows
        return row

    @property
    def machine(self) -> Machine:
        """What its page is told."""
        found = self.view.machine("web")
        assert found is not None
        return found


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A VM at whose tenth second somebody looks."""
    monkeypatch.setattr(module, "monotonic", lambda: BOOT + 10)
    monkeypatch.setattr(module, "time", lambda: START + 10)
    return Watched()


def test_at_first_a_row_is_of_the_socket(watched: Watched) -> None:
    """Before it is reached, nothing else is known."""
    row = watched.feed()
    assert (row.vm, row.monitor, row.state, row.status) == ("web", ADDRESS, "connecting", "")
    assert watched.machine.facts == (("Monitor", ADDRESS),)
    assert watched.machine.migration is None
    assert watched.machine.entries == ()


def test_who_loses_its_name_while_it_is_looked_at_is_left_out(watched: Watched) -> None:
    """The rows are made in another thread than the one that renames VMs."""
    (member,) = watched.pipeline.fleet

    class Renamed:
        """A fleet of a VM whose name goes to another one."""

        def __iter__(self) -> Iterator[Member]:
            """Return it, which has its name no more."""
            member.name = ""
            return iter([member])

    watched.view._fleet = Renamed()  # type: ignore[assignment]
    assert watched.view.overview().rows == ()


def test_the_overview_says_who_speaks(watched: Watched) -> None:
    """When, with which links, and which events one may look for."""
    overview = watched.view.overview()
    assert (overview.now, overview.links) == (START + 10, (("/metrics", "Metrics"),))
    assert {"STOP", "VNC_CONNECTED", "gone", "unresponsive"} <= set(overview.events)


def test_a_full_disk(watched: Watched) -> None:
    """Why it is stopped and for how long, and the disk, in the row and on its page."""
    error = {"device": "", "qom-path": "/machine/peripheral/disk1", "nospace": True}
    row = watched.feed(
        connected(),
        status("running"),
        blocks(drive(qdev="disk0"), drive(qdev="disk1")),
        event("BLOCK_IO_ERROR", error | {"operation": "write", "action": "stop"}, 4),
        event("STOP", at=4),
        status("io-error", 4),
    )
    assert (row.status, row.cause, row.stopped_seconds) == ("io-error", "io-error", 6)
    assert (row.disks, row.io_errors) == ((("disk1", "nospace"),), 1)
    machine = watched.machine
    assert machine.disks == (("disk1", "nospace"), ("disk0", "ok"))
    assert machine.stopped == (("io-error", 6),)
    assert machine.events == (("BLOCK_IO_ERROR", 1), ("STOP", 1))
    assert [entry.event for entry in machine.entries] == ["STOP", "BLOCK_IO_ERROR", "connected"]
    assert machine.entries[0].details == "cause=io-error"
    assert ("QEMU", "11.1.3 x86_64") in machine.facts
    assert ("Process", "4711") in machine.facts
    assert ("Started", "2023-11-14 22:12:20 UTC") in machine.facts


def test_a_migration(watched: Watched) -> None:
    """While it is under way in the row; on the page of the machine the last one, too."""
    row = watched.feed(
        connected(),
        event("MIGRATION", {"status": "setup"}, 1),
        event("MIGRATION", {"status": "active"}, 1),
        event("MIGRATION_PASS", {"pass": 3}, 2),
    )
    assert (row.migration, row.passes) == ("active", 3)
    row = watched.feed(event("MIGRATION", {"status": "completed"}, 5))
    assert (row.migration, row.passes) == ("", 0)
    assert watched.machine.migration == Migrated("completed", "source", 3, 4.0, None, None)


def test_clients_of_a_display(watched: Watched) -> None:
    """Sessions, and connections that are none."""
    row = watched.feed(
        connected(),
        vnc_clients("1"),
        vnc("CONNECTED", "2"),
        vnc("INITIALIZED", "2"),
        vnc("CONNECTED", "3"),
    )
    assert row.sessions == 2
    assert watched.machine.displays == (Display("vnc", 3, 2),)


def test_an_end(watched: Watched) -> None:
    """How QEMU ended, until another one answers."""
    row = watched.feed(connected(), status("running"), lost(3), link(TargetState.REFUSED, 3))
    assert (row.state, row.status, row.cause) == ("refused", "", "crash")
    assert watched.machine.row == row
    row = watched.feed(connected(5, pid=5000))
    assert (row.state, row.cause) == ("connected", "")


def test_time_without_a_connection(watched: Watched) -> None:
    """Counted up to now."""
    watched.feed(connected(), lost(4))
    assert watched.machine.unobserved == 6


def test_nobody_of_that_name(watched: Watched) -> None:
    """Not by the socket of one who has another name either."""
    watched.feed(connected(name="www"))
    assert watched.view.machine("web") is None
    assert watched.view.machine("") is None
    assert watched.view.machine("www") is not None
