"""A machine of events answers as a real one does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from fake_qmp import FakeMonitor
from qmp_exporter.demo import CommandError, Machine, devices, disks, operations, rfb
from qmp_exporter.demo.captures import RecordedEvent
from qmp_exporter.recording.conversation import QmpError
from qmp_exporter.recording.state import MachineState
from spec_examples import VERSIONS, captures_by_role, spec_examples
from support import require_tool
from witness import EVENTS_ON, lab


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


QUERIES = (
    "query-status",
    "query-name",
    "query-uuid",
    "query-block",
    "query-migrate",
    "query-migrate-capabilities",
    "query-vnc",
    "query-vnc-servers",
    "query-spice",
    "query-balloon",
)
DISK = (
    *("-blockdev", "driver=null-co,node-name=n0,size=10485760,read-zeroes=on"),
    *("-device", "ide-hd,bus=ide.0,unit=0,drive=n0,id=disk0"),
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for a real machine, on a computer that has QEMU."""
    require_tool(os.environ.get("QEMU") or "qemu-system-x86_64")
    return tmp_path


def shape(value: object) -> object:
    """Keep keys and types of a JSON value."""
    if isinstance(value, dict):
        # A picture of a disk on a picture, and so on: nothing to do with events.
        return {key: shape(member) for key, member in value.items() if key != "image"}
    if isinstance(value, list):
        return [shape(element) for element in value]
    # QEMU writes a whole number without a point also where a fraction may stand.
    return "number" if type(value) in {int, float} else type(value).__name__


def story(name: str, role: str = "", version: str = "7.2") -> list[RecordedEvent]:
    """Return the events of a captured machine."""
    lines = captures_by_role(version)[name, role]
    return [RecordedEvent.parse(line) for line in lines]


def facts(replies: dict[str, Any]) -> dict[str, Any]:
    """Pick what events tell; the rest has values that are of one machine."""
    return {
        "status": replies["query-status"],
        "name": replies["query-name"],
        "uuid": replies["query-uuid"],
        "disks": [
            (disk["qdev"], disk["inserted"]["node-name"], disk["io-status"])
            for disk in replies["query-block"]
        ],
        "migration": replies["query-migrate"].get("status"),
        "capabilities": replies["query-migrate-capabilities"],
        "vnc": (replies["query-vnc"], replies["query-vnc-servers"]),
        "balloon": replies["query-balloon"],
    }


def answers(state: MachineState) -> dict[str, Any]:
    """Ask everything."""
    replies: dict[str, Any] = {}
    for query in QUERIES:
        try:
            replies[query] = state.answer(query, {})
        except QmpError as error:
            replies[query] = {"refused": str(error)}
    return replies


async def real_answers(machine: Machine) -> dict[str, Any]:
    """Ask a real QEMU everything."""
    replies: dict[str, Any] = {}
    for query in QUERIES:
        try:
            replies[query] = await machine.execute(query)
        except CommandError as error:
            replies[query] = {"refused": error.reason}
    return replies


async def nothing(_: Machine) -> None:
    """Let the machine be."""


async def stop_and_reset(machine: Machine) -> None:
    """An operator stops the machine and resets it."""
    await machine.execute("stop")
    await machine.execute("system_reset")


async def io_error(machine: Machine) -> None:
    """The disk fails and the machine is stopped."""
    await disks.read(machine, 8)


async def io_error_once(machine: Machine) -> None:
    """The disk fails once, the machine is stopped and goes on."""
    await disks.read(machine, 8)
    await machine.until("io-error")
    await machine.execute("cont")


async def io_error_then_stop(machine: Machine) -> None:
    """As above; later an operator stops the machine, for reasons of their own."""
    await io_error_once(machine)
    await machine.execute("stop")


async def watchdog(machine: Machine) -> None:
    """The watchdog stops the machine."""
    await devices.fire_watchdog(machine, "pause")


async def balloon(machine: Machine) -> None:
    """The balloon takes 4 MiB."""
    await devices.set_balloon_actual(machine, 1024)


async def migrate_in_vain(machine: Machine) -> None:
    """A migration fails."""
    await operations.migrate(machine, "exec:false")


async def look(machine: Machine) -> None:
    """A VNC client comes and goes."""
    async with rfb.viewer(machine.directory / "vm.vnc"):
        pass


