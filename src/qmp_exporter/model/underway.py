"""What a step of a VM means for what is under way in it, and which event is part of what.

``follow`` is the whole of it: a pure function from what was under way, and a step, to what is under
way then and to facts. That something is under way is read from the state of the VM; what belongs to
it and what caused it stands in the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qmp_exporter.catalog.operations import (
    ACTIVITY,
    AUTH,
    CONNECT,
    EXIT,
    OPERATIONS,
    RESUMED,
    TOLD,
)
from qmp_exporter.catalog.states import FAILED_EXITS
from qmp_exporter.model.changes import Exited
from qmp_exporter.model.event import Event
from qmp_exporter.model.inputs import Input, Link, Reply
from qmp_exporter.model.operation import (
    MAX_ACTIVITY,
    MAX_AGE,
    THE_ACTIVITY,
    Draft,
    Fact,
    Key,
    Underway,
)
from qmp_exporter.model.replies import MigrationInfo
from qmp_exporter.model.vm import ENDING


if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from qmp_exporter.catalog.spec import Operation
    from qmp_exporter.model.vm import VM, Step


_CONNECT: Final[Key] = (CONNECT.name, "")
_GATHERING: Final = tuple((operation.name, "") for operation in OPERATIONS if operation.gathers)


def follow(
    known: Underway, given: Input, before: VM, step: Step
) -> tuple[Underway, tuple[Fact, ...]]:
    """Return what is under way after a step, and what became of it, in order.

    Args:
        known: what was under way.
        given: the input that was applied.
        before: the VM before it.
        step: what it made of the VM.
    """
    vm = step.vm
    draft = Draft(known, given.now, vm)
    event = given if isinstance(given, Event) else None
    if event is not None:
        draft.explain(event)
        if vm is before and not step.changes and event.spec.operation is None:
            _note(draft, event, frozenset())  # most events of a flood are like that
            return draft.closed(vm.asked)
    was = _keys(before)
    now = was if vm is before else _keys(vm)
    for key, operation in now.items():
        again = event is not None and _claims(event, key)  # asked for anew after its time was up
        if (again or key not in was) and key not in draft.spans:
            _begin(draft, key, operation, given, vm)
    noted = _note(draft, event, was.keys() ^ now.keys()) if event is not None else None
    _tell(draft, given, step, noted)
    gone = was.keys() - now.keys()
    if event is not None and noted is not None and _claims(event, noted):
        gone |= {noted} - now.keys()  # it was out of sight, and this is the end of it
    time = given.time
    if before.watched and not vm.watched:
        draft.lost = time
    if _exited(step) and time - draft.lost <= ENDING:
        time = draft.lost  # QEMU hung up when it ended; that it has is known only now
    for key in _over(draft, given, step, gone, now):
        unseen = isinstance(given, Reply) or (isinstance(given, Link) and given.read)
        draft.end(key, time, incomplete=unseen and key != _CONNECT)
    return draft.closed(vm.asked)


def tick(known: Underway, time: float, now: float) -> tuple[Underway, tuple[Fact, ...]]:
    """Return what is under way after nothing but time has passed, and what became of it.

    Args:
        known: what was under way.
        time: Unix seconds.
        now: monotonic seconds.
    """
    draft = Draft(known, now)
    for key, span in known.spans.items():
        age, operation = now - span.since, span.operation
        if operation is ACTIVITY:
            if age >= MAX_ACTIVITY:
                draft.end(key, span.last)
        elif operation.timeout and age >= operation.timeout:
            draft.tell(key, {}, "timeout")
            draft.end(key, time)
        elif age >= MAX_AGE:
            draft.go_on(key, time)
    return draft.closed(None)


def close(known: Underway, time: float) -> tuple[Underway, tuple[Fact, ...]]:
    """Return what is under way for somebody who looks away at ``time``: nothing any more."""
    draft = Draft(known, 0.0)
    for key, span in known.spans.items():
        if span.operation is ACTIVITY:
            draft.end(key, span.last)
        else:
            draft.end(key, time, incomplete=True)
    return draft.closed(frozenset())


def _keys(vm: VM) -> dict[Key, Operation]:
    """Return what is under way by the state of a VM."""
    return {(op.name, key): op for op in OPERATIONS for key in op.under_way(vm)}


def _begin(draft: Draft, key: Key, operation: Operation, given: Input, vm: VM) -> None:
    """Begin a span of what the state shows to be under way, and did not before."""
    if isinstance(given, Event) and _claims(given, key) and not operation.unseen(vm):
        draft.begin(operation, key[1], given.time, caused=True)
    elif isinstance(given, Link) and given.dialled is not None and operation is CONNECT:
        draft.begin(operation, key[1], given.dialled)
    else:
        draft.begin(operation, key[1], given.time)
        draft.tell(key, {RESUMED: True})
        found = operation.found(vm, key[1])
        if found is not None:
            draft.tell_of(key, TOLD[type(found)], found)


def _claims(event: Event, key: Key) -> bool:
    """Whether an event says that it is part of an operation."""
    operation = event.spec.operation
    return operation is not None and operation.name == key[0] and key[1].startswith(event.key)


def _note(draft: Draft, event: Event, changed: AbstractSet[Key]) -> Key:
    """Put an event on the span that it belongs to; return that one's key.

    Args:
        draft: what is under way.
        event: the event.
        changed: what it began or ended.
    """
    whole = event.spec.operation
    if whole is not None and whole.end_only:
        part = draft.parent(whole)
        draft.begin(whole, "", part.began if part else event.time, caused=True)
        if part is None:
            draft.tell((whole.name, ""), {RESUMED: True})
    claimed = [key for key in draft.spans if _claims(event, key)] if whole is not None else []
    if whole is not None and event.key and not claimed:
        draft.crowd(whole)
    # Of several that look the same: what began or ended now, else what nothing is known of.
    claimed.sort(key=lambda key: (key not in changed, AUTH in draft.spans[key].attributes))
    key = next((key for key in (*claimed, *_GATHERING) if key in draft.spans), THE_ACTIVITY)
    draft.note(key, event)
    if event.spec.tells is not None:
        draft.tell_of(key, event.spec.tells, event.data)
    return key


def _tell(draft: Draft, given: Input, step: Step, noted: Key | None) -> None:
    """Tell what a step made known of what is under way, or just ended."""
    for change in step.changes:
        if tells := TOLD.get(type(change)):
            key = (tells.operation.name, "")
            draft.tell_of(noted if noted and noted[0] == key[0] else key, tells, change)
        if isinstance(change, Exited):
            for key, span in draft.spans.items():
                failed = change.cause in FAILED_EXITS and span.operation is not ACTIVITY
                draft.tell(key, {EXIT: change.cause}, change.cause if failed else "")
    if isinstance(given, Reply) and isinstance(given.value, MigrationInfo):
        tells = TOLD[MigrationInfo]
        draft.tell_of((tells.operation.name, ""), tells, given.value, late=True)


def _exited(step: Step) -> bool:
    """Whether QEMU is known to have ended."""
    return any(isinstance(change, Exited) for change in step.changes)


def _over(
    draft: Draft, given: Input, step: Step, gone: set[Key], now: Mapping[Key, Operation]
) -> list[Key]:
    """Return what has ended; what is only out of sight has not.

    Args:
        draft: what is under way.
        given: the input.
        step: what it made of the VM.
        gone: what was under way by the state of the VM, or the event, and is not any more.
        now: what is under way by that state.
    """
    if _exited(step):
        return list(draft.spans)
    if isinstance(given, Link) and not given.read:
        return [key for key in draft.spans if key in gone and key == _CONNECT]
    if isinstance(given, Link):
        gone = draft.spans.keys() - now.keys() - {THE_ACTIVITY}
    ended = [
        key
        for key, span in draft.spans.items()
        if key in gone and not span.operation.outlasts(step.vm)
    ]
    return sorted(ended, key=lambda key: -draft.spans[key].id)
