"""The names of VMs: one holder at a time, no counts lost, nothing for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ADDRESS, BOOT, MANY, Watch, connected, event, link, lost, samples, status
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.catalog.text import MAX_BYTES
from qmp_exporter.model.fleet import Expired, Fleet
from qmp_exporter.model.inputs import Identity, Link
from qmp_exporter.model.target import Target
from qmp_exporter.model.vm import VM


A, B, C = "/run/qemu/a.sock", "/run/qemu/b.sock", "/srv/qemu/c.sock"
UUID = "11111111-2222-3333-4444-555555555555"
POWERDOWN = "qemu_vm_powerdown_requests_total"


def up(watch: Watch, address: str, at: float = 0.0, *, state: str = "running", **told: str) -> str:
    """Let the VM at ``address`` answer; return its name."""
    given = {"name": "web", "uuid": UUID, "monitor": address} | told
    watch.feed(connected(at, pid=hash(address) % 9999 + 1, **given), address)
    watch.feed(status(state, at), address)
    return watch.fleet.name(address)


def down(watch: Watch, address: str, at: float = 0.0) -> None:
    """Let the QEMU at ``address`` end."""
    watch.feed(link(TargetState.CONNECTING, at, LostCause.EOF), address)
    watch.feed(link(TargetState.GONE, at), address)


def press(watch: Watch, address: str, at: float = 0.0) -> None:
    """Let something happen to the VM at ``address`` that is counted."""
    watch.feed(event("POWERDOWN", at=at), address)


def presses(watch: Watch, at: float = 0.0) -> dict[str, float]:
    """Return what was counted for each VM that is shown."""
    shown = samples(watch.page(at)).items()
    return {values[0]: value for (name, values), value in shown if name == POWERDOWN}


def test_before_the_first_contact_it_is_the_stem() -> None:
    """A monitor that was never reached is shown under the name of its socket."""
    watch = Watch(A, "/run/qemu/b")
    assert [member.name for member in watch.fleet] == ["a", "b"]
    assert len(watch.fleet) == 2


def test_the_stem_gives_way_to_the_name_that_qemu_tells() -> None:
    """At first contact the VM is renamed, and what was counted before goes with it."""
    watch = Watch(A)
    watch.feed(link(TargetState.BUSY, 0), A)
    watch.feed(link(TargetState.BUSY, 5), A)
    assert up(watch, A, 6) == "web"
    assert watch.rows("qmp_exporter_unobserved_seconds_total", 9, "web") == {(): 6}
    assert watch.rows("qemu_up", 9, "a") == {}


def test_a_configured_name_wins() -> None:
    """The name of the configuration or of the discovery pattern is stronger than query-name."""
    watch = Watch(A)
    assert watch.watch(Target(B, name="db")) == "db"
    assert up(watch, B) == "db"


def test_without_any_name_it_stays_the_stem() -> None:
    """A QEMU without -name keeps the name of its socket."""
    watch = Watch(A)
    assert up(watch, A, name="") == "a"


@pytest.mark.parametrize("state", [TargetState.UNRESPONSIVE, TargetState.BUSY, TargetState.DENIED])
def test_a_vm_that_was_hard_to_reach_is_named_too(state: TargetState) -> None:
    """Whatever the monitor was before, the first contact gives the name."""
    watch = Watch(A)
    watch.feed(link(state, 0), A)
    assert up(watch, A, 1) == "web"


def test_a_name_that_is_not_told_in_time_does_not_change() -> None:
    """A process that answers again, too slowly to tell its name, keeps name and uuid."""
    watch = Watch()
    watch.all(connected(), status("running"), lost(1), connected(2, name="", uuid="", arch=""))
    assert watch.name == "web"
    assert watch.vm.identity == connected().identity


def test_another_process_does_not_inherit_a_name() -> None:
    """What is not told is only completed from the same process."""
    watch = Watch()
    watch.all(connected(), lost(1), connected(2, name="", pid=4712))
    assert watch.name == "web"  # the stem of the socket, as it happens
    assert watch.vm.identity is not None
    assert watch.vm.identity.name == ""


def test_of_two_live_vms_one_is_told_apart_by_its_uuid() -> None:
    """The second of one name shows the first 8 of its uuid; no series is there twice."""
    watch = Watch(A, B)
    assert up(watch, A) == "web"
    assert up(watch, B) == "web~11111111"
    press(watch, B)
    assert presses(watch) == {"web": 0, "web~11111111": 1}


@pytest.mark.parametrize("uuid", ["", "00000000-0000-0000-0000-000000000000"])
def test_without_a_uuid_they_are_told_apart_by_the_stem(uuid: str) -> None:
    """A QEMU without -uuid is told apart by its socket."""
    watch = Watch(A, B)
    up(watch, A, uuid=uuid)
    assert up(watch, B, uuid=uuid) == "web~b"


def test_where_all_that_is_taken_the_pid_tells_them_apart() -> None:
    """Name, uuid and stem may all be shared: then it is the pid, at last a number of its own."""
    addresses = [f"/run/{n}/a.sock" for n in range(4)]
    watch = Watch(*addresses)
    for pid, address in enumerate(addresses, 11):
        identity = Identity(name="web", uuid=UUID, pid=pid if pid < 14 else None)
        watch.feed(Link(TargetState.CONNECTED, 0.0, 0.0, identity), address)
    names = [watch.fleet.name(address) for address in addresses]
    assert names[:3] == ["web", "web~11111111", "web~a"]
    assert names[3].startswith("web~")
    assert len(set(names)) == 4
    watch = Watch(*addresses)
    for pid, address in enumerate(addresses, 11):
        identity = Identity(name="web", uuid=UUID, pid=pid)
        watch.feed(Link(TargetState.CONNECTED, 0.0, 0.0, identity), address)
    assert watch.fleet.name(addresses[3]) == "web~14"


def test_both_ends_of_a_migration() -> None:
    """The source holds the name; when it has ended the destination has it at its next contact."""
    watch = Watch(A, B)
    up(watch, A)
    up(watch, B, state="inmigrate")
    press(watch, A)
    press(watch, B)
    down(watch, A, 5)
    press(watch, B, 6)
    assert presses(watch) == {"web": 1, "web~11111111": 2}
    watch.feed(lost(7), B)
    assert up(watch, B, 8) == "web"
    assert presses(watch) == {"web": 3}


def test_a_label_never_changes_while_connected() -> None:
    """The name stays while the connection does, whoever else comes or ends."""
    watch = Watch(A, B)
    up(watch, A)
    up(watch, B)
    down(watch, A, 5)
    watch.feed(status("running", 6), B)
    watch.feed(link(TargetState.UNRESPONSIVE, 7), B)
    watch.feed(link(TargetState.CONNECTED, 8), B)
    assert watch.fleet.name(B) == "web~11111111"


def test_one_that_has_ended_gives_up_its_name_at_once() -> None:
    """The next holder continues its counters and seconds, and it is shown no more."""
    watch = Watch(A, B)
    up(watch, A)
    press(watch, A)
    watch.feed(event("STOP", at=1), A)
    watch.feed(status("paused", 1), A)
    watch.feed(link(TargetState.CONNECTING, 4, LostCause.EOF), A)
    watch.feed(link(TargetState.GONE, 9), A)
    assert up(watch, B, 10) == "web"
    assert watch.fleet.name(A) == ""
    assert [member.name for member in watch.fleet] == ["web"]
    press(watch, B)
    assert presses(watch) == {"web": 2}
    assert watch.rows("qemu_vm_stopped_seconds_total", 20, "web")["host",] == 3
    assert watch.rows("qmp_exporter_unobserved_seconds_total", 20, "web") == {(): 5}
    assert watch.rows("qemu_up", 20, "web") == {(): 1}


def test_one_whose_name_was_taken_comes_back_under_another() -> None:
    """It is shown again at its next contact, told apart, and from 0."""
    watch = Watch(A, B)
    up(watch, A)
    press(watch, A)
    down(watch, A, 1)
    up(watch, B, 2)
    watch.feed(link(TargetState.CONNECTING, 3), A)
    assert up(watch, A, 4) == "web~11111111"
    assert presses(watch) == {"web": 1, "web~11111111": 0}


def test_a_guessed_name_makes_room_for_one_that_is_told() -> None:
    """A VM called `a` is shown as `a`, though the socket of another, never reached, is a.sock."""
    watch = Watch(A, B)
    assert up(watch, B, name="a") == "a"
    guessed = watch.fleet.name(A)
    assert guessed.startswith("a~")
    press(watch, B)
    assert presses(watch) == {"a": 1}
    assert watch.rows("qemu_up", 0, guessed) == {(): 0}
    assert up(watch, A, name="b") == "b"


def test_a_guessed_name_does_not_make_room_for_a_guess() -> None:
    """Of two sockets of one stem the second is told apart by a number made of its path."""
    watch = Watch("/run/1/a.sock", "/run/2/a.sock")
    first, second = (member.name for member in watch.fleet)
    assert first == "a"
    assert second.startswith("a~")
    other = Watch("/run/1/a.sock", "/run/2/a.sock")
    assert [member.name for member in other.fleet] == [first, second]


def test_numbers_that_clash_are_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a path may be that of another; there is always a next one."""
    monkeypatch.setattr("qmp_exporter.model.fleet.crc32", lambda _: 0xFF)
    watch = Watch("/run/1/a.sock", "/run/2/a.sock", "/run/3/a.sock")
    assert [member.name for member in watch.fleet] == ["a", "a~000000ff", "a~00000100"]