FAILING_DISK = disks.ide_disk("disk0", disks.Fault("read"), rerror="stop")
ONCE = disks.ide_disk("disk0", disks.Fault("read", sector=8, once=True), rerror="stop")
LEGACY_DRIVE = (
    "driver=blkdebug,image.driver=null-co,image.size=10485760,image.read-zeroes=on,"
    "inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.sector=8,"
    "inject-error.0.once=on"
)
LEGACY = (
    *("-drive", f"if=none,id=drive0,{LEGACY_DRIVE}"),
    *("-device", "ide-hd,bus=ide.0,unit=0,drive=drive0,id=disk0,rerror=stop"),
)
VNC = ("-vga", "std", "-vnc", "unix:vm.vnc")


@pytest.mark.parametrize(
    ("args", "act", "names"),
    [
        pytest.param(DISK, nothing, [], id="idle"),
        pytest.param(DISK, stop_and_reset, ["STOP", "RESET"], id="reset"),
        pytest.param(FAILING_DISK, io_error, ["BLOCK_IO_ERROR", "STOP"], id="io-error"),
        pytest.param(ONCE, io_error_once, ["STOP", "RESUME"], id="io-error-once"),
        pytest.param(ONCE, io_error_then_stop, ["RESUME", "STOP"], id="io-error-then-stop"),
        pytest.param(LEGACY, io_error_once, ["STOP", "RESUME"], id="io-error-once-drive"),
        pytest.param((*DISK, *devices.PVPANIC), devices.panic, ["STOP"], id="panic"),
        pytest.param((*DISK, *devices.WATCHDOG), watchdog, ["STOP"], id="watchdog"),
        pytest.param((*DISK, *devices.BALLOON), balloon, ["BALLOON_CHANGE"], id="balloon"),
        pytest.param((*DISK, *VNC), look, ["VNC_DISCONNECTED"], id="vnc"),
        pytest.param(DISK, operations.migrate, ["STOP", "MIGRATION"], id="migrated"),
        pytest.param(DISK, migrate_in_vain, ["MIGRATION"] * 3, id="migration-failed"),
        pytest.param(
            DISK, operations.migrate_cancelled, ["MIGRATION"] * 4, id="migration-cancelled"
        ),
    ],
)
async def test_replies_are_those_of_a_real_qemu(
    place: Path,
    args: tuple[str, ...],
    act: Callable[[Machine], Awaitable[object]],
    names: list[str],
) -> None:
    """After the same events: the same members, the same types, the same facts."""
    async with lab(place, *args, migrations=True) as (machine, ear):
        await act(machine)
        await ear.hear(*names)
        real = await real_answers(machine)
        heard = [RecordedEvent.parse(json.dumps(event).encode()) for event in ear.heard]
    state = MachineState(heard, name="vm")
    state.answer("migrate-set-capabilities", EVENTS_ON)
    for event in heard:
        state.follow(event.name, event.data)
    ours = answers(state)
    assert shape(ours) == shape(real)
    assert facts(ours) == facts(real)


@pytest.mark.parametrize("when", ["CONNECTED", "INITIALIZED"])
async def test_vnc_clients_are_those_of_a_real_qemu(place: Path, when: str) -> None:
    """A client is listed from the moment it is connected, exactly as the event describes it."""
    async with lab(place, *VNC) as (machine, ear), contextlib.AsyncExitStack() as stack:
        if when == "INITIALIZED":
            await stack.enter_async_context(rfb.viewer(place / "vm.vnc"))
        else:
            _, writer = await asyncio.open_unix_connection(place / "vm.vnc")
            stack.callback(writer.close)
        await ear.hear(f"VNC_{when}")
        real = await real_answers(machine)
        heard = [RecordedEvent.parse(json.dumps(event).encode()) for event in ear.heard]
    state = MachineState(heard)
    for event in heard:
        state.follow(event.name, event.data)
    ours = answers(state)
    assert len(real["query-vnc"]["clients"]) == 1
    for query in ("query-vnc", "query-vnc-servers"):
        assert ours[query] == real[query]


async def test_spice_without_a_client_is_that_of_a_real_qemu(place: Path) -> None:
    """The same members, on TCP and on a unix socket."""
    for address, scenario in (
        ("unix=on,addr=vm.spice", "spice-unix"),
        ("port={port},addr=127.0.0.1", "spice-ipv4"),
    ):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        args = ("-vga", "std", "-spice", address.format(port=port) + ",disable-ticketing=on")
        async with Machine(place, "vm", *args) as machine:
            real = await machine.execute("query-spice")
        ours = MachineState(story(scenario)).answer("query-spice", {})
        assert shape(ours) == shape(real)


