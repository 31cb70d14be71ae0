"""What of a message is kept: nothing that is not on the list, and what tells one from another."""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import ADDRESS, SOME, START, Watch, connected, decode, samples
from qmp_exporter.catalog.metrics import ALL_VM_METRICS
from qmp_exporter.demo.captures import RecordedEvent
from qmp_exporter.qmp.queries import COMMANDS, NEGOTIATE
from qmp_exporter.recording.kept import EVENTS, REPLIES, Rule
from qmp_exporter.recording.scrub import MOST, NO_UUID, Scrubber
from schemas import GENERATIONS, leaves, schema
from spec_examples import VERSIONS, captures_by_role


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.recording.kept import Members

MARK: Final = "§ zq"
"""Is in every text that must not be seen again, and is no word of QEMU's."""

NUMBER: Final = 10**15
"""Numbers that must not be seen again are this and more."""

FEW: Final = settings(SOME, max_examples=12)
"""Examples of each of many."""

PUBLIC_TEXTS: Final = {"auth", "slot"}
"""Members that are texts in the schema, and tell nothing of people: a method, a number."""

PRIVATE_NUMBERS: Final = {"subnet-prefix", "interface-id", "to"}
"""Members that are numbers, and addresses."""

LEFT_OUT: Final = {
    ("NETDEV_STREAM_CONNECTED", "addr", "to"),
    ("RDMA_GID_STATUS_CHANGED", "interface-id"),
    ("RDMA_GID_STATUS_CHANGED", "subnet-prefix"),
}
"""Members of the schemas that are in no recording."""

OLD: Final = {
    "ACPI_DEVICE_OST": {"device", "slot", "slot-type", "source", "status"},
    "BLOCK_IO_ERROR": {"qdev"},
}
"""Members that no schema of the three has, but older QEMUs or documents."""

secrets = st.text(max_size=12).map(lambda text: f"{MARK}{text}")
secret_numbers = st.integers(NUMBER, 2**63 - 1)