def test_a_vm_that_was_reached_makes_no_room() -> None:
    """A live VM without a name of its own keeps its stem."""
    watch = Watch(A, B)
    up(watch, A, name="")
    assert up(watch, B, name="a") == "a~11111111"


def test_a_vm_back_within_the_grace_keeps_its_counters() -> None:
    """The same name at the same socket goes on counting, whatever process it is now."""
    watch = Watch(A)
    up(watch, A)
    press(watch, A)
    down(watch, A, 1)
    assert presses(watch) == {"web": 1}
    watch.feed(connected(2, pid=99), A)
    press(watch, A)
    assert presses(watch) == {"web": 2}


def test_another_vm_at_the_same_socket_does_not_take_the_counts() -> None:
    """A VM of another name begins at 0; the one before is shown until its grace is over."""
    watch = Watch(A)
    up(watch, A)
    press(watch, A)
    down(watch, A, 1)
    assert up(watch, A, 2, name="db") == "db"
    assert presses(watch) == {"web": 1, "db": 0}
    assert sorted(member.name for member in watch.fleet) == ["db", "web"]
    assert watch.expire(1.5) == ("web",)
    assert presses(watch) == {"db": 0}
    down(watch, A, 3)
    assert up(watch, A, 4) == "web"
    assert presses(watch) == {"db": 0, "web": 0}
    down(watch, A, 5)
    assert up(watch, A, 6, name="db") == "db"
    assert watch.expire(7) == ("web",)
    assert len(watch.fleet) == 1


