"""How a guest ends, sleeps and begins again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from e2e.page import Exporter
    from linux.guest import Guest
    from otlp import Receiver

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def begin_again(guest: Guest, exporter: Exporter) -> None:
    """Reset a machine that is stopped, and have it boot."""
    await guest.execute("system_reset")
    await guest.execute("cont")
    await guest.booted()
    await exporter.until("qemu_vm_status", 1, status="running")


async def test_reboot(guest: Guest, exporter: Exporter) -> None:
    """However often the firmware resets, a reboot is one reboot, of the guest's own will."""
    guest.tell("reboot -f")
    await guest.booted()
    page = await exporter.until("qemu_vm_reboots_total", 1, guest="true")
    assert page.rows("qemu_vm_reboots_total", "guest") == {"true": 1}
    resets = page.rows("qemu_vm_resets_total", "reason", "guest")
    assert resets.keys() == {("guest-reset", "true")}
    assert page.value("qemu_up") == 1


async def test_reset_of_a_stopped_machine(guest: Guest, exporter: Exporter) -> None:
    """The firmware resets once more when it runs, here two seconds later: that is one reboot."""
    await guest.execute("stop")
    await guest.execute("system_reset")
    await exporter.until("qemu_vm_status", 1, status="prelaunch")
    await asyncio.sleep(2)  # more than what tells one reboot from the next
    await guest.execute("cont")
    await guest.booted()
    page = await exporter.until("qemu_vm_status", 1, status="running")
    assert page.rows("qemu_vm_reboots_total", "guest") == {"false": 1}
    reasons = set(page.rows("qemu_vm_resets_total", "reason"))
    assert reasons == {"host-qmp-system-reset", "guest-reset"}


async def test_reboot_that_ends_qemu(guest: Guest, exporter: Exporter) -> None:
    """With -no-reboot a guest that reboots ends QEMU, and that is the guest's doing."""
    await guest.execute("set-action", reboot="shutdown")
    guest.tell("reboot -f")
    page = await exporter.until("qemu_vm_exits_total", 1, cause="guest-shutdown")
    assert page.rows("qemu_vm_shutdowns_total", "reason", "guest") == {("guest-reset", "true"): 1}
    assert page.rows("qemu_vm_reboots_total", "guest") == {}


async def test_sleep(guest: Guest, exporter: Exporter) -> None:
    """A guest that sleeps in memory is suspended until it is woken, and goes on where it was."""
    guest.tell("echo mem >/sys/power/state && echo awake")
    page = await exporter.until("qemu_vm_suspends_total", 1, state="memory")
    assert (page.status(), page.value("qemu_vm_running")) == ("suspended", 0)
    await guest.execute("system_wakeup")
    page = await exporter.until("qemu_vm_wakeups_total", 1)
    assert (page.status(), page.value("qemu_vm_running")) == ("running", 1)
    assert await guest.answer() == ("awake\n", 0)
    assert page.rows("qemu_vm_resets_total", "reason") == {}
    await begin_again(guest, exporter)  # not every driver has woken up, too: the watchdog's has not


async def test_sleep_of_a_stopped_machine(guest: Guest, exporter: Exporter) -> None:
    """A guest that sleeps, is stopped and goes on is shown as QEMU shows it: still asleep."""
    guest.tell("echo mem >/sys/power/state && echo awake")
    await exporter.until("qemu_vm_suspends_total", 1, state="memory")
    await guest.execute("stop")
    stopped = await guest.status()  # QEMU before 9.0 takes no notice, and tells of nothing
    await exporter.until("qemu_vm_status", 1, status=stopped)
    await guest.execute("cont")
    page = await exporter.until("qemu_vm_resumes_total", int(stopped == "paused"))
    assert (await guest.status(), page.status()) == ("suspended", "suspended")
    assert page.value("qemu_vm_running") == 0
    await guest.execute("system_wakeup")
    await exporter.until("qemu_vm_wakeups_total", 1)
    assert await guest.answer() == ("awake\n", 0)
    await begin_again(guest, exporter)


async def test_watchdog_that_pauses(guest: Guest, exporter: Exporter) -> None:
    """A guest that does not feed its watchdog is stopped by it."""
    guest.tell(NEGLECT)
    page = await exporter.until("qemu_vm_stops_total", 1, cause="watchdog")
    assert page.status() == "watchdog"
    assert page.rows("qemu_watchdog_actions_total", "action") == {"pause": 1}
    await begin_again(guest, exporter)
    assert (await exporter.page()).rows("qemu_vm_stops_total", "cause") == {"watchdog": 1}


