"""The clients of a VM's displays: who is connected, who is in, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import (
    MANY,
    Watch,
    connected,
    link,
    lost,
    spice,
    spice_channels,
    status,
    vnc,
    vnc_clients,
)
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.changes import Overflowed
from qmp_exporter.model.display import MAX_KEYS, Clients, Peer, clients, corrected
from qmp_exporter.model.inputs import Ask


if TYPE_CHECKING:
    from random import Random


CONNECTIONS = "qemu_display_connections"
SESSIONS = "qemu_display_sessions"
CONNECTS = "qemu_display_connects_total"
LOGINS = "qemu_display_logins_total"
INCOMPLETE = "qemu_display_incomplete_connects_total"


def screens() -> Watch:
    """Return a VM that runs, with a VNC and a SPICE server."""
    watch = Watch()
    watch.all(connected(), status("running"), vnc_clients(), spice_channels())
    return watch


def now(watch: Watch, protocol: str = "vnc") -> tuple[float | None, float | None]:
    """Return what is shown: connections and sessions."""
    return watch.value(CONNECTIONS, protocol), watch.value(SESSIONS, protocol)


def test_a_vnc_client_comes_and_goes() -> None:
    """Connected, in, and gone: one connect, one login, no incomplete one, and nothing is asked."""
    watch = screens()
    watch.feed(vnc("CONNECTED", "5000"))
    assert now(watch) == (1, 0)
    watch.feed(vnc("INITIALIZED", "5000", auth="vencrypt+x509+sasl"))
    assert now(watch) == (1, 1)
    watch.feed(vnc("DISCONNECTED", "5000"))
    assert now(watch) == (0, 0)
    assert watch.value(CONNECTS, "vnc") == 1
    assert watch.rows(LOGINS) == {("vnc", "vencrypt+x509+sasl"): 1}
    assert watch.value(INCOMPLETE, "vnc") == 0
    assert watch.asks == []


def test_a_refused_login_is_incomplete() -> None:
    """A connection that closes before INITIALIZED is a wrong password or a port probe."""
    watch = screens()
    watch.all(vnc("CONNECTED", "1"), vnc("DISCONNECTED", "1"))
    watch.all(spice("CONNECTED", "1"), spice("DISCONNECTED", "1"))
    assert watch.rows(INCOMPLETE) == {("vnc",): 1, ("spice",): 1}
    assert now(watch) == now(watch, "spice") == (0, 0)


def test_vnc_clients_are_paired_by_host_and_service() -> None:
    """Of two clients the one that closes is the one that is gone."""
    watch = screens()
    watch.all(vnc("CONNECTED", "1"), vnc("CONNECTED", "2"), vnc("INITIALIZED", "2"))
    watch.feed(vnc("DISCONNECTED", "1"))
    assert now(watch) == (1, 1)
    assert watch.value(INCOMPLETE, "vnc") == 1
    assert watch.asks == []


def test_a_spice_session_is_its_main_channel() -> None:
    """A viewer opens many channels; one of type 1 is the session, and only that logs in."""
    watch = screens()
    for port, kind in (("1", 1), ("2", 2), ("3", 3), ("4", 4)):
        watch.all(spice("CONNECTED", port), spice("INITIALIZED", port, channel=kind))
    assert now(watch, "spice") == (4, 1)
    assert watch.value(CONNECTS, "spice") == 4
    assert watch.rows(LOGINS) == {("spice", "spice"): 1}
    watch.feed(spice("DISCONNECTED", "2"))
    assert now(watch, "spice") == (3, 1)
    watch.feed(spice("DISCONNECTED", "1"))
    assert now(watch, "spice") == (2, 0)
    assert watch.asks == []


def test_a_login_without_auth_is_other() -> None:
    """A server that does not say how it authenticated is shown so; its text is never a label."""
    watch = screens()
    watch.all(vnc("CONNECTED", "1"), vnc("INITIALIZED", "1", auth="a new QEMU's"))
    assert watch.rows(LOGINS) == {("vnc", "other"): 1}


def test_clients_of_a_unix_socket_are_a_multiset() -> None:
    """They have no address: as long as they are of one kind it does not matter which one closes."""
    watch = screens()
    watch.all(*[vnc("CONNECTED")] * 3, *[vnc("INITIALIZED")] * 3)
    assert now(watch) == (3, 3)
    watch.feed(vnc("DISCONNECTED"))
    assert now(watch) == (2, 2)
    assert watch.asks == []


def test_in_doubt_the_vm_is_asked() -> None:
    """Of one that is in and one that is not, which one closed cannot be told."""
    watch = screens()
    watch.all(vnc("CONNECTED"), vnc("INITIALIZED"), vnc("CONNECTED"), vnc("DISCONNECTED"))
    assert watch.asks == [Ask.VNC]
    assert now(watch) == (1, 1)
    watch.feed(vnc_clients(""))
    assert now(watch) == (1, 1)


def test_a_wrong_guess_is_put_right() -> None:
    """Where the one that was in had closed, the next INITIALIZED shows it, and a query tells."""
    watch = screens()
    watch.all(vnc("CONNECTED"), vnc("INITIALIZED"), vnc("CONNECTED"), vnc("DISCONNECTED"))
    watch.feed(vnc_clients(""))
    watch.feed(vnc("INITIALIZED"))
    assert watch.asks == [Ask.VNC] * 2
    watch.feed(vnc_clients(""))
    assert now(watch) == (1, 1)
    watch.feed(vnc("DISCONNECTED"))
    assert now(watch) == (0, 0)


def test_a_client_that_was_at_the_password_when_we_came_is_one() -> None:
    """A query takes all for sessions; the INITIALIZED of one of them does not make it two."""
    watch = Watch()
    watch.all(connected(), vnc_clients("5000"), vnc("INITIALIZED", "5000"))
    assert watch.asks == [Ask.VNC]
    watch.feed(vnc_clients("5000"))
    assert now(watch) == (1, 1)


def test_which_spice_channel_of_a_unix_socket_closed_is_asked() -> None:
    """Main and other channels share one name there: query-spice lists the main ones left."""
    watch = screens()
    for kind in (1, 2, 3, 1, 2, 3):
        watch.all(spice("CONNECTED"), spice("INITIALIZED", channel=kind))
    assert now(watch, "spice") == (6, 2)
    assert watch.asks == []
    watch.all(*[spice("DISCONNECTED")] * 3)
    assert watch.asks == [Ask.SPICE]
    listed = spice_channels(("", 1), ("", 2), ("", 3))
    watch.all(listed, listed)  # the first may be older than the last DISCONNECTED
    assert now(watch, "spice") == (3, 1)


def test_an_answer_from_before_an_event_is_not_believed() -> None:
    """QEMU may send it after the event: it is asked again, and shows nobody who has left."""
    watch = screens()
    for kind in (1, 3):
        watch.all(spice("CONNECTED"), spice("INITIALIZED", channel=kind))
    watch.all(*[spice("DISCONNECTED")] * 2, spice_channels(("", 1)))
    assert now(watch, "spice") == (0, 0)
    assert watch.asks == [Ask.SPICE] * 2
    watch.feed(spice_channels())
    assert now(watch, "spice") == (0, 0)
    assert watch.asks == [Ask.SPICE] * 2


def test_nobody_can_leave_an_empty_room() -> None:
    """A DISCONNECTED of a client that was never seen changes nothing but the events."""
    watch = screens()
    watch.all(vnc("DISCONNECTED", "1"), spice("DISCONNECTED", "1"))
    assert now(watch) == now(watch, "spice") == (0, 0)
    assert watch.risen(INCOMPLETE) == {}


def test_an_initialized_that_comes_alone_is_a_connection() -> None:
    """Its CONNECTED was before our time."""
    watch = screens()
    watch.feed(vnc("INITIALIZED", "1"))
    assert now(watch) == (1, 1)
    assert watch.value(CONNECTS, "vnc") == 0
    assert watch.asks == []


def test_the_end_of_qemu_closes_all() -> None:
    """It sends no DISCONNECTED then; sessions and connections read 0 at once."""
    watch = screens()
    watch.all(vnc("CONNECTED", "1"), vnc("INITIALIZED", "1"), spice("CONNECTED", "1"))
    watch.feed(lost(1))
    assert now(watch) == (1, 1)
    watch.feed(link(TargetState.GONE, 2))
    assert now(watch) == now(watch, "spice") == (0, 0)
    assert watch.risen(INCOMPLETE) == {}


def test_what_is_read_after_a_reconnection_counts() -> None:
    """Who left while nobody watched is gone; who is still there is still what it was."""
    watch = screens()
    watch.all(vnc("CONNECTED", "1"), vnc("INITIALIZED", "1"), vnc("CONNECTED", "2"))
    watch.all(lost(1), connected(2), vnc_clients("2", "3"))
    assert now(watch) == (2, 1)
    watch.all(vnc("INITIALIZED", "2"))
    assert now(watch) == (2, 2)


def test_an_event_shows_the_display() -> None:
    """A client of a display that no query told of makes its rows."""
    watch = Watch()
    watch.all(connected(), vnc("CONNECTED", "1"))
    assert watch.rows(CONNECTIONS) == {("vnc",): 1}
    assert watch.rows(INCOMPLETE) == {("vnc",): 0}


def test_clients_are_bounded() -> None:
    """A flood of addresses is counted, and costs no more memory than a limit."""
    watch = screens()
    for port in range(MAX_KEYS + 2):
        watch.feed(vnc("CONNECTED", str(port)))
    assert watch.changes[-1] == Overflowed(CONNECTIONS)
    assert watch.overflows == [CONNECTIONS] * 2
    assert now(watch) == (MAX_KEYS, 0)
    assert watch.value(CONNECTS, "vnc") == MAX_KEYS + 2
    watch.feed(vnc("INITIALIZED", str(MAX_KEYS + 1)))
    assert watch.rows(LOGINS) == {("vnc", "none"): 1}
    assert now(watch) == (MAX_KEYS, 0)
    watch.feed(vnc("INITIALIZED", "0"))
    assert now(watch) == (MAX_KEYS, 1)
    watch.feed(vnc_clients(*map(str, range(MAX_KEYS + 9))))
    assert now(watch)[0] == MAX_KEYS


@pytest.mark.parametrize("peer", [Peer(2, 1, 1), Peer(2, 2, 1), Peer(3, 2, 0)])
def test_two_kinds_under_one_name_are_ambiguous(peer: Peer) -> None:
    """Some are in and some are not, or some are a session and some are not."""
    assert peer.ambiguous


@pytest.mark.parametrize("peer", [Peer(), Peer(2, 0, 0), Peer(2, 2, 2), Peer(2, 2, 0)])
def test_one_kind_is_not(peer: Peer) -> None:
    """It does not matter which one of several alike is gone."""
    assert not peer.ambiguous


ACTS = st.lists(
    st.tuples(st.sampled_from(["connect", "open", "main", "close", "query"]), st.sampled_from("ab"))
)


@MANY
@given(ACTS)
def test_the_counts_are_those_of_a_room(acts: list[tuple[str, str]]) -> None:
    """Never a negative count, never more sessions than connections, nothing kept of who left."""
    room = Clients()
    for act, key in acts:
        match act:
            case "connect":
                room = room.connected(key)
            case "open" | "main":
                room = room.initialized(key, session=act == "main")
            case "close":
                room, _ = room.disconnected(key)
            case "query":
                room = corrected(room, clients([(key, True), (key, False)]))
        assert all(0 <= p.sessions <= p.active <= p.open > 0 for p in room.peers.values())
        assert room.sessions <= room.connections


CLIENTS = st.lists(st.sampled_from(["cid", "cd", "id"]), max_size=5)


@MANY
@given(CLIENTS, st.randoms())
def test_clients_with_addresses_are_never_mistaken(lives: list[str], order: Random) -> None:
    """In whatever order clients connect, log in and leave: the gauges are right all the time."""
    turns = [port for port, life in enumerate(lives) for _ in life]
    order.shuffle(turns)
    left = [list(life) for life in lives]
    room, connections, sessions = Clients(), set[int](), set[int]()
    for port in turns:
        match left[port].pop(0):
            case "c":
                room = room.connected(str(port))
                connections.add(port)
            case "i":
                room = room.initialized(str(port), session=True)
                connections.add(port)
                sessions.add(port)
            case "d":
                room, incomplete = room.disconnected(str(port))
                assert incomplete is (port not in sessions)
                connections.discard(port)
                sessions.discard(port)
        assert (room.connections, room.sessions) == (len(connections), len(sessions))


def test_a_query_is_taken_as_it_stands() -> None:
    """Each entry is one connection, authenticated; those that are a session are said to be."""
    found = clients([("a", True), ("b", False), ("b", True)])
    assert found.peers == {"a": Peer(1, 1, 1), "b": Peer(2, 2, 1)}