def test_a_vnc_client_is_known_by_its_login() -> None:
    """INITIALIZED tells more of the client that CONNECTED announced."""
    events = story("vnc-tls-sasl")
    state = MachineState(events)
    listed = []
    for event in events[:3]:
        state.follow(event.name, event.data)
        clients = answers(state)["query-vnc"]["clients"]
        listed.append([one.get("sasl_username") for one in clients])
    assert listed == [[None], ["luiz@lab.example"], []]


def test_a_spice_channel_is_listed_while_it_is_initialized() -> None:
    """Two channels of one client come and go; CONNECTED alone lists none."""
    events = story("spice-ipv4")
    state = MachineState(events)
    listed = []
    for event in events:
        state.follow(event.name, event.data)
        listed.append([one["channel-type"] for one in answers(state)["query-spice"]["channels"]])
    assert listed == [[], [1], [1], [1, 3], [1], [], []]


COMMANDS = [
    b'{"execute":"query-status"}',
    b'{"execute":"nonesuch","id":7}',
    b'{"id":5}',
    b'{"execute":5}',
    b'{"execute":"query-status","arguments":5}',
    b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":"a"}',
    b'{"execute":"qmp_capabilities"}',
    b'{"execute":"nonesuch"}',
    b'{"execute":"query-status","id":{"a":[1,"}"]}}{"execute":"query-name","id":null}\n',
    b'{"execute":"query-uu',
    b'id"}',
    b'{"execute":"query-status","arguments":{"x":1}}',
    b'{"execute":"query-balloon"}',
    b'{"execute":"migrate-set-capabilities"}',
]


@pytest.mark.stock_client
async def test_a_conversation_goes_as_with_a_real_qemu(place: Path) -> None:
    """The same commands, good and bad, in the same pieces, get the same replies."""

    async def converse(path: str) -> list[dict[str, Any]]:
        reader, writer = await asyncio.open_unix_connection(path)
        for command in COMMANDS:
            writer.write(command)
            await asyncio.sleep(0.01)  # let each be a piece of its own
        async with asyncio.timeout(5):
            lines = [await reader.readline() for _ in COMMANDS]
        writer.close()
        assert all(line.endswith(b"\r\n") for line in lines)
        return [json.loads(line) for line in lines]

    async with Machine(place, "vm", *DISK) as machine:
        greeting, *real = await converse(str(machine.monitor))
    async with FakeMonitor(place / "fake.sock") as fake:
        our_greeting, *ours = await converse(str(place / "fake.sock"))
        assert fake.received == b"".join(COMMANDS)
    assert shape(our_greeting) == shape(greeting)
    assert our_greeting["QMP"]["capabilities"] == greeting["QMP"]["capabilities"]
    assert ours == real


