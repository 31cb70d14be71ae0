"""A machine that exists only in its events, and what its monitor says of it.

The members of every reply are those of QEMU 7.2; the larger replies were recorded from it
(``replies-qemu-7.2.json``).
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.recording.conversation import QmpError
from qmp_exporter.recording.display import Display


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from qmp_exporter.recording.event import RecordedEvent


NO_UUID = "00000000-0000-0000-0000-000000000000"
"""What QEMU says of a machine that was given none."""

_RECORDED: Final = json.loads((Path(__file__).parent / "replies-qemu-7.2.json").read_bytes())

_STATUS_OF_NEXT_STOP: Mapping[tuple[str, str | None], str] = {
    ("SHUTDOWN", None): "shutdown",
    ("WATCHDOG", "pause"): "watchdog",
    ("GUEST_PANICKED", "pause"): "guest-panicked",
    ("GUEST_PANICKED", "poweroff"): "guest-panicked",
    ("BLOCK_IO_ERROR", "stop"): "io-error",
}
_UNSAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "STOP": ("query-status",),
    "RESUME": ("query-status", "query-block"),
    "SUSPEND": ("query-status",),
    "WAKEUP": ("query-status",),
    "RESET": ("query-status",),
    "BLOCK_IO_ERROR": ("query-block", "query-blockstats"),
    "BALLOON_CHANGE": ("query-balloon",),
    "MIGRATION": ("query-migrate",),
    "VNC": ("query-vnc", "query-vnc-servers"),
    "SPICE": ("query-spice",),
}
"""Replies that are true no longer after an event, by its name or the first word of it."""

_MIGRATION_OVER = {"completed", "failed", "cancelled"}
# A strange event changes nothing: it is there to be sent, not to be understood.
_STRANGE = (KeyError, TypeError, AttributeError, ValueError)


class MachineState:
    """A machine as its events and the commands of a client tell of it.

    It has one IDE disk, or those that an event names; a VNC or a SPICE server if an event comes
    from one; a balloon from the moment that an event tells its size.

    Args:
        events: those which will happen, to know from the start what the machine is made of.
        name: what ``query-name`` says; empty: none.
        uuid: what ``query-uuid`` says.
        version: of QEMU.
        status: at the start; one of QEMU's RunState.
        unknown: commands that it does not have, until it is told of a reply to them.

    Attributes:
        status: now.
        migration: status of the last migration, empty where there was none.
    """

    def __init__(  # noqa: PLR0913 - each has its name at the call
        self,
        events: Iterable[RecordedEvent] = (),
        *,
        name: str = "",
        uuid: str = NO_UUID,
        version: tuple[int, int, int] = (7, 2, 22),
        status: str = "running",
        unknown: Collection[str] = (),
    ) -> None:
        self._unknown = frozenset(unknown)
        self.status = status
        self.migration = ""
        self._name = name
        self._uuid = uuid
        self._version = version
        self._incoming = status == "inmigrate"
        self._next_stop = "paused"
        self._balloon: int | None = None
        self._capabilities = dict.fromkeys(_RECORDED["migration-capabilities"], False)
        self._disks: dict[str, dict[str, Any]] = {}
        self._failed: Counter[tuple[str, str]] = Counter()
        self._told: dict[str, object] = {}
        self._displays = {"VNC": Display("service"), "SPICE": Display("port")}
        for event in events:
            self._equip(event.name, event.data)
        if not self._disks:
            self._disk({"device": "", "node-name": "n0"})
        self._answers: Mapping[str, Callable[[], object]] = {
            "query-status": self._query_status,
            "query-name": lambda: {"name": self._name} if self._name else {},
            "query-uuid": lambda: {"UUID": self._uuid},
            "query-block": lambda: list(self._disks.values()),
            "query-blockstats": self._query_blockstats,
            "query-jobs": list,
            "query-migrate": self._query_migrate,
            "query-migrate-capabilities": self._query_migrate_capabilities,
            "query-vnc": self._displays["VNC"].query_vnc,
            "query-vnc-servers": self._displays["VNC"].query_vnc_servers,
            "query-spice": self._displays["SPICE"].query_spice,
            "query-balloon": self._query_balloon,
        }

    def follow(self, event: str, data: dict[str, Any]) -> None:
        """Take note of an event that is being sent."""
        for name in {event, event.partition("_")[0]}:
            for command in _UNSAYS.get(name, ()):
                self._told.pop(command, None)
        self._equip(event, data)
        with contextlib.suppress(*_STRANGE):
            self._apply(event, data)

    def learn(self, command: str, answer: object) -> None:
        """Take a reply of a real machine for what is so, until an event changes that.

        Args:
            command: that was answered.
            answer: what it returned, or the `QmpError` with which it was refused.
        """
        self._told[command] = answer
        with contextlib.suppress(*_STRANGE):
            self._believe(command, answer)

    def answer(self, command: str, arguments: dict[str, Any]) -> object:
        """Return what QEMU would return for one of the commands that are known here.

        Raises:
            QmpError: for all others, for wrong arguments, and where QEMU refuses.
        """
        if command == "migrate-set-capabilities":
            return self._set_capabilities(arguments)
        known = self._answers.keys() - self._unknown | self._told.keys()
        if command not in known:
            raise QmpError("CommandNotFound", f"The command {command} has not been found")
        for unexpected in arguments:
            raise QmpError("GenericError", f"Parameter '{unexpected}' is unexpected")
        if command not in self._told:
            return self._answers[command]()
        told = self._told[command]
        if isinstance(told, QmpError):
            raise told
        return told

    def _believe(self, command: str, answer: Any) -> None:
        """Be as a reply says."""
        match command:
            case "query-status":
                self.status = answer["status"]
            case "query-block":
                self._disks = {_node_of(disk): disk for disk in deepcopy(answer)}
            case "query-balloon":
                self._balloon = None if isinstance(answer, QmpError) else answer["actual"]
            case "query-migrate":
                self.migration = answer.get("status", "")
            case "query-migrate-capabilities":
                self._capabilities = {one["capability"]: one["state"] for one in answer}
            case "query-vnc-servers":
                servers = [one for entry in answer for one in entry["server"]]
                clients = [client for entry in answer for client in entry["clients"]]
                self._displays["VNC"].learn(servers[0] if servers else {}, clients)
            case "query-spice" if answer["enabled"]:
                server = {"host": answer["host"], "port": str(answer.get("port", ""))}
                server["auth"] = answer["auth"]
                self._displays["SPICE"].learn(server, list(answer["channels"]))

    def _equip(self, event: str, data: dict[str, Any]) -> None:
        """Learn what parts the machine has."""
        with contextlib.suppress(*_STRANGE):
            kind, _, _ = event.partition("_")
            if event == "BLOCK_IO_ERROR":
                self._disk(data)
            elif kind in self._displays:
                self._displays[kind].equip(data)

    def _apply(self, event: str, data: dict[str, Any]) -> None:
        action = data.get("action")
        self._next_stop = _STATUS_OF_NEXT_STOP.get((event, action), self._next_stop)
        match event.split("_"):
            case ["STOP"]:
                self.status = self._next_stop
            case ["RESUME"] | ["WAKEUP"]:
                self.status, self._next_stop = "running", "paused"
                self._forgive()
            case ["SUSPEND"]:
                self.status = "suspended"
            case ["RESET"] if self.status not in {"running", "inmigrate"}:
                self.status = "prelaunch"
            case ["BLOCK", "IO", "ERROR"]:
                self._fail(action, data)
            case ["BALLOON", "CHANGE"]:
                self._balloon = data["actual"]
            case ["MIGRATION"]:
                self._migrate(data["status"])
            case ["VNC" | "SPICE" as kind, what] if "client" in data:
                self._displays[kind].follow(what, data["client"])

    def _disk(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the disk that an event speaks of; there is one of each node name."""
        node = data.get("node-name", "n0")
        if node not in self._disks:
            disk = deepcopy(_RECORDED["disk"])
            disk["device"] = data["device"]
            disk["inserted"]["node-name"] = node
            path = data.get("qom-path", disk["qdev"])
            own = path.removeprefix("/machine/peripheral/")
            # QEMU names the device by its id; what is inside of a device has none.
            disk["qdev"] = path if "/" in own else own
            self._disks[node] = disk
        return self._disks[node]

    def _fail(self, action: str | None, data: dict[str, Any]) -> None:
        """Let a request fail: QEMU stops, or counts what it reports to the guest."""
        if action == "stop":
            self._disk(data)["io-status"] = "nospace" if data.get("nospace") else "failed"
        elif action == "report":
            self._failed[data.get("node-name", "n0"), data["operation"]] += 1

    def _forgive(self) -> None:
        """Clear the errors of disks, as ``cont`` does: of -drive only, not of -blockdev."""
        for disk in self._disks.values():
            if disk["device"]:
                disk["io-status"] = "ok"

    def _migrate(self, status: str) -> None:
        self.migration = status
        if status not in _MIGRATION_OVER:
            self._next_stop = "finish-migrate"
        elif status == "completed" and self.status == "finish-migrate":
            self.status = "postmigrate"
        elif self._next_stop == "finish-migrate":
            self._next_stop = "paused"

    def _set_capabilities(self, arguments: dict[str, Any]) -> object:
        if not isinstance(wanted := arguments.get("capabilities"), list):
            raise QmpError("GenericError", "Parameter 'capabilities' is missing")
        for entry in wanted:
            match entry:
                case {"capability": "events", "state": bool(on)}:
                    self._capabilities["events"] = on
                case _:
                    refused = f"Parameter 'capability' does not accept {json.dumps(entry)}"
                    raise QmpError("GenericError", refused)
        self._told.pop("query-migrate-capabilities", None)
        return {}

    def _query_status(self) -> object:
        status = {"status": self.status, "running": self.status == "running"}
        # The third member is gone in QEMU 10.0.
        return status if self._version >= (10,) else status | {"singlestep": False}

    def _query_blockstats(self) -> object:
        return [
            {
                **({"device": disk["device"]} if disk["device"] else {}),
                "qdev": disk["qdev"],
                "node-name": node,
                "stats": {
                    "failed_rd_operations": self._failed[node, "read"],
                    "failed_wr_operations": self._failed[node, "write"],
                    "failed_flush_operations": 0,
                },
            }
            for node, disk in self._disks.items()
        ]

    def _query_migrate(self) -> object:
        reply = {"status": self.migration} if self.migration else {}
        if self._incoming:
            return {} if self.migration == "setup" else reply
        match self.migration:
            case "" | "setup" | "cancelled":
                return reply
            case "failed":
                return reply | {"error-desc": "as it was recorded"}
            case "completed":
                return _RECORDED["migration-completed"]
            case _:
                return _RECORDED["migration-active"] | reply

    def _query_migrate_capabilities(self) -> object:
        return [{"state": on, "capability": name} for name, on in self._capabilities.items()]

    def _query_balloon(self) -> object:
        if self._balloon is None:
            raise QmpError("DeviceNotActive", "No balloon device has been activated")
        return {"actual": self._balloon}


def _node_of(disk: dict[str, Any]) -> str:
    """Return the node name by which events name a disk, or else what tells it from others."""
    node = disk.get("inserted", {}).get("node-name")
    return str(node or f"no node, {disk.get('qdev') or disk.get('device')}")
