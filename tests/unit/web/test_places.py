"""Who has to leave when all places are taken."""

from __future__ import annotations

import os
import socket

import pytest

from qmp_exporter.web.places import Place, Places, client


class Room:
    """Places, and who had to leave."""

    def __init__(self, limit: int) -> None:
        self.places = Places(limit)
        self.left: list[Place] = []
        self.now = 0.0

    def come(self, who: str, *, busy: bool = False, served: bool = False) -> Place | None:
        """One more connection of somebody."""
        self.now += 1.0
        place = self.places.take(who.encode(), self.now)
        if place is not None:
            place.busy, place.served = busy, served
            place.leave = lambda: self.left.append(place)
        return place


def test_nobody_leaves_while_there_is_room() -> None:
    """And a place that was given back is free, however often it is given back."""
    room = Room(2)
    first = room.come("a")
    assert first is not None
    for _ in range(3):
        room.places.free(first)
    assert room.come("a")
    assert room.come("b")
    assert (room.left, len(room.places)) == ([], 2)


def test_a_crowd_makes_room_for_others() -> None:
    """Its oldest connection on which nothing was asked for; not that of a client with one."""
    room = Room(4)
    scraper = room.come("scraper")
    crowd = [room.come("crowd", served=number == 0) for number in range(3)]
    assert room.come("other")
    assert room.left == [crowd[1]]
    assert room.come("crowd")
    assert room.left == crowd[1:]
    assert scraper not in room.left


def test_the_one_that_was_used_last_stays() -> None:
    """Of those of one client that are alike."""
    room = Room(3)
    places = [room.come("a", served=True) for _ in range(3)]
    assert places[0] is not None
    places[0].since = 10.0
    assert room.come("a")
    assert room.left == [places[1]]


def test_a_request_under_way_yields_to_who_has_less_only() -> None:
    """One more of the same client finds no place; of another it does, of a third one, too."""
    room = Room(4)
    busy = [room.come("crowd", busy=True) for _ in range(4)]
    assert room.come("crowd") is None
    assert room.left == []
    assert room.come("a", busy=True)
    assert room.come("b", busy=True)
    assert room.left == busy[:2]
    assert room.come("a") is None, "who has as many as the others has its share"
    assert room.come("crowd") is None


def test_who_has_much_takes_from_nobody_who_has_little() -> None:
    """Also if all that is its own is under way."""
    room = Room(8)
    for _ in range(7):
        room.come("crowd", busy=True)
    fresh = room.come("scraper")
    assert room.come("crowd") is None
    assert room.left == []
    assert fresh is not None


def test_who_has_little_takes_from_who_has_little() -> None:
    """Where all have one that is idle, one more is let in."""
    room = Room(8)
    places = [room.come(f"host {n}", served=True, busy=n == 7) for n in range(8)]
    assert room.come("host 7")
    assert room.left == [places[0]]


def test_all_leave_at_the_end() -> None:
    """Each once."""
    room = Room(3)
    places = [room.come("a"), room.come("b", busy=True)]
    room.places.clear()
    room.places.clear()
    assert len(room.left) == 2
    assert set(room.left) == set(places)
    assert len(room.places) == 0


@pytest.mark.parametrize(
    ("family", "where", "found"),
    [
        (socket.AF_INET, "127.0.0.1", b"\x7f\0\0\1"),
        (socket.AF_INET6, "::1", bytes(8)),
    ],
)
def test_a_client_is_an_address_or_a_network(
    family: socket.AddressFamily, where: str, found: bytes
) -> None:
    """Of IPv6 the first 64 bits, of which everybody has all that follow."""
    with (
        socket.create_server((where, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]),
        listener.accept()[0] as connection,
    ):
        assert client(connection) == found


def test_a_client_of_ipv4_is_the_same_on_a_socket_for_both() -> None:
    """Not one of the network of all of them."""
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener,
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])),
        listener.accept()[0] as connection,
    ):
        assert client(connection) == b"\x7f\0\0\1"


def test_a_client_on_this_machine_is_a_user() -> None:
    """Whatever the process."""
    one, other = socket.socketpair()
    with one, other:
        assert client(one) == b"user %d" % os.getuid()
