"""What events mean beyond their entry in the catalog: reboots, sleep, run states."""

from __future__ import annotations

import pytest

from builders import Watch, connected, event, link, lost, status
from qmp_exporter.catalog.events import BY_NAME
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.transitions import TRANSITIONS


REBOOTS = "qemu_vm_reboots_total"
RESETS = "qemu_vm_resets_total"
STATUS = "qemu_vm_status"
GUEST = {"guest": True, "reason": "guest-reset"}
HOST = {"guest": False, "reason": "host-qmp-system-reset"}


def vm(state: str = "running") -> Watch:
    """Return a VM in that run state."""
    watch = Watch()
    watch.all(connected(), status(state))
    return watch


def test_each_is_an_event_of_the_catalog() -> None:
    """A name that is misspelt would never be called."""
    assert set(TRANSITIONS) <= BY_NAME.keys()


def test_a_reboot_is_a_burst() -> None:
    """Firmware makes 2 or 3 RESETs of one reboot: raw they are 3, as a reboot 1."""
    watch = vm()
    for at in (10, 10.25, 11):
        watch.feed(event("RESET", GUEST, at))
    assert watch.risen(RESETS) == {("guest-reset", "true"): 3}
    assert watch.risen(REBOOTS) == {("true",): 1}


def test_a_burst_is_measured_from_its_first_reset() -> None:
    """RESETs that follow one another without end are a reboot each second, not one for ever."""
    watch = vm()
    for half in range(6):
        watch.feed(event("RESET", GUEST, half / 2))
    assert watch.risen(REBOOTS) == {("true",): 2}


def test_a_reboot_after_a_second_is_another() -> None:
    """What is stamped more than 1 s later is not the same burst."""
    watch = vm()
    watch.all(event("RESET", GUEST, 10), event("RESET", GUEST, 11.25))
    assert watch.risen(REBOOTS) == {("true",): 2}


def test_a_burst_goes_by_qemus_time() -> None:
    """Late arrival does not stretch a burst, and one that arrives at once is two by its stamps."""
    watch = vm()
    watch.all(event("RESET", GUEST, 10), event("RESET", GUEST, 10.5, late=30))
    assert watch.risen(REBOOTS) == {("true",): 1}
    watch.all(event("RESET", GUEST, 20, late=30), event("RESET", GUEST, 25, late=25))
    assert watch.risen(REBOOTS) == {("true",): 3}


def test_whoever_began_a_burst_rebooted() -> None:
    """The RESETs that the firmware adds to a host's system_reset are no reboot of the guest."""
    watch = vm()
    watch.all(event("RESET", HOST, 10), event("RESET", GUEST, 10.5))
    assert watch.risen(REBOOTS) == {("false",): 1}


@pytest.mark.parametrize("reason", ["snapshot-load", "subsystem-reset"])
def test_some_resets_are_no_reboot(reason: str) -> None:
    """Neither a loaded snapshot nor the reset of a part counts, or begins a burst."""
    watch = vm()
    watch.feed(event("RESET", {"guest": False, "reason": reason}, 10))
    assert watch.risen(REBOOTS) == {}
    assert watch.risen(RESETS) == {(reason, "false"): 1}
    watch.feed(event("RESET", GUEST, 10.5))
    assert watch.risen(REBOOTS) == {("true",): 1}


def test_an_old_qemu_does_not_say_who_rebooted() -> None:
    """Before 4.2 a RESET had no data; it counts under `other`."""
    watch = vm()
    watch.feed(event("RESET", None, 10))
    assert watch.risen(REBOOTS) == {("other",): 1}
    assert watch.risen(RESETS) == {("other", "other"): 1}


def test_firmware_that_runs_late_does_not_reboot() -> None:
    """A machine reset while it was stopped is reset by its firmware when it goes on: one reboot."""
    watch = vm("paused")
    watch.all(event("RESET", HOST, 10), status("prelaunch", 10))
    watch.all(event("RESUME", at=60), event("RESET", GUEST, 60.25))
    assert watch.risen(REBOOTS) == {("false",): 1}
    watch.feed(event("RESET", GUEST, 61.5))
    assert watch.risen(REBOOTS) == {("false",): 1, ("true",): 1}


def test_a_reset_right_after_the_start_is_a_reboot() -> None:
    """A machine started with -S was not reset before it runs."""
    watch = vm("prelaunch")
    watch.all(event("RESUME", at=1), event("RESET", HOST, 1.5))
    assert watch.risen(REBOOTS) == {("false",): 1}


def test_a_pause_is_no_excuse_for_a_reboot() -> None:
    """A guest that reboots as soon as it goes on has rebooted, where nobody reset it."""
    watch = vm("paused")
    watch.all(event("RESUME", at=60), event("RESET", GUEST, 60.25))
    assert watch.risen(REBOOTS) == {("true",): 1}


