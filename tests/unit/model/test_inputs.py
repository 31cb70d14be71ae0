"""Who answers at a monitor, and whether it is who answered before."""

from __future__ import annotations

import pytest

from qmp_exporter.model.inputs import Ask, Identity


KNOWN = Identity("web", "1111", "11.1.3", "x86_64", "/run/web.sock", 4711, 60.0)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Identity(pid=4711, started=60.0), True),
        (Identity(pid=4712, started=60.0), False),
        (Identity(pid=4711, started=61.0), False),
        (Identity(pid=None, started=None), True),
        (Identity(pid=None, started=61.0), True),
    ],
)
def test_a_process_is_known_by_pid_and_start(other: Identity, same: bool) -> None:  # noqa: FBT001
    """A pid may be used again, so the start counts too; without pids it is taken for granted."""
    assert KNOWN.same_process(other) is same
    assert other.same_process(KNOWN) is same


def test_what_was_not_told_is_known_of_the_same_process() -> None:
    """A slow QEMU keeps its name, uuid and architecture; what it does tell is believed."""
    told = Identity(qemu_version="11.1.4", monitor="/run/web.sock", pid=4711, started=60.0)
    completed = told.completed(KNOWN)
    assert (completed.name, completed.uuid, completed.arch) == ("web", "1111", "x86_64")
    assert completed.qemu_version == "11.1.4"
    assert Identity(name="db", pid=4711, started=60.0).completed(KNOWN).name == "db"


def test_what_was_not_told_of_another_process_is_not_known() -> None:
    """Nor is it of the first that ever answered."""
    other = Identity(pid=4712)
    assert other.completed(KNOWN) is other
    assert other.completed(None) is other


def test_only_reading_is_asked() -> None:
    """The model asks queries, whatever happens."""
    assert all(ask.startswith("query-") for ask in Ask)