def test_one_without_a_name_leaves_nothing_behind() -> None:
    """A VM whose name was taken, and whose socket another has, is forgotten at once."""
    watch = Watch(A, B)
    up(watch, A)
    down(watch, A, 1)
    up(watch, B, 2)
    assert up(watch, A, 3, name="db") == "db"
    assert presses(watch) == {"web": 0, "db": 0}
    assert len(watch.fleet) == 2


def test_after_the_grace_all_series_vanish() -> None:
    """A VM found by a wildcard leaves nothing on the page or in memory."""
    watch = Watch(A)
    watch.watch(Target(B, named=False))
    up(watch, B)
    down(watch, B, 10)
    assert watch.expire(10) == ()
    assert watch.expire(10.5) == ("web",)
    assert presses(watch) == {}
    assert 'vm="web"' not in watch.page(11)
    assert len(watch.fleet) == 1


def test_what_leaves_the_fleet_is_told() -> None:
    """A target that a wildcard found: its address and the last state of its monitor."""
    fleet = Fleet()
    for address, named in ((A, True), (B, False)):
        fleet.add(Target(address, named=named))
        fleet.feed(address, connected(name=address[10]))
        fleet.feed(address, link(TargetState.REFUSED, 5))
    assert fleet.expire(BOOT + 5, 9) == Expired((), (), 0)
    left, anew = ((B, TargetState.REFUSED),), (("a", VM(target=TargetState.REFUSED)),)
    assert fleet.expire(BOOT + 6, 9) == Expired(("a", "b"), left, 0, anew)
    assert fleet.expire(BOOT + 9, 9) == Expired((), (), 0)