def test_a_reset_closes_trays() -> None:
    """QEMU closes those of CD drives and says nothing: what they are is not known any more."""
    watch = vm()
    watch.feed(event("DEVICE_TRAY_MOVED", {"device": "", "id": "cd0", "tray-open": True}, 1))
    assert watch.value("qemu_block_tray_open", "cd0") == 1
    watch.feed(event("RESET", GUEST, 2))
    assert watch.value("qemu_block_tray_open", "cd0") is None


def test_a_sleeper_that_was_stopped_sleeps_on() -> None:
    """QEMU 9.0 and later stop one that sleeps; when it goes on it sleeps, which is asked for."""
    watch = vm()
    watch.all(event("SUSPEND", at=1), event("STOP", at=2), status("paused", 2))
    watch.asks.clear()
    watch.feed(event("RESUME", at=3))
    assert watch.risen(STATUS) == {("suspended",): 1}
    assert watch.asks == [Ask.STATUS]
    watch.all(status("suspended", 3), event("WAKEUP", at=4))
    assert watch.risen(STATUS) == {("running",): 1}
    watch.all(event("STOP", at=5), status("paused", 5), event("RESUME", at=6))
    assert watch.risen(STATUS) == {("running",): 1}


def test_one_that_woke_up_while_it_was_stopped_runs() -> None:
    """A wake-up ends the sleep, whatever the state is."""
    watch = vm("suspended")
    watch.all(event("STOP", at=2), status("paused", 2), event("WAKEUP", at=3))
    watch.feed(event("RESUME", at=4))
    assert watch.risen(STATUS) == {("running",): 1}


def test_another_process_is_not_part_of_a_burst() -> None:
    """A QEMU started anew within the second is not the one that rebooted."""
    watch = vm()
    watch.all(event("RESET", GUEST, 10), lost(10), link(TargetState.GONE, 10))
    watch.all(connected(10.25, pid=4712), status("running", 10.25), event("RESET", GUEST, 10.5))
    assert watch.risen(REBOOTS) == {("true",): 2}


def test_a_reset_of_a_stopped_vm_asks_for_its_state() -> None:
    """It goes to prelaunch then, and sends no event of that."""
    watch = vm("paused")
    watch.feed(event("RESET", HOST, 1))
    assert watch.asks == [Ask.STATUS]
    watch = vm()
    watch.feed(event("RESET", HOST, 1))
    assert watch.asks == []


@pytest.mark.parametrize(
    ("announcing", "shown"),
    [
        (("BLOCK_IO_ERROR", {"operation": "write", "action": "stop", "device": "d"}), "io-error"),
        (("WATCHDOG", {"action": "pause"}), "watchdog"),
        (("GUEST_PANICKED", {"action": "pause"}), "guest-panicked"),
        (("GUEST_PANICKED", {"action": "poweroff"}), "guest-panicked"),
        (("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}), "shutdown"),
        (("SHUTDOWN", {"guest": False, "reason": "host-ui"}), "shutdown"),
        (("POWERDOWN", None), "paused"),
    ],
)
def test_the_run_state_after_a_stop_is_guessed_until_it_is_read(
    announcing: tuple[str, object], shown: str
) -> None:
    """A page rendered before the answer shows what was announced, else `paused`."""
    watch = vm()
    watch.all(event(*announcing, 1), event("STOP", at=1.5))
    assert watch.risen(STATUS) == {(shown,): 1}
    assert watch.value("qemu_vm_running") == 0
    watch.feed(status("debug", 2))
    assert watch.risen(STATUS) == {("debug",): 1}


def test_resume_runs() -> None:
    """RESUME says that the VM runs; nothing is asked."""
    watch = vm("paused")
    watch.feed(event("RESUME", at=1))
    assert watch.risen(STATUS) == {("running",): 1}
    assert watch.value("qemu_vm_running") == 1
    assert watch.asks == []


def test_sleep_and_wake() -> None:
    """Sleep in memory is a run state, sleep on disk is not; both are counted."""
    watch = vm()
    watch.feed(event("SUSPEND_DISK", at=1))
    assert watch.risen(STATUS) == {("running",): 1}
    watch.feed(event("SUSPEND", at=2))
    assert watch.risen(STATUS) == {("suspended",): 1}
    assert watch.rows("qemu_vm_suspends_total") == {("memory",): 1, ("disk",): 1}
    watch.feed(event("WAKEUP", at=3))
    assert watch.risen(STATUS) == {("running",): 1}
    assert watch.value("qemu_vm_wakeups_total") == 1


def test_a_wake_up_starts_no_stopped_vm() -> None:
    """WAKEUP of a VM that is paused leaves it paused."""
    watch = vm("paused")
    watch.feed(event("WAKEUP", at=3))
    assert watch.risen(STATUS) == {("paused",): 1}
