"""Events of QEMU's qapi/run-state.json: the life of a machine."""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.operations import GUEST_SHUTDOWN, STOP
from qmp_exporter.catalog.spec import Causes, Counter, EventSpec, Label, Payload, Severity
from qmp_exporter.catalog.states import (
    BOOLEANS,
    PANIC_ACTIONS,
    PANIC_KINDS,
    SHUTDOWN_CAUSES,
    UNKNOWN,
    WATCHDOG_ACTIONS,
)


SOURCE: Final = "run-state.json"


class Halt(Payload, frozen=True):
    """Data of RESET and SHUTDOWN; QEMU before 4.2 sent none.

    Attributes:
        guest: whether the guest asked for it.
        reason: a QAPI ShutdownCause.
    """

    guest: bool | None = None
    reason: str | None = None


class Watchdog(Payload, frozen=True):
    """Data of WATCHDOG: what QEMU does about it."""

    action: str

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "watchdog"


class PanicInfo(Payload, frozen=True):
    """What the guest said of its crash; only its kind is kept, the rest is the guest's text."""

    type: str | None = None


class Panic(Payload, frozen=True):
    """Data of GUEST_PANICKED and GUEST_CRASHLOADED."""

    action: str
    info: PanicInfo | None = None

    @property
    def failure(self) -> str:
        """What kind of failure it is."""
        return "guest-panic"

    @property
    def kind(self) -> str:
        """Which interface the guest used: a QAPI GuestPanicInformationType, or ``unknown``."""
        return (self.info and self.info.type) or UNKNOWN


REASON: Final = Label("reason", SHUTDOWN_CAUSES)
GUEST: Final = Label("guest", BOOLEANS)
PANIC_ACTION: Final = Label("action", PANIC_ACTIONS)
STATE: Final = Label("state", ("memory", "disk"))