@pytest.mark.parametrize(
    ("name", "role", "status", "last"),
    [
        ("guest-linux-poweroff-no-shutdown", "", "running", "shutdown"),
        ("lifecycle-qmp", "", "prelaunch", "running"),
        ("migration-two-qemus", "src", "running", "postmigrate"),
        ("migration-two-qemus", "dst", "inmigrate", "running"),
        ("migration-postcopy", "src", "running", "postmigrate"),
        ("migration-pause-before-switchover", "", "running", "postmigrate"),
        ("migration-exec", "", "running", "running"),
        ("panic-shutdown", "", "running", "guest-panicked"),
        ("vserport", "", "running", "running"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_status_follows_a_captured_story(
    version: str, name: str, role: str, status: str, last: str
) -> None:
    """These need two machines or a guest: what QEMU says was seen when they were captured."""
    state = MachineState(status=status)
    for event in story(name, role, version):
        state.follow(event.name, event.data)
    assert state.status == last


def test_a_disk_is_known_before_it_fails() -> None:
    """A machine has the disks that its events will name, with the names QEMU gives them."""
    old = answers(MachineState(story("block-io-error-legacy-drive-once")))["query-block"]
    assert [disk["device"] for disk in old] == ["drive0"]
    new = answers(MachineState(story("block-io-error-storm", version="11.1")))["query-block"]
    assert [(disk["qdev"], disk["inserted"]["node-name"]) for disk in new] == [("disk0", "dbg")]
    assert [disk["io-status"] for disk in old + new] == ["ok", "ok"]


def test_newer_versions_say_less_of_the_status() -> None:
    """QEMU 10.0 dropped a member of query-status."""
    assert MachineState(version=(11, 1, 3)).answer("query-status", {}) == {
        "status": "running",
        "running": True,
    }


def test_strange_events_change_nothing() -> None:
    """Old events, hostile events: they are played, whatever is in them."""
    state = MachineState()
    before = answers(state)
    for line in spec_examples():
        event = RecordedEvent.parse(line)
        MachineState([event]).follow(event.name, event.data)
    for name in ("BLOCK_IO_ERROR", "MIGRATION", "VNC_CONNECTED", "SPICE_INITIALIZED", "X_Y_Z"):
        for data in ({}, {"client": 1, "server": 2, "action": [], "status": {}}):
            state.follow(name, data)
    assert answers(state) == before


LEARNT: dict[str, Any] = {
    "device": "",
    "qdev": "disk1",
    "io-status": "ok",
    "inserted": {"node-name": "n1", "drv": "qcow2"},
}


def test_a_reply_that_was_learnt_is_given_until_an_event_says_otherwise() -> None:
    """Then the machine goes on from what it said."""
    state = MachineState()
    state.learn("query-block", [LEARNT])
    state.learn("query-status", {"status": "prelaunch"})
    state.learn("query-balloon", {"actual": 5})
    state.learn("query-migrate", {"status": "completed", "downtime": 7})
    assert state.answer("query-block", {}) == [LEARNT]
    assert state.answer("query-status", {}) == {"status": "prelaunch"}
    assert state.answer("query-migrate", {}) == {"status": "completed", "downtime": 7}
    error = {"device": "", "node-name": "n1", "operation": "read", "action": "stop"}
    state.follow("BLOCK_IO_ERROR", error)
    state.follow("STOP", {})
    state.follow("BALLOON_CHANGE", {"actual": 6})
    state.follow("MIGRATION", {"status": "setup"})
    assert state.answer("query-block", {}) == [LEARNT | {"io-status": "failed"}]
    assert state.answer("query-balloon", {}) == {"actual": 6}
    assert state.answer("query-migrate", {}) == {"status": "setup"}
    status: Any = state.answer("query-status", {})
    assert status["status"] == "io-error"


@pytest.mark.parametrize(("event", "status"), [("RESUME", "running"), ("STOP", "paused")])
def test_an_event_is_newer_than_the_reply_before_it(event: str, status: str) -> None:
    """Who asks then is told what the event told."""
    state = MachineState()
    state.learn("query-status", {"status": "x", "running": False})
    state.follow(event, {})
    found: Any = state.answer("query-status", {})
    assert found["status"] == status


def test_who_looks_at_a_screen_is_learnt() -> None:
    """Of VNC and SPICE; those that come and go later are told from them."""
    state = MachineState()
    one = {"host": "client-1", "service": "port-1", "family": "ipv4"}
    server = {"host": "server-1", "service": "port-9", "auth": "none", "family": "ipv4"}
    state.learn("query-vnc-servers", [{"auth": "none", "server": [server], "clients": [one]}])
    two = one | {"service": "port-2"}
    for kind, client in (("CONNECTED", two), ("DISCONNECTED", one)):
        state.follow(f"VNC_{kind}", {"server": server, "client": client})
    vnc: Any = state.answer("query-vnc-servers", {})
    assert vnc[0]["clients"] == [two]
    channel = {"host": "client-1", "port": "port-1", "channel-type": 1}
    spice = {"enabled": True, "host": "server-1", "auth": "spice", "channels": [channel]}
    state.learn("query-spice", spice)
    gone = {"server": {"host": "server-1", "port": "port-9"}, "client": channel}
    state.follow("SPICE_DISCONNECTED", gone)
    found: Any = state.answer("query-spice", {})
    assert found["channels"] == []


@pytest.mark.parametrize("command", ["query-block", "query-status", "query-spice", "query-x"])
@pytest.mark.parametrize("answer", [None, 5, {}, [], [5], {"enabled": True}])
def test_a_strange_reply_is_given_as_it_was(command: str, answer: object) -> None:
    """It is there to be given, not to be understood; an error is one."""
    state = MachineState()
    state.learn(command, answer)
    assert state.answer(command, {}) == answer
    state.learn(command, QmpError("GenericError", "no"))
    with pytest.raises(QmpError, match="no"):
        state.answer(command, {})
    state.follow("STOP", {})
    state.follow("RESUME", {})