async def test_watchdog_that_resets(guest: Guest, exporter: Exporter) -> None:
    """Or it is reset by it, and boots."""
    await guest.execute("set-action", watchdog="reset")
    guest.tell(NEGLECT)
    await exporter.until("qemu_watchdog_actions_total", 1, action="reset")
    await guest.booted()
    page = await exporter.until("qemu_vm_reboots_total", 1, guest="true")
    assert page.rows("qemu_watchdog_actions_total", "action") == {"reset": 1}
    assert page.rows("qemu_vm_reboots_total", "guest") == {"true": 1}
    assert page.status() == "running"


NEGLECT = "echo 1 >/dev/watchdog"
"""Starts the watchdog, which nothing stops or feeds then: it runs out after two seconds."""


async def test_panic_that_pauses(guest: Guest, exporter: Exporter) -> None:
    """A kernel that panics is stopped, until a reset."""
    guest.tell(PANIC)
    page = await exporter.until("qemu_vm_stops_total", 1, cause="guest-panic")
    assert page.rows("qemu_guest_panics_total", "action", "kind") == {("pause", "unknown"): 1}
    assert page.status() == "guest-panicked"
    await begin_again(guest, exporter)


async def test_panic_that_ends_qemu(guest: Guest, exporter: Exporter) -> None:
    """Or QEMU ends with it, and that is the panic's doing."""
    await guest.execute("set-action", panic="shutdown")
    guest.tell(PANIC)
    page = await exporter.until("qemu_vm_exits_total", 1, cause="panic")
    panics = page.rows("qemu_guest_panics_total", "action", "kind")
    assert panics == {("poweroff", "unknown"): 1}
    assert page.rows("qemu_vm_exits_total", "cause") == {"panic": 1}
    assert page.rows("qemu_vm_shutdowns_total", "reason", "guest") == {("guest-panic", "true"): 1}


PANIC = "echo c >/proc/sysrq-trigger"


async def test_poweroff(guest: Guest, exporter: Exporter) -> None:
    """A guest that powers off ends QEMU, and that is the guest's doing."""
    guest.tell("poweroff -f")
    page = await exporter.until("qemu_vm_exits_total", 1, cause="guest-shutdown")
    assert page.rows("qemu_vm_exits_total", "cause") == {"guest-shutdown": 1}
    assert page.rows("qemu_vm_shutdowns_total", "reason", "guest") == POWERED_OFF
    assert page.value("qemu_up") == 0


async def test_poweroff_that_pauses(guest: Guest, exporter: Exporter) -> None:
    """With -no-shutdown it is stopped, and can be reset and boot again."""
    await guest.execute("set-action", shutdown="pause")
    guest.tell("poweroff -f")
    page = await exporter.until("qemu_vm_stops_total", 1, cause="guest-shutdown")
    assert page.rows("qemu_vm_shutdowns_total", "reason", "guest") == POWERED_OFF
    assert (page.status(), page.value("qemu_up")) == ("shutdown", 1)
    await begin_again(guest, exporter)
    page = await exporter.page()
    assert page.rows("qemu_vm_exits_total", "cause") == {}


POWERED_OFF = {("guest-shutdown", "true"): 1}


LISTEN = "acpid -d >/acpid.log 2>&1 & until ls -l /proc/$!/fd | grep input; do sleep 0.1; done"
"""Runs what powers off when the button is pressed, and waits until it hears it."""


async def test_power_button(guest: Guest, exporter: Exporter) -> None:
    """A guest that hears the power button powers off."""
    await guest.run(LISTEN)
    await guest.execute("system_powerdown")
    page = await exporter.until("qemu_vm_exits_total", 1, cause="guest-shutdown")
    assert page.value("qemu_vm_powerdown_requests_total") == 1
    assert page.rows("qemu_vm_shutdowns_total", "reason", "guest") == POWERED_OFF


async def test_power_button_as_a_trace(guest: Guest, collector: Receiver) -> None:
    """From the button to the end of QEMU is one span, without failure."""
    await guest.run(LISTEN)
    await guest.execute("system_powerdown")
    await guest.wait()
    await collector.until(lambda: "qemu.guest.shutdown" in {span.name for span in collector.spans})
    span = collector.span("qemu.guest.shutdown")
    assert [event.name for event in span.events] == ["qemu.powerdown", "qemu.shutdown"]
    assert span.status == "unset"