def value_of(name: str, kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each type
    """Return values of a type of the schema; what is private is marked."""
    if isinstance(kind, dict):
        if "enum" in kind:
            return st.sampled_from(kind["enum"])
        if "array" in kind:
            return st.lists(value_of(name, kind["array"]), max_size=2)
        if "alternate" in kind:
            return st.one_of(*(value_of(name, one) for one in kind["alternate"]))
        members = [kind["object"], *kind.get("variants", {}).values()]
        return object_of({name: found for one in members for name, found in one.items()})
    if kind == "str":
        return st.just("vencrypt+x509+sasl") if name in PUBLIC_TEXTS else secrets
    if kind == "int":
        return secret_numbers if name in PRIVATE_NUMBERS else st.integers(0, NUMBER // 10)
    assert kind == "boolean", kind
    return st.booleans()


def object_of(members: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with these members, some left out, some of a wrong type, and with others."""
    right = {name: value_of(name, member["type"]) for name, member in members.items()}
    wrong = {name: st.one_of(secrets, st.lists(secrets, max_size=1)) for name in members}
    return st.builds(
        lambda *found: {name: one for part in found for name, one in part.items()},
        st.dictionaries(secrets, secrets | secret_numbers, max_size=2),
        st.fixed_dictionaries({}, optional=right) if right else st.just({}),
        st.just({}) | st.fixed_dictionaries({}, optional=wrong),
        st.fixed_dictionaries({}, optional=right) if right else st.just({}),
    )


anything = st.recursive(
    secrets | secret_numbers | st.floats(NUMBER, 2.0**60),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*EVENTS, MARK]), inner)
    ),
    max_leaves=10,
)


def survivors(found: object) -> list[str]:
    """Return what of marked values is seen."""
    text = json.dumps(found, ensure_ascii=False)
    numbers = [n for n in "".join(c if c.isdigit() else " " for c in text).split() if len(n) > 15]
    # A UUID that stands for another has many digits in a row, and no more than twelve.
    return [*numbers, *([text] if MARK in text or "zq" in text else [])]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", sorted({name for g in GENERATIONS for name in schema(g)}))
def test_nothing_private_of_an_event_survives(name: str, generation: str) -> None:
    """Of random payloads of every event, no value that is not on the list is seen again."""
    members = schema(generation).get(name)
    if members is None:
        return  # it is of another generation

    @FEW
    @given(st.data())
    def check(data: st.DataObject) -> None:
        payload = data.draw(object_of(members))
        message = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": name, "data": payload}
        found = Scrubber().event(message | {f"{MARK}more": payload})
        assert survivors(found) == []
        assert (found["event"], found["timestamp"]) == (name, message["timestamp"])
        assert set(found) == {"event", "timestamp", "data"}

    check()


@SOME
@given(name=secrets | st.sampled_from(["A_NEW_EVENT", "x" * 99]), data=anything)
def test_of_an_unknown_event_only_the_name_is_kept(name: str, data: object) -> None:
    """If it is one such as QEMU's: nobody has looked at what it carries."""
    found = Scrubber().event({"event": name, "data": data})
    assert survivors(found) == []
    assert found["event"] == ("A_NEW_EVENT" if name == "A_NEW_EVENT" else "OTHER")
    assert found["data"] == {} or not isinstance(data, dict)


@pytest.mark.parametrize("command", sorted(COMMANDS - {NEGOTIATE}))
def test_nothing_private_of_a_reply_survives(command: str) -> None:
    """Whatever a command returns, and whatever an error says."""

    def names(members: Members) -> Iterator[str]:
        for name, rule in members.items():
            yield name
            if not isinstance(rule, Rule):
                yield from names(rule)

    known = st.sampled_from([*names(REPLIES[command]), "class", "desc", MARK])
    # A number of a member on the list is kept, and no test tells it from one that is not.
    replies = st.recursive(
        secrets | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=5),
        max_leaves=20,
    )

    @FEW
    @given(replies)
    def check(returned: object) -> None:
        assert survivors(Scrubber().reply(command, returned)) == []
        assert survivors(Scrubber().error(returned)) == []

    check()


def rule_at(path: tuple[str, ...]) -> object:
    """Return what is said of a member."""
    found: Any = EVENTS
    for name in path:
        found = found.get(name) if not isinstance(found, Rule | None) else None
    return found


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_member_of_the_schemas_was_thought_of(generation: str) -> None:
    """It is kept, replaced or left out on purpose; a text is kept only if it is listed here."""
    found: dict[tuple[str, ...], object] = {}
    for name, members in schema(generation).items():
        assert name in EVENTS
        for path, kind in leaves(members):
            at = (name, *path)
            found[at] = rule = rule_at(at)
            if kind == "str" and path[-1] not in PUBLIC_TEXTS:
                assert isinstance(rule, Rule), at
                assert rule is not Rule.VALUE, at
            elif at not in LEFT_OUT:
                assert rule is Rule.VALUE, at
    assert {at for at, rule in found.items() if rule is None} <= LEFT_OUT


def test_the_list_has_no_member_that_no_qemu_sends() -> None:
    """Else somebody would believe that it is needed."""

    def paths(members: Members, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, rule in members.items():
            yield (*at, name)
            if not isinstance(rule, Rule):
                yield from paths(rule, (*at, name))

    theirs = {
        (name, *path[: n + 1])
        for generation in GENERATIONS
        for name, members in schema(generation).items()
        for path, _ in leaves(members)
        for n in range(len(path))
    }
    shared = {"BLOCK_JOB", "VNC", "SPICE", "GUEST"}  # one list for events that are alike
    ours = {
        (name, *path)
        for name, members in EVENTS.items()
        for path in paths(members)
        if not any(name.startswith(start) for start in shared) and path[0] not in OLD.get(name, ())
    }
    assert ours - theirs == set()
    assert {name for name, *_ in theirs} <= EVENTS.keys()


def io_error(**data: object) -> dict[str, Any]:
    """Return a message."""
    return {"event": "BLOCK_IO_ERROR", "data": data}


def test_an_id_is_the_same_wherever_it_comes() -> None:
    """In a path, in a reply, as a node: so the model finds the disk of an error."""
    scrubber = Scrubber()
    path = "/machine/peripheral/mysql-disk/virtio-backend"
    (disk,) = scrubber.reply(  # type: ignore[misc]
        "query-block",
        [{"device": "", "qdev": path, "inserted": {"node-name": "node-a", "file": "/home/a"}}],
    )
    assert disk == {
        "device": "",
        "qdev": "/machine/peripheral/id-1/virtio-backend",
        "inserted": {"node-name": "id-2"},
    }
    found = scrubber.event(
        io_error(**{"node-name": "node-a", "qom-path": path, "device": "mysql-disk"})
    )
    assert found["data"] == {"node-name": "id-2", "qom-path": disk["qdev"], "device": "id-1"}
    deleted = {"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/other"}}
    assert scrubber.event(deleted)["data"] == {"path": "/machine/peripheral/id-3"}


@pytest.mark.parametrize(
    "path",
    [
        "/machine/unattached/device[23]/rtc",
        "/machine/peripheral-anon/device[0]/virtio-backend",
        "",
    ],
)
def test_a_path_that_qemu_made_stays(path: str) -> None:
    """It has no id of the host in it."""
    found = Scrubber().event({"event": "RTC_CHANGE", "data": {"offset": 1, "qom-path": path}})
    assert found["data"] == {"offset": 1, "qom-path": path}


def test_what_qemu_made_stays() -> None:
    """The name of an anonymous node, the text of an errno, no uuid, a machine without a name."""
    scrubber = Scrubber()
    data = {"node-name": "#block147", "reason": os.strerror(28), "action": "stop"}
    assert scrubber.event(io_error(**data))["data"] == data
    assert scrubber.reply("query-uuid", {"UUID": NO_UUID}) == {"UUID": NO_UUID}
    assert scrubber.reply("query-name", {}) == {}


def test_clients_are_told_apart() -> None:
    """By host and port, and each is the same in every event and reply."""

    def client(kind: str, host: str, service: str) -> tuple[str, str]:
        sent = {"host": host, "service": service, "family": "ipv4", "websocket": False}
        user = {"x509_dname": "CN=alice", "sasl_username": "alice"}
        message = {"event": kind, "data": {"server": {"host": host}, "client": sent | user}}
        found = scrubber.event(message)["data"]
        assert found["server"] == {"host": "server-1"} or host != "192.0.2.1"
        assert found["client"]["x509_dname"] == "dname-1"
        assert found["client"]["sasl_username"] == "user-1"
        assert found["client"]["family"] == "ipv4"
        return found["client"]["host"], found["client"]["service"]

    scrubber = Scrubber()
    first = client("VNC_CONNECTED", "192.0.2.1", "50001")
    second = client("VNC_CONNECTED", "192.0.2.1", "50002")
    third = client("VNC_CONNECTED", "192.0.2.2", "50001")
    assert first == ("client-1", "port-1")
    assert len({first, second, third}) == 3
    assert client("VNC_DISCONNECTED", "192.0.2.1", "50001") == first
    listed = scrubber.reply(
        "query-vnc-servers", [{"clients": [{"host": "192.0.2.2", "service": "50001"}]}]
    )
    assert listed == [{"clients": [{"host": third[0], "service": third[1]}]}]
    assert client("VNC_CONNECTED", "", "") == ("", "")  # on a unix socket all are alike


def test_what_is_remembered_has_a_bound() -> None:
    """A monitor may name as many clients as it likes; from some on they are all one."""
    scrubber = Scrubber()
    found = [
        scrubber.event({"event": "VSERPORT_CHANGE", "data": {"id": f"port {n}", "open": True}})
        for n in range(MOST + 5)
    ]
    ids = [one["data"]["id"] for one in found]
    assert len(set(ids)) == MOST
    assert len(set(ids[-6:])) == 1
    assert all(a != b for a, b in pairwise(ids[: MOST - 1]))


FREE: Final = {label.name for metric in ALL_VM_METRICS for label in metric.labels if label.free}


def shown(lines: list[bytes]) -> Counter[tuple[str, tuple[str, ...], float]]:
    """Return what a page shows of the events, with all ids taken as one."""
    watch = Watch()
    watch.all(connected())
    for line in lines:
        event = RecordedEvent.parse(line)
        watch.feed(decode(event.stamped(int(START) * 1_000_000), START, 5000.0), ADDRESS)
    free = {m.name: [label.free for label in m.labels] for m in ALL_VM_METRICS}
    return Counter(
        (name, tuple("id" if f else v for v, f in zip(values[1:], free[name], strict=True)), value)
        for (name, values), value in samples(watch.page()).items()
        if name in free
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_metrics_are_the_same(version: str) -> None:
    """Of every captured story: the list has all that the exporter counts by."""
    stories = captures_by_role(version)
    assert len(stories) > 60
    assert FREE
    for lines in stories.values():
        scrubber = Scrubber()
        scrubbed = [json.dumps(scrubber.event(json.loads(line))).encode() for line in lines]
        assert shown(scrubbed) == shown(lines)