def test_of_those_that_ended_only_so_many_are_kept() -> None:
    """The last ones; the others go before their time, which is counted, named ones as well."""
    fleet = Fleet()
    for number in range(6):
        address = f"/run/{number}"
        fleet.add(Target(address, named=number == 1))
        fleet.feed(address, connected(name=f"vm{number}"))
        if number != 5:
            fleet.feed(address, link(TargetState.GONE, number))
    expired = fleet.expire(BOOT + 1, 2)
    assert expired.names == ("vm0", "vm1", "vm2")
    assert [address for address, _ in expired.left] == ["/run/0", "/run/2"]
    assert expired.early == 2  # vm0 was due
    assert fleet.expire(BOOT + 1, 2) == Expired((), (), 0)
    assert [member.name for member in fleet] == ["vm1", "vm3", "vm4", "vm5"]


def test_of_monitors_that_change_hands_all_the_time_little_is_kept() -> None:
    """The VMs that had a monitor before count as VMs that ended."""
    fleet = Fleet()
    fleet.add(Target(A))
    for number in range(10):
        fleet.feed(A, connected(number, name=f"vm{number}", pid=number + 1))
        fleet.feed(A, link(TargetState.GONE, number))
    expired = fleet.expire(BOOT, 3)
    assert set(expired.names) == {f"vm{number}" for number in range(7)}
    assert {member.name for member in fleet} == {"vm7", "vm8", "vm9"}


def test_a_target_can_be_dropped_whatever_is_known_of_it() -> None:
    """It and its name are free at once; another has its name already, or not."""
    fleet = Fleet()
    for address in (A, B, C):
        fleet.add(Target(address))
    fleet.feed(A, connected(name="web"))
    fleet.feed(B, connected(name="web"))
    fleet.feed(A, link(TargetState.GONE, 1))
    before = fleet.name(B)
    assert fleet.drop(A) == ("web",)
    assert fleet.drop(B) == (before,)
    assert fleet.drop(C) == ("c",)
    assert (len(fleet), list(fleet)) == (0, [])
    fleet.add(Target(A))
    assert fleet.feed(A, connected(name="web")).name == "web"
    fleet.add(Target(B))
    fleet.feed(A, link(TargetState.GONE, 2))
    fleet.feed(B, connected(name="web"))
    assert fleet.drop(A) == ()


def test_another_name_for_a_target_holds_from_its_next_connection_on() -> None:
    """A label never changes while it is connected."""
    watch = Watch(A)
    up(watch, A)
    press(watch, A)
    watch.fleet.retarget(Target(A, name="db"))
    assert watch.fleet.name(A) == "web"
    watch.feed(link(TargetState.CONNECTING, 1, LostCause.RELOAD), A)
    assert up(watch, A, 2) == "db"
    assert presses(watch, 2) == {"db": 1}


def test_names_that_change_hands_both_ways_lose_nothing() -> None:
    """One gets the name that the other only guessed, which then takes that of the first."""
    watch = Watch("/x/web")
    watch.watch(Target("/y/web", name="db"))  # never reached: its name may have to make room
    watch.feed(link(TargetState.BUSY, 0), "/x/web")
    watch.feed(link(TargetState.BUSY, 3), "/y/web")
    assert up(watch, "/x/web", 5, name="db") == "db"
    assert {member.name for member in watch.fleet} == {"db", watch.fleet.name("/y/web")}
    unobserved = "qmp_exporter_unobserved_seconds_total"
    assert watch.rows(unobserved, 9, "db") == {(): 5}
    assert watch.rows(unobserved, 9, watch.fleet.name("/y/web")) == {(): 6}


def test_only_one_that_was_never_reached_may_leave_at_once() -> None:
    """Its name is free again; a VM that was seen has its grace."""
    fleet = Fleet()
    fleet.add(Target(A, named=False))
    fleet.add(Target(B, named=False))
    fleet.feed(B, connected())
    assert fleet.leave(A) == "a"
    assert fleet.leave(B) is None
    assert [member.name for member in fleet] == ["web"]
    assert fleet.add(Target("/srv/a.sock")) == "a"


def test_a_vm_that_came_back_is_not_forgotten() -> None:
    """The grace begins anew with each end."""
    watch = Watch(A)
    up(watch, A)
    down(watch, A, 1)
    up(watch, A, 2)
    assert watch.expire(100) == ()
    down(watch, A, 200)
    watch.feed(link(TargetState.GONE, 300), A)
    assert watch.expire(200) == ()
    assert watch.expire(201) == ("web",)


