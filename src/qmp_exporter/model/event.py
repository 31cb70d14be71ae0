"""What happened to a VM: an event as QEMU sent it."""

from __future__ import annotations

import msgspec

from qmp_exporter.catalog.spec import EventSpec, Payload


class Event(msgspec.Struct, frozen=True, gc=False):
    """One QMP event.

    Attributes:
        spec: its entry in the catalog, ``UNCATALOGUED`` if it has none.
        name: its name as QEMU sent it; not fit for a label unless ``spec.name`` equals it.
        data: its typed data.
        time: QEMU's stamp in Unix seconds, or the time of arrival where that is not to be believed.
        now: monotonic seconds at its arrival.
        line: as QEMU sent it, with what no type keeps.
    """

    spec: EventSpec
    name: str
    data: Payload
    time: float
    now: float
    line: bytes = b""

    @property
    def key(self) -> str:
        """Which of several operations it says that it is part of; empty where there is one."""
        return str(getattr(self.data, self.spec.key)) + " " if self.spec.key else ""