EVENTS: Final = (
    EventSpec(
        "STOP",
        "The machine stopped executing. QEMU does not say why: the exporter asks.",
        SOURCE,
        operation=STOP,
        samples=(None,),
        severity=Severity.WARN,
        note="Counted with its cause once `query-status` has answered.",
    ),
    EventSpec(
        "RESUME",
        "The machine executes again.",
        SOURCE,
        operation=STOP,
        samples=(None,),
        counters=(
            Counter(
                "qemu_vm_resumes_total",
                "Times the machine went on executing. QMP event RESUME.",
            ),
        ),
    ),
    EventSpec(
        "RESET",
        "The machine was reset.",
        SOURCE,
        payload=Halt,
        samples=({"guest": True, "reason": "guest-reset"}, None),
        severity=Severity.WARN,
        counters=(
            Counter(
                "qemu_vm_resets_total",
                "Resets of the machine, raw: firmware makes 2 or 3 of one reboot, see"
                " qemu_vm_reboots_total. QMP event RESET.",
                (REASON, GUEST),
                preset=(
                    ("guest-reset", "true"),
                    ("guest-panic", "true"),
                    ("host-qmp-system-reset", "false"),
                ),
            ),
        ),
    ),
    EventSpec(
        "SHUTDOWN",
        "The machine shut down, or QEMU was told to end.",
        SOURCE,
        payload=Halt,
        operation=GUEST_SHUTDOWN,
        causes=(Causes("STOP"),),
        samples=({"guest": False, "reason": "host-qmp-quit"}, None),
        severity=Severity.WARN,
        counters=(
            Counter(
                "qemu_vm_shutdowns_total",
                "Shutdowns of the machine; with -no-shutdown QEMU lives on. QMP event SHUTDOWN.",
                (REASON, GUEST),
                preset=(
                    ("guest-shutdown", "true"),
                    ("guest-reset", "true"),
                    ("guest-panic", "true"),
                    ("host-error", "false"),
                    ("host-qmp-quit", "false"),
                    ("host-signal", "false"),
                    ("host-ui", "false"),
                ),
            ),
        ),
    ),
    EventSpec(
        "POWERDOWN",
        "The guest was asked to power down (an ACPI power button).",
        SOURCE,
        operation=GUEST_SHUTDOWN,
        samples=(None,),
        counters=(
            Counter(
                "qemu_vm_powerdown_requests_total",
                "Requests to the guest to power down. QMP event POWERDOWN.",
            ),
        ),
    ),
    EventSpec(
        "SUSPEND",
        "The guest went to sleep, its state kept in memory (ACPI S3).",
        SOURCE,
        samples=(None,),
        note='Counted as `state="memory"` of `qemu_vm_suspends_total`.',
    ),
    EventSpec(
        "SUSPEND_DISK",
        "The guest went to sleep, its state kept on disk (ACPI S4).",
        SOURCE,
        samples=(None,),
        note='Counted as `state="disk"` of `qemu_vm_suspends_total`.',
    ),
    EventSpec(
        "WAKEUP",
        "The guest woke up from sleep.",
        SOURCE,
        samples=(None,),
        counters=(
            Counter(
                "qemu_vm_wakeups_total",
                "Times the guest woke up from sleep. QMP event WAKEUP.",
            ),
        ),
    ),
    EventSpec(
        "WATCHDOG",
        "The watchdog device's timer ran out: the guest hangs.",
        SOURCE,
        payload=Watchdog,
        causes=(
            Causes("RESET", "action", ("reset",)),
            Causes("POWERDOWN", "action", ("shutdown",)),
            Causes("STOP", "action", ("pause",)),
        ),
        samples=({"action": "reset"}, {"action": "inject-nmi"}),
        severity=Severity.ERROR,
        limited="the machine",
        counters=(
            Counter(
                "qemu_watchdog_actions_total",
                "Times the watchdog fired, by what QEMU did; at least so many, since QEMU sends at"
                " most one a second. QMP event WATCHDOG.",
                (Label("action", WATCHDOG_ACTIONS),),
            ),
        ),
    ),
    EventSpec(
        "GUEST_PANICKED",
        "The guest's kernel panicked.",
        SOURCE,
        payload=Panic,
        causes=(
            Causes("STOP", "action", ("pause", "poweroff")),
            Causes("SHUTDOWN", "action", ("poweroff",)),
        ),
        samples=(
            {
                "action": "pause",
                "info": {
                    "type": "hyper-v",
                    "arg1": 30,
                    "arg2": 18446744072637906947,
                    "arg3": 0,
                    "arg4": 0,
                    "arg5": 0,
                },
            },
            {"action": "poweroff"},
        ),
        severity=Severity.FATAL,
        counters=(
            Counter(
                "qemu_guest_panics_total",
                "Panics of the guest's kernel, by what QEMU did and by which interface told it"
                " (unknown: pvpanic, which does not say). QMP event GUEST_PANICKED.",
                (PANIC_ACTION, Label("kind", PANIC_KINDS)),
                preset=tuple((a, k) for a in PANIC_ACTIONS for k in ("hyper-v", UNKNOWN)),
            ),
        ),
    ),
    EventSpec(
        "GUEST_CRASHLOADED",
        "The guest's kernel panicked and loaded a crash kernel (kdump).",
        SOURCE,
        payload=Panic,
        samples=({"action": "run"},),
        severity=Severity.ERROR,
        counters=(
            Counter(
                "qemu_guest_crashloads_total",
                "Times the guest's kernel loaded its crash kernel. QMP event GUEST_CRASHLOADED.",
                (PANIC_ACTION,),
                preset=(("run",),),
            ),
        ),
    ),
    EventSpec(
        "GUEST_PVSHUTDOWN",
        "The guest told its pvpanic device that it shuts down. From QEMU 9.1 on.",
        SOURCE,
        rare=True,
        samples=(None,),
        counters=(
            Counter(
                "qemu_guest_pvshutdowns_total",
                "Shutdowns that the guest told its pvpanic device. QMP event GUEST_PVSHUTDOWN.",
            ),
        ),
    ),
)
