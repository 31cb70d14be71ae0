"""Plays stories to the model and the metrics sink, in the place of a session.

There is no socket and no clock here. A stage has a fleet and its page; VMs are connected, read as
a session reads them, say their lines, answer what the model asks, and go. QEMU's side of that is
`MachineState`, which knows a machine by its events, and what the stories tell besides.
"""

from __future__ import annotations

import contextlib
import re
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from golden.stories import BOOT, FIRST
from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.operations import CONNECT
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.demo.captures import RecordedEvent
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.fleet import Fleet
from qmp_exporter.model.inputs import Identity, Input, Link, Reply
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.queries import STATE, typed
from qmp_exporter.recording.conversation import QmpError
from qmp_exporter.recording.state import MachineState
from qmp_exporter.sinks.metrics import MetricsSink
from tracks import Tracks


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golden.stories import Actor, Line, Story
    from tracks import Shown


Step: TypeAlias = "tuple[float, Callable[[], None]]"

MONOTONIC: Final = 1000.0
"""What the monotonic clock reads when a story begins."""

RETRY: Final = 0.25
"""Seconds after which a session dials again, and finds that QEMU has gone."""

UUID: Final = "11111111-2222-4333-8444-555555555555"


class Stage:
    """A fleet and its page.

    Args:
        silent: whether no QEMU answers the questions that its events raise.

    Attributes:
        notes: what was said, for people, in order.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.notes: list[str] = []
        self._silent = silent
        self._fleet = Fleet()
        self._metrics = MetricsSink()
        self._decode = decoder()
        self._machines: dict[str, MachineState] = {}
        self._tracks: dict[str, Tracks] = {}

    def play(self, story: Story, name: str = "vm") -> Iterator[str]:
        """Play a story; yield the page when all are connected, when all is said, and after."""
        for actor in story.actors:
            self._connect(actor, name)
        yield self.page(0.0)
        steps: list[Step] = []
        for actor in story.actors:
            steps += [(line.at, partial(self._say, actor, line, name)) for line in actor.lines]
            if actor.killed is not None:
                steps += self._end(actor, actor.killed, name)
        now = _done(steps)
        ending = [actor for actor in story.actors if actor.exits]
        if not ending:
            now += 1.0  # so that clocks can be seen to run
        yield self.page(now)
        steps = [step for one in ending for step in self._end(one, now, name)]
        now = _done(steps) if steps else now
        for tracks in self._tracks.values():
            tracks.close(BOOT + now)
        yield self.page(now)

    def spans(self) -> Iterator[str]:
        """Yield the spans of all that was played, in words, those of each VM in their order."""
        for actor, tracks in self._tracks.items():
            role = actor.rpartition(".")[0].rpartition("-")[2] if len(self._tracks) > 1 else ""
            for span in tracks.spans:
                if span.name != CONNECT.name:  # all VMs have one, and it is of second 0
                    yield " ".join(filter(None, (role, *told(span))))

    def page(self, at: float, *, openmetrics: bool = False) -> str:
        """Return the whole page at a second of the story."""
        return self._metrics.render(MONOTONIC + at, openmetrics=openmetrics, names=frozenset())

    def _connect(self, actor: Actor, name: str) -> None:
        """Connect a VM, and read its state in the order in which a session does."""
        address = _address(actor, name)
        machine = MachineState(actor.events, version=actor.version, status=actor.status)
        self._machines[address] = machine
        self._metrics.add(self._fleet.add(Target(address)))
        identity = Identity(
            name=name,
            uuid=UUID,
            qemu_version=".".join(map(str, actor.version)),
            arch="x86_64",
            monitor=address,
            pid=4242 + len(self._fleet),
            started=BOOT - 60,
        )
        self._feed(address, Link(TargetState.CONNECTED, BOOT, MONOTONIC, identity, dialled=BOOT))
        for command in STATE:
            self._reply(actor, address, command, 0.0)
        self._feed(address, Link(TargetState.CONNECTED, BOOT, MONOTONIC, read=True))
        if actor.untold is not None:
            machine.follow(*actor.untold)

    def _say(self, actor: Actor, line: Line, name: str) -> None:
        """Let a VM say a line, and answer at once what it makes the model ask."""
        address = _address(actor, name)
        try:
            event = self._decode(line.text, BOOT + line.at, MONOTONIC + line.at)
        except DecodeError as err:
            self._metrics.decode_error(self._fleet.name(address), err.event)
            self._note(actor, line.at, f"{line.text.decode()}  cannot be decoded")
            return
        recorded = RecordedEvent.parse(line.text)
        self._machines[address].follow(recorded.name, recorded.data)
        asks = self._feed(address, event)
        words = " ".join((recorded.name, *described(recorded)))
        if self._silent or actor.silent:
            answers = [f"{ask}: no answer" for ask in asks]
        else:
            answers = [self._reply(actor, address, ask, line.at) for ask in asks]
        if answers:
            words = f"{words}  ({'; '.join(answers)})"
        self._note(actor, line.at, words)

    def _end(self, actor: Actor, at: float, name: str) -> Iterator[Step]:
        """Yield the end of a VM's QEMU: the connection ends, the next dial finds nobody."""
        address, later = _address(actor, name), at + RETRY

        def lose() -> None:
            lost = LostCause.EOF
            self._feed(address, Link(TargetState.CONNECTING, BOOT + at, MONOTONIC + at, lost=lost))
            self._note(actor, at, "end of stream")

        def miss() -> None:
            self._feed(address, Link(actor.gone, BOOT + later, MONOTONIC + later))
            self._note(actor, later, f"the monitor is {actor.gone}")

        yield at, lose
        yield later, miss

    def _reply(self, actor: Actor, address: str, command: str, at: float) -> str:
        """Answer a command, and return that in words."""
        found: object = None
        if command in actor.replies:
            found = actor.replies[command]
        else:
            with contextlib.suppress(QmpError):  # QEMU refuses some
                found = self._machines[address].answer(command, {})
        reply = Reply(command, typed(command, found), BOOT + at, MONOTONIC + at)
        asks = self._feed(address, reply)
        assert asks == (), "no reply makes the model ask"
        status = found.get("status") if isinstance(found, dict) else None
        return f"{command}: {status}" if status else command

    def _feed(self, address: str, given: Input) -> tuple[str, ...]:
        fed = self._fleet.feed(address, given)
        for old, new in fed.renames:
            self._metrics.rename(old, new)
        self._metrics.take(fed.name, given, fed.before, fed.step, None)
        tracks = self._tracks.setdefault(address, Tracks(BOOT + FIRST))
        tracks.follow(given, fed.before, fed.step)
        return fed.step.asks

    def _note(self, actor: Actor, at: float, words: str) -> None:
        self.notes.append(" ".join(filter(None, (f"+{at - FIRST:.3f}", actor.role, words))))