def test_a_named_target_stays_for_ever() -> None:
    """After the grace it is shown as never reached: its qemu_up and state, and nothing else."""
    watch = Watch(A)
    up(watch, A)
    press(watch, A)
    down(watch, A, 1)
    assert watch.expire(2) == ("web",)
    assert watch.rows("qemu_up", 3, "web") == {(): 0}
    assert watch.rows("qmp_exporter_target_state", 3, "web")["gone",] == 1
    assert presses(watch) == {}
    assert up(watch, A, 4) == "web"
    assert presses(watch) == {"web": 0}


def test_a_named_target_whose_name_was_taken_is_shown_again() -> None:
    """After its grace it stands beside the VM that has its name now."""
    watch = Watch(A, B)
    up(watch, A)
    down(watch, A, 1)
    up(watch, B, 2)
    assert watch.expire(5) == ()
    assert watch.fleet.name(A) == "a"
    assert watch.rows("qemu_up", 6, "a") == {(): 0}


def test_an_unseen_change_of_process_is_an_end() -> None:
    """Another pid at the same socket: the one before has ended, and is counted so."""
    watch = Watch(A)
    up(watch, A)
    watch.feed(lost(1), A)
    watch.feed(connected(2, pid=99), A)
    assert watch.rows("qemu_vm_exits_total", 3, "web")["crash",] == 1
    assert watch.expire(99) == ()


@pytest.mark.parametrize(
    "name",
    ["x" * 500, "\U0001f427" * 100, "a\nb\0c\x7f", "\ud800", "ü" * 64 + "é" * 64, "a" * 127 + "ü"],
    ids=["long", "penguins", "controls", "surrogate", "two bytes each", "cut in a character"],
)
def test_a_name_is_128_bytes_of_text_at_most(name: str) -> None:
    """Whatever a QEMU calls itself, `vm` is short, printable, and its own."""
    addresses = [f"/run/{n}/{name}.sock" for n in range(5)]
    watch = Watch(*addresses)
    for address in addresses:
        up(watch, address, name=name, uuid=name)
    names = [member.name for member in watch.fleet]
    assert len(set(names)) == 5
    for shown in names:
        assert len(shown.encode()) <= MAX_BYTES
        assert shown.isprintable()
    samples(watch.page())


def counted(watch: Watch) -> dict[str, int]:
    """Return what is counted for each VM."""
    return {member.name: watch.sink.value(member.name, POWERDOWN) for member in watch.fleet}


ADDRESSES = [f"/{folder}/{stem}.sock" for folder in "xy" for stem in "ab"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ADDRESSES),
        st.sampled_from(["up", "lost", "gone", "press", "expire"]),
        st.sampled_from(["", "a", "b", "web"]),
        st.sampled_from([1, 2]),
    ),
    max_size=30,
)


@MANY
@given(STEPS)
def test_names_are_never_shared_and_no_count_is_lost(
    steps: list[tuple[str, str, str, int]],
) -> None:
    """Whoever comes, ends and comes back: no name twice, and sums change only by events."""
    watch = Watch(*ADDRESSES)
    names = [member.name for member in watch.fleet]
    for at, (address, do, name, pid) in enumerate(steps):
        before, total = counted(watch), 0
        vm = watch.fleet.vm(address)
        match do:
            case "up" if not vm.watched:
                watch.feed(connected(at, name=name, pid=pid, monitor=address), address)
                assert watch.fleet.name(address)
            case "lost" if vm.watched:
                watch.feed(lost(at), address)
            case "gone" if not vm.watched:
                watch.feed(link(TargetState.GONE, at), address)
            case "press" if vm.watched:
                watch.feed(event("POWERDOWN", at=at), address)
                total = 1
            case "expire":
                total = -sum(before.get(name, 0) for name in watch.expire(at - 3))
        names = [member.name for member in watch.fleet]
        assert len(names) == len(set(names))
        assert sum(counted(watch).values()) == sum(before.values()) + total
    shown = samples(watch.page(99))
    assert sorted(values[0] for name, values in shown if name == "qemu_up") == sorted(names)


def test_an_address_is_known_by_its_vm() -> None:
    """`vm` and `name` speak of the address that was added."""
    fleet = Fleet()
    assert fleet.add(Target(ADDRESS)) == "web"
    assert fleet.vm(ADDRESS).target is TargetState.CONNECTING
    fleet.feed(ADDRESS, link(TargetState.BUSY))
    assert fleet.vm(ADDRESS).target is TargetState.BUSY
    assert fleet.vm(ADDRESS).unobserved.since == BOOT
