"""From catalog entries to functions: what people are shown of the data of an event."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from qmp_exporter.journal import MAX_DETAILS
from qmp_exporter.sinks.counting import read


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.catalog.spec import EventSpec
    from qmp_exporter.model.vm import VM


def details(spec: EventSpec) -> Callable[[Any, VM], str]:
    """Return a function from an event's data, and its VM, to ``device=disk0 action=stop``.

    It tells the labels of what the event counts and sets, and the values that it sets.
    """
    labels = spec.labels
    reads = [(f"{name}=", read(label)) for name, label in labels.items()]
    values = [
        (f"{gauge.field.rstrip('_')}=", attrgetter(gauge.field))
        for gauge in spec.gauges
        if gauge.field not in labels
    ]
    flags = [(c.when, attrgetter(c.when)) for c in spec.counters if c.when]

    def tell(data: Any, vm: VM) -> str:
        found = [name + of(data, vm) for name, of in reads]
        found += [f"{name}{of(data)}".lower() for name, of in values]
        found += [name for name, of in flags if of(data)]
        return " ".join(found)[:MAX_DETAILS]

    return tell