def _done(steps: list[Step]) -> float:
    """Do the steps in their order, and return when the last of them was."""
    steps.sort(key=lambda step: step[0])
    for _, do in steps:
        do()
    return steps[-1][0]


def _address(actor: Actor, name: str) -> str:
    return f"/run/qemu/{'-'.join(filter(None, (name, actor.role)))}.sock"


def told(span: Shown) -> Iterator[str]:
    """Yield a span in words."""
    assert span.end is not None, span
    yield f"{span.name} +{span.begin:.3f} to +{span.end:.3f}"
    for word, other in (("part of", span.parent), ("caused in", span.cause)):
        if other:
            yield f"{word} {other.partition(' ')[0]}"
    if span.error:
        yield f"ERROR {span.error}"
    shown = {re.sub(r"^(qemu|qmp_exporter)\.", "", name): told for name, told in span.told.items()}
    yield ", ".join(f"{name}={str(value).lower()}" for name, value in shown.items())
    yield f"[{', '.join(span.events)}]"


_DECISIVE: Final = (
    "action",
    "auth",
    "channel-type",
    "device",
    "guest",
    "id",
    "node-name",
    "nospace",
    "offset",
    "actual",
    "completed",
    "open",
    "operation",
    "pass",
    "qom-path",
    "reason",
    "reference",
    "sectors-count",
    "slot-type",
    "source",
    "status",
    "type",
)


def described(event: RecordedEvent) -> Iterator[str]:
    """Yield what of an event's data decides what it counts as."""
    data = dict(event.data)
    if "operation" in data:
        data.pop("reason", None)  # text for people
    if "offset" in data:
        data.pop("qom-path", None)  # of the clock
    client = data.get("client", {})
    for inner in ("info", "result", "server", "client"):
        data |= data.get(inner, {})
    for name in _DECISIVE:
        if name in data:
            value = data[name]
            yield f"{name}={str(value).lower() if isinstance(value, bool) else value}"
    if client:
        yield f"client={client['host']}:{client.get('service', client.get('port'))}"
