"""Any life of a VM: whatever comes, in whatever order, what is shown of it makes sense."""

from __future__ import annotations

from typing import Final

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from builders import (
    IDENTITY,
    SOME,
    START,
    Series,
    Watch,
    blocks,
    decode,
    drive,
    line,
    samples,
    spice,
    spice_channels,
    vnc,
    vnc_clients,
)
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS
from qmp_exporter.catalog.spec import Sampled
from qmp_exporter.catalog.states import MIGRATION_STATUSES, RUN_STATES, LostCause, TargetState
from qmp_exporter.model.apply import apply
from qmp_exporter.model.changes import Connected, Disconnected, Exited, Stopped
from qmp_exporter.model.event import Event
from qmp_exporter.model.inputs import Ask, Input, Link, Reply
from qmp_exporter.model.operation import MAX_CLOSING, Began, Ended, Fact, Noted, Told, Underway
from qmp_exporter.model.replies import Balloon, MigratedRam, MigrationInfo, Status
from qmp_exporter.model.transitions import same_until
from qmp_exporter.model.underway import follow, tick
from qmp_exporter.model.vm import Step


NOW: Final = 1_000.0
(VM_STATUS,) = (m for m in ALL_VM_METRICS if isinstance(m, Sampled) and m.name == "qemu_vm_status")
PLAIN: Final = [(spec.name, data) for spec in EVENTS for data in spec.samples]
FREQUENT: Final = [("STOP", None), ("RESUME", None), ("STOP", None), ("RESUME", None)]
MIGRATIONS: Final = [("MIGRATION", {"status": status}) for status in (*MIGRATION_STATUSES, "new")]
STOPPING: Final = [
    ("WATCHDOG", {"action": "pause"}),
    ("WATCHDOG", {"action": "poweroff"}),
    ("GUEST_PANICKED", {"action": "pause"}),
    ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}),
    ("BLOCK_IO_ERROR", {"device": "", "node-name": "#b", "operation": "read", "action": "stop"}),
    ("VCPU_MELTED", {"device-state": "stop"}),
]
CLIENTS: Final = [
    make(kind, name)
    for make in (vnc, spice)
    for kind in ("CONNECTED", "INITIALIZED", "DISCONNECTED")
    for name in ("", "5000")
] + [spice("INITIALIZED", "", channel=1)]

events = (
    st.sampled_from(PLAIN)
    | st.sampled_from(FREQUENT)
    | st.sampled_from(MIGRATIONS)
    | st.sampled_from(STOPPING)
)
answers = st.sampled_from(
    [
        (Ask.BLOCK, blocks(drive("disk0", io="failed"), drive("", "disk1", "#b")).value),
        (Ask.BLOCK, None),
        (Ask.MIGRATE, MigrationInfo("completed", 12, MigratedRam(99))),
        (Ask.MIGRATE, MigrationInfo("active")),
        (Ask.MIGRATE, None),
        (Ask.VNC, vnc_clients().value),
        (Ask.VNC, vnc_clients("5000", "").value),
        (Ask.SPICE, spice_channels(("", 1), ("5000", 2)).value),
        (Ask.SPICE, None),
        ("query-balloon", Balloon(1 << 30)),
    ]
)
SPANS: Final = st.sampled_from([0.0, 0.001, 0.25, 1.0, 9.0, 60.0])
LATER: Final = (0.0, 0.5, 9.9, 11.0, 1e6)
LATE: Final = st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.75, 1.0, 1.5, -0.5, 600.0, 9999.0])


