"""From catalog entries to functions: which rows of a counter an event or a change raises."""

from __future__ import annotations

from itertools import product
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from qmp_exporter.catalog.states import BOOLEANS, OTHER
from qmp_exporter.catalog.text import label_text


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qmp_exporter.catalog.spec import Counter, Label, Values
    from qmp_exporter.model.vm import VM


_BOOLEANS: Final = {True: "true", False: "false"}


class Plan(NamedTuple):
    """How to count one counter.

    Attributes:
        counter: its entry.
        values: from a payload or change, and the VM, to the label values.
        amount: from a payload or change to what to add; none for 1.
        when: from a payload or change to whether to count at all; none for always.
        other: label values of the row that takes what a limit keeps out.
    """

    counter: Counter
    values: Callable[[Any, VM], Values]
    amount: Callable[[Any], int] | None
    when: Callable[[Any], bool] | None
    other: Callable[[Values], Values]

    def raised(self, data: Any, vm: VM) -> tuple[Values, int] | None:
        """Return which row a payload or change raises, and by how much; none if it raises none."""
        if self.when is not None and not self.when(data):
            return None
        return self.values(data, vm), 1 if self.amount is None else self.amount(data)


def plan(counter: Counter) -> Plan:
    """Return how to count ``counter``."""
    reads = tuple(map(read, counter.labels))
    free = tuple(label.free for label in counter.labels)

    def values(data: Any, vm: VM) -> Values:
        return tuple([read(data, vm) for read in reads])

    def other(values: Values) -> Values:
        return tuple(OTHER if f else value for f, value in zip(free, values, strict=True))

    return Plan(
        counter,
        values,
        attrgetter(counter.add) if counter.add else None,
        attrgetter(counter.when) if counter.when else None,
        other,
    )


def presets(counter: Counter, vm: VM) -> Iterable[Values]:
    """Return the rows of ``counter`` that are to be there before anything happens to ``vm``."""
    if counter.preset is not None:
        return counter.preset
    return product(*(_known(label, vm) for label in counter.labels))


def known(vm: VM) -> tuple[object, ...]:
    """Return what `presets` depend on: with the same, they are the same."""
    return vm.disks.status.keys(), vm.disks.quorums, vm.displays.keys()


def _known(label: Label, vm: VM) -> tuple[str, ...]:
    match label.known:
        case "disks":
            return tuple(vm.disks.status)
        case "quorums":
            return vm.disks.quorums
        case "displays":
            return tuple(vm.displays)
        case _:
            return label.values


def read(label: Label) -> Callable[[Any, VM], str]:
    """Return how to read the value of a label from a payload or change, and the VM."""
    if label.disk:
        return lambda data, vm: vm.disk_of(data)
    get = attrgetter(label.source)
    if label.free:
        return lambda data, _: label_text(get(data))
    known = _BOOLEANS if label.values == BOOLEANS else {v: str(v) for v in label.values}
    return lambda data, _: known.get(get(data), OTHER)
