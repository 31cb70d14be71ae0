"""Fleets that no lab has: large, in every kind of trouble, hostile. No QEMU runs."""

from __future__ import annotations

import json
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.model.inputs import Identity, Link, Reply
from qmp_exporter.model.replies import BlockDevice, BlockDevices, Node, Status
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from qmp_exporter.app import App
    from qmp_exporter.model.inputs import Input


HOSTILE: Final = '"><script>document.title="had"</script><img src=x onerror=alert(1)>&amp;\'`${1}'
"""Text that would do something if it were taken for HTML or for a script."""

_decode = decoder()


class Fleet:
    """VMs of an application, which are told what happens to them.

    Args:
        app: it runs, or is about to.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def begin(self, name: str, status: str = "running", ago: float = 3600) -> None:
        """Let a VM with one disk connect, an hour ago or some other seconds."""
        address = self._address(name)
        self._app.pipeline.add(Target(address, name=name))
        who = Identity(name, "5eb00000-0000-4000-8000-00000000000a", "11.1.0", "x86_64", address, 7)
        disks = BlockDevices((BlockDevice("", "disk0", "ok", Node("node0")),))
        at = time() - ago, monotonic() - ago
        for given in (
            Link(TargetState.CONNECTED, *at, who),
            Reply("query-status", Status(status), *at),
            Reply("query-block", disks, *at),
        ):
            self.feed(name, given)

    def event(self, vm: str, name: str, data: Any = None, status: str = "", ago: float = 0) -> None:
        """Let an event happen, and the status be read after it."""
        seconds, rest = divmod(time() - ago, 1)
        stamp = {"seconds": int(seconds), "microseconds": int(rest * 1e6)}
        line = {"timestamp": stamp, "event": name} | ({} if data is None else {"data": data})
        self.feed(vm, _decode(json.dumps(line).encode(), time(), monotonic()))
        if status:
            self.feed(vm, Reply("query-status", Status(status), time(), monotonic()))

    def link(self, vm: str, state: TargetState, lost: LostCause | None = None) -> None:
        """Let something become of its monitor."""
        self.feed(vm, Link(state, time(), monotonic(), None, lost))

    def feed(self, vm: str, given: Input) -> None:
        """Let it be given an input."""
        self._app.pipeline.feed(self._address(vm), given)

    def trouble(self) -> None:
        """One VM of each kind of trouble, and long names."""
        for name in ("web", "db", "cache", "old", "moving", "hung", "x" * 128):
            self.begin(name)
        error = {"device": "", "qom-path": "/machine/peripheral/disk0", "nospace": True}
        self.event("db", "BLOCK_IO_ERROR", error | {"operation": "write", "action": "stop"}, ago=3)
        self.event("db", "STOP", status="io-error", ago=3)
        self.event("web", "GUEST_PANICKED", {"action": "pause"}, ago=900)
        self.event("web", "STOP", status="guest-panicked", ago=900)
        self.event("cache", "STOP", status="paused", ago=60)
        self.event("moving", "MIGRATION", {"status": "setup"}, ago=9)
        self.event("moving", "MIGRATION", {"status": "active"}, ago=8)
        self.event("moving", "MIGRATION_PASS", {"pass": 3}, ago=2)
        client = {"server": {"auth": "vnc"}, "client": {"host": "::1", "service": "5"}}
        for event in ("VNC_CONNECTED", "VNC_INITIALIZED"):
            self.event("moving", event, client)
        for at in range(40):
            self.event("x" * 128, f"EVENT_{'Y' * 40}_{at % 9}", ago=3.0**at % 3000)
        self.link("hung", TargetState.UNRESPONSIVE)
        self.link("old", TargetState.CONNECTING, LostCause.EOF)
        self.link("old", TargetState.GONE)
        self._app.pipeline.add(Target(self._address("taken"), name="taken"))
        self.link("taken", TargetState.BUSY)

    def _address(self, name: str) -> str:
        return f"/run/{name.encode().hex()}.qmp"