class AnyLife(RuleBasedStateMachine):
    """One VM, and what must be so of it; `now` never goes back, QEMU's clock may."""

    @initialize()
    def begin(self) -> None:
        """Take in a monitor that was never reached."""
        self.watch = Watch()
        self.now = NOW
        self.wall = START
        self.pid = 1
        self.connected_for = 0.0
        self.stops = 0
        self.events = 0
        self.outstanding: set[str] = set()
        self.shown: dict[Series, float] = {}
        self.underway = Underway()
        self.open: dict[int, float] = {}
        self.noted = 0

    def feed(self, given: Input) -> None:
        """Apply an input, and hold the step to its promises."""
        before, watched, alive = self.watch.vm, self.watch.vm.watched, self.watch.vm.alive
        frozen = msgspec.msgpack.encode(repr(before))
        step = self.watch.feed(given)
        after = step.vm
        self.follow(*follow(self.underway, given, before, step))
        assert msgspec.msgpack.encode(repr(before)) == frozen
        if isinstance(given, Event) and step == Step(before):
            until = same_until(before, given)
            for late in (late for late in LATER if given.now + late < until):
                again = msgspec.structs.replace(given, time=given.time + late, now=given.now + late)
                assert apply(after, again) == Step(after)
        assert after is before or after != before
        kinds = [type(change) for change in step.changes]
        assert kinds.count(Disconnected) == (watched and not after.watched and _lost(given))
        assert kinds.count(Exited) == (alive and (not after.alive or _fresh(step.changes)))
        assert (Connected in kinds) == (isinstance(given, Link) and given.identity is not None)
        if isinstance(given, Reply):
            self.outstanding.discard(given.command)
        if isinstance(given, Link) and (given.lost or given.identity or not after.alive):
            self.outstanding.clear()
        assert not self.outstanding & set(step.asks), "asked twice"
        self.outstanding |= set(step.asks)
        assert self.outstanding == after.asked

    def follow(self, underway: Underway, facts: tuple[Fact, ...]) -> None:
        """Hold the facts to their promises: a span begins once, ends once, and not before."""
        for fact in facts:
            if isinstance(fact, Began):
                assert fact.id not in self.open
                others = {fact.parent, fact.cause, fact.previous} - {None, fact.id}
                assert others <= self.underway.remembered | self.open.keys()
                self.open[fact.id] = fact.time
            elif isinstance(fact, Ended):
                assert fact.time >= self.open.pop(fact.id)
            elif isinstance(fact, Noted):
                assert fact.id in self.open
                self.noted += 1
            elif isinstance(fact, Told):
                assert fact.id in self.open
        self.underway = underway

    @rule(seconds=SPANS, jump=st.sampled_from([0.0, 0.0, 0.0, -5.0, 5.0, -4000.0, 4000.0]))
    def time_passes(self, seconds: float, jump: float) -> None:
        """Let it pass; somebody may set the host's clock."""
        self.now += seconds
        self.wall += seconds + jump
        if self.watch.vm.watched:
            self.connected_for += seconds
        self.follow(*tick(self.underway, self.wall, self.now))

    @precondition(lambda self: not self.watch.vm.watched)
    @rule(other=st.booleans(), told=st.booleans())
    def connect(self, other: bool, told: bool) -> None:  # noqa: FBT001
        """Let QEMU answer: the same process, or another."""
        self.pid += other
        identity = msgspec.structs.replace(
            IDENTITY, pid=self.pid if told else None, name="web" if told else ""
        )
        self.feed(Link(TargetState.CONNECTED, self.wall, self.now, identity))

    @precondition(lambda self: self.watch.vm.watched)
    @rule(state=st.sampled_from(TargetState), cause=st.sampled_from(LostCause))
    def lose(self, state: TargetState, cause: LostCause) -> None:
        """End the session."""
        if state is not TargetState.CONNECTED:
            self.feed(Link(state, self.wall, self.now, None, cause))

    @rule(state=st.sampled_from(TargetState))
    def look(self, state: TargetState) -> None:
        """Learn something of the monitor, or not: a session that stands stays or is quiet."""
        quiet = {TargetState.CONNECTED, TargetState.UNRESPONSIVE}
        if (state in quiet) == self.watch.vm.watched or state is TargetState.UNRESPONSIVE:
            self.feed(Link(state, self.wall, self.now))

    @precondition(lambda self: self.watch.vm.watched)
    @rule(told=events, late=LATE)
    def event(self, told: tuple[str, object], late: float) -> None:
        """Receive an event, late perhaps, or of a clock that was set since."""
        name, data = told
        self.feed(decode(line(name, data, self.wall - START - late), self.wall, self.now))
        self.stops += name == "STOP"
        self.events += 1

    @precondition(lambda self: self.watch.vm.watched)
    @rule(client=st.sampled_from(CLIENTS))
    def display(self, client: object) -> None:
        """See a client come or go."""
        assert isinstance(client, msgspec.Struct)
        self.feed(msgspec.structs.replace(client, time=self.wall, now=self.now))  # type: ignore[arg-type]
        self.events += 1

    @precondition(lambda self: self.watch.vm.watched)
    @rule(state=st.sampled_from([*RUN_STATES, "new", None, None]))
    def status(self, state: str | None) -> None:
        """Receive the answer to query-status, asked or not."""
        value = Status(state) if state else None
        self.feed(Reply(Ask.STATUS, value, self.wall, self.now))

    @precondition(lambda self: self.watch.vm.watched)
    @rule(answer=answers)
    def answer(self, answer: tuple[str, object]) -> None:
        """Receive an answer to something else."""
        command, value = answer
        self.feed(Reply(command, value, self.wall, self.now))  # type: ignore[arg-type]

    @rule(openmetrics_too=st.sampled_from([False, False, False, True]))
    def scrape(self, openmetrics_too: bool) -> None:  # noqa: FBT001
        """Read the page: no counter is less than it was, no row is there twice."""
        name = self.watch.name
        at = self.now - 5_000.0
        page = samples(self.watch.page(at))
        assert self.watch.structured(at) == page
        if openmetrics_too:
            assert list(openmetrics(self.watch.page(at, openmetrics=True)))  # type: ignore[no-untyped-call]
        counters = {s: v for s, v in page.items() if s[0].endswith("_total") and name in s[1]}
        for series, value in self.shown.items():
            assert counters.get(series, -1.0) >= value or name not in series[1], series
        self.shown = counters
        counted = sum(v for s, v in counters.items() if s[0] == "qemu_events_total")
        assert counted == self.events

    @invariant()
    def every_event_is_on_one_span(self) -> None:
        """And what is under way is what has begun and not ended; of one that ended, nothing."""
        assert self.noted == self.events
        spans = {span.id for span in self.underway.spans.values()}
        spans |= {closing.span.id for closing in self.underway.closing}
        assert spans == self.open.keys()
        assert len(self.underway.closing) <= MAX_CLOSING
        if self.watch.vm.ended:
            assert not self.underway.spans

    @invariant()
    def every_stop_is_counted_once(self) -> None:
        """With its cause, at the latest when the next one comes."""
        counted = sum(isinstance(change, Stopped) for change in self.watch.changes)
        held = self.watch.vm.stops.held is not None
        assert counted + held == self.stops

    @invariant()
    def it_was_not_stopped_for_longer_than_it_was_watched(self) -> None:
        """Over all causes together; at most one clock runs."""
        stops = self.watch.vm.stops
        assert sum(s for _, s in stops.seconds(self.now)) <= self.connected_for + 1e-6
        running = [clock for clock in stops.clocks if clock.since is not None]
        assert len(running) == (stops.cause is not None)
        assert self.watch.vm.watched or not running

    @invariant()
    def unobserved_is_what_was_not_watched(self) -> None:
        """Never more than the time that passed otherwise."""
        unobserved = self.watch.vm.unobserved.seconds(self.now)
        assert unobserved <= self.now - NOW - self.connected_for + 1e-6

    @invariant()
    def one_run_state_is_shown(self) -> None:
        """Of a VM that lives and whose state was read; of one that has ended, none."""
        vm = self.watch.vm
        ones = sum(value for _, value in VM_STATUS.read(vm, self.now))
        assert ones == (vm.alive and vm.status != "")
        assert not vm.ended or not vm.status

    @invariant()
    def sessions_are_connections(self) -> None:
        """And nobody is connected to a VM that has ended."""
        for clients in self.watch.vm.displays.values():
            assert 0 <= clients.sessions <= clients.connections
            assert self.watch.vm.alive or clients.connections == 0

    @invariant()
    def nothing_is_open_of_one_that_has_ended(self) -> None:
        """No session, no STOP held, no migration under way, nothing asked."""
        vm = self.watch.vm
        if not vm.alive:
            assert not vm.watched
            assert not vm.migration.open
            assert not vm.asked
        if not vm.watched:
            assert vm.stops.held is None
            assert not vm.up


def _lost(given: Input) -> bool:
    return isinstance(given, Link) and given.lost is not None


def _fresh(changes: tuple[object, ...]) -> bool:
    return any(isinstance(change, Connected) and change.fresh for change in changes)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(SOME, max_examples=40, stateful_step_count=50)
