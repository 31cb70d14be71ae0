"""Plays a recording to the model and the metrics sink, in the place of a session.

There is no socket and no clock here: what was recorded comes at the time at which it came. A
recording is as a session of the exporter makes it: who answers is asked first, then the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from golden.driver import MONOTONIC, RETRY, described, told
from golden.pages import differing
from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.operations import CONNECT
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.fleet import Fleet
from qmp_exporter.model.inputs import Identity, Input, Link, Reply
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.queries import (
    CAPABILITIES,
    IDENTITY,
    NO_UUID,
    SET_CAPABILITIES,
    STATE,
    Arch,
    Name,
    Uuid,
    read_as,
    typed,
)
from qmp_exporter.recording.event import SECOND
from qmp_exporter.sinks.metrics import MetricsSink
from tracks import Tracks


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.recording.monitor import Cue
    from qmp_exporter.recording.tape import Tape


ADDRESS: Final = "/run/qemu/vm.qmp"
ASKED_AT_CONNECT: Final = (*STATE, CAPABILITIES, SET_CAPABILITIES)


class Played:
    """A recording that was played.

    Args:
        tape: the recording.

    Attributes:
        notes: what was said, for people.
        connected: the page when the state had been read.
        last: the page at the end of the recording.
        ended: the page after the end of QEMU, if that was recorded.
    """

    def __init__(self, tape: Tape) -> None:
        self.notes: list[str] = []
        self._began = tape.began / SECOND
        self._fleet = Fleet()
        self._metrics = MetricsSink()
        self._metrics.add(self._fleet.add(Target(ADDRESS)))
        self._decode = decoder()
        self._tracks = Tracks(self._began)
        known = {cue.command: cue for cue in reversed(tape.cues) if cue.command in IDENTITY}
        who = {id(cue) for cue in known.values()}
        cues = [cue for cue in tape.cues if id(cue) not in who]
        at = max((cue.at for cue in known.values()), default=0) / SECOND
        self._connect(tape, known, at)
        left = set(ASKED_AT_CONNECT) & {cue.command for cue in cues}
        self.connected = "" if left else self._read(at)
        for cue in cues:
            at = max(at, cue.at / SECOND)
            self._hear(cue, at)
            left.discard(cue.command)
            if not left and not self.connected:
                self.connected = self._read(at)
        at = tape.seconds
        self.last = self.ended = self._page(at)
        if tape.end != "stopped":
            at = self._end(at, gone=tape.end == "gone")
            self.ended = self._page(at)
        self._tracks.close(self._began + at)

    def golden(self, title: str) -> str:
        """Return the text of a golden file."""
        lines = [title, "", *self.notes, "", "as spans:", *self._spans()]
        text = [f"# {line}".rstrip() for line in lines]
        text += ["", "# what differs from the page at connect:"]
        text += differing(self.connected, self.last)
        if end := list(differing(self.last, self.ended)):
            text += ["", "# what the end of the connection changed:", *end]
        return "\n".join(text) + "\n"

    def _spans(self) -> Iterator[str]:
        for span in self._tracks.spans:
            if span.name != CONNECT.name:
                yield f"- {' '.join(filter(None, told(span)))}"

    def _connect(self, tape: Tape, known: dict[str, Cue], at: float) -> None:
        name, uuid, arch = (
            known[command].reply if command in known else None for command in IDENTITY[:3]
        )
        number = read_as(uuid, Uuid, Uuid(uuid="")).uuid
        identity = Identity(
            name=read_as(name, Name, Name()).name,
            uuid="" if number == NO_UUID else number,
            qemu_version=".".join(map(str, tape.version)),
            arch=read_as(arch, Arch, Arch("")).arch,
            monitor=ADDRESS,
        )
        self._feed(self._link(TargetState.CONNECTED, at, identity=identity, dialled=self._began))

    def _read(self, at: float) -> str:
        self._feed(self._link(TargetState.CONNECTED, at, read=True))
        self.notes.clear()  # what was read is on the page
        return self._page(at)

    def _hear(self, cue: Cue, at: float) -> None:
        if cue.command:
            value = typed(cue.command, cue.reply)
            if cue.command in STATE:
                self._feed(Reply(cue.command, value, self._began + at, MONOTONIC + at))
            status = cue.reply.get("status") if isinstance(cue.reply, dict) else None
            self._note(at, f"{cue.command}: {status}" if status else cue.command)
            return
        text = cue.event.stamped(tape_time(cue, self._began)) if cue.event else cue.noise
        try:
            event = self._decode(text, self._began + at, MONOTONIC + at)
        except DecodeError as err:
            self._metrics.decode_error(self._fleet.name(ADDRESS), err.event)
            self._note(at, f"{text!r}  cannot be decoded")
        else:
            self._feed(event)
            assert cue.event is not None
            self._note(at, " ".join((event.name, *described(cue.event))))

    def _end(self, at: float, *, gone: bool) -> float:
        self._feed(self._link(TargetState.CONNECTING, at, lost=LostCause.EOF))
        self._note(at, "end of stream")
        if gone:
            at += RETRY
            self._feed(self._link(TargetState.GONE, at))
            self._note(at, "QEMU is gone")
        return at

    def _link(self, state: TargetState, at: float, **more: object) -> Link:
        return Link(state, self._began + at, MONOTONIC + at, **more)  # type: ignore[arg-type]

    def _feed(self, given: Input) -> None:
        fed = self._fleet.feed(ADDRESS, given)
        for old, new in fed.renames:
            self._metrics.rename(old, new)
        self._metrics.take(fed.name, given, fed.before, fed.step, None)
        self._tracks.follow(given, fed.before, fed.step)

    def _note(self, at: float, words: str) -> None:
        self.notes.append(f"+{at:.3f} {words}")

    def _page(self, at: float) -> str:
        return self._metrics.render(MONOTONIC + at, openmetrics=False, names=frozenset())


def tape_time(cue: Cue, began: float) -> int:
    """Return the stamp of an event as it was, in Unix microseconds."""
    return round(began * SECOND) + cue.at - cue.late
