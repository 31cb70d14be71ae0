"""Who looks at a machine's screen, and what the scraped page reads of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab import spice
from e2e.lab.generation import shows
from e2e.lab.servers import ipv6
from e2e.page import Page, screen, watched
from qmp_exporter.demo import Machine, operations, rfb


if TYPE_CHECKING:
    from pathlib import Path


UNIX = "unix:vm.vnc"
TCP = "127.0.0.1:0,to=99"
TCP6 = pytest.param(
    "[::1]:0,to=99", marks=pytest.mark.skipif(not ipv6(), reason="no IPv6 on loopback")
)


def now(page: Page, protocol: str = "vnc") -> tuple[float | None, float | None]:
    """Return how many connections are open, and how many of them are sessions."""
    return (
        page.value("qemu_display_connections", protocol=protocol),
        page.value("qemu_display_sessions", protocol=protocol),
    )


def so_far(page: Page, protocol: str = "vnc") -> tuple[float | None, float, float | None]:
    """Return how many connections came, how many of them logged in, and how many never did."""
    logins = page.rows("qemu_display_logins_total", "protocol", "auth")
    return (
        page.value("qemu_display_connects_total", protocol=protocol),
        sum(v for k, v in logins.items() if k[0] == protocol),
        page.value("qemu_display_incomplete_connects_total", protocol=protocol),
    )


@shows("VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED")
@pytest.mark.parametrize("address", [UNIX, TCP, TCP6])
async def test_viewer(place: Path, address: str) -> None:
    """A viewer is a connection and a session while they are there, and a login for ever."""
    async with watched(place, "-vnc", address) as (machine, exporter):
        page = await exporter.page()
        assert (now(page), so_far(page)) == ((0, 0), (0, 0, 0))
        async with rfb.viewer(await screen(machine)):
            page = await exporter.until("qemu_display_sessions", 1, protocol="vnc")
            assert (now(page), so_far(page)) == ((1, 1), (1, 1, 0))
        page = await exporter.until("qemu_display_connections", 0, protocol="vnc")
        assert (now(page), so_far(page)) == ((0, 0), (1, 1, 0))
        assert page.rows("qemu_display_logins_total", "protocol", "auth") == {("vnc", "none"): 1}


@shows("VNC_CONNECTED", "VNC_DISCONNECTED")
@pytest.mark.parametrize("address", [UNIX, TCP, TCP6])
async def test_wrong_password(place: Path, address: str) -> None:
    """A refused login is an incomplete connection, and no session."""
    async with watched(place, "-vnc", f"{address},password=on") as (machine, exporter):
        await rfb.wrong_password(await screen(machine))
        page = await exporter.until("qemu_events_total", 1, event="VNC_DISCONNECTED")
        assert (now(page), so_far(page)) == ((0, 0), (1, 0, 1))


@pytest.mark.parametrize("address", [UNIX, TCP, TCP6])
async def test_probe_beside_a_viewer(place: Path, address: str) -> None:
    """Somebody who only connects and leaves is told from a viewer who stays."""
    async with watched(place, "-vnc", address) as (machine, exporter):
        where = await screen(machine)
        async with rfb.viewer(where):
            await rfb.probe(where)
            page = await exporter.until("qemu_events_total", 1, event="VNC_DISCONNECTED")
            assert (now(page), so_far(page)) == ((1, 1), (2, 1, 1))
        page = await exporter.until("qemu_events_total", 2, event="VNC_DISCONNECTED")
        assert (now(page), so_far(page)) == ((0, 0), (2, 1, 1))


async def test_viewers_of_one_socket(place: Path) -> None:
    """Viewers on a unix socket, all of whom look the same, are counted one by one."""
    async with watched(place, "-vnc", UNIX) as (machine, exporter):
        where = await screen(machine)
        async with rfb.viewer(where), rfb.viewer(where):
            async with rfb.viewer(where):
                await exporter.until("qemu_display_sessions", 3, protocol="vnc")
            page = await exporter.until("qemu_display_sessions", 2, protocol="vnc")
            assert (now(page), so_far(page)) == ((2, 2), (3, 3, 0))
        page = await exporter.until("qemu_display_sessions", 0, protocol="vnc")
        assert (now(page), so_far(page)) == ((0, 0), (3, 3, 0))


@pytest.mark.parametrize("end", [Machine.quit, Machine.kill])
async def test_viewer_when_qemu_ends(place: Path, end: Any) -> None:
    """QEMU says goodbye to no viewer; nobody is shown at the screen of one that has ended."""
    async with (
        watched(place, "-vnc", UNIX) as (machine, exporter),
        rfb.viewer(await screen(machine)),
    ):
        await exporter.until("qemu_display_sessions", 1, protocol="vnc")
        await end(machine)
        page = await exporter.reads(lambda page: bool(page.rows("qemu_vm_exits_total", "cause")))
        assert (now(page), so_far(page)) == ((0, 0), (1, 1, 0))
        assert "VNC_DISCONNECTED" not in page.events()


# SPICE

SPICE = ("-vga", "std", "-spice", "unix=on,addr=vm.spice")
OPEN = (*SPICE[:3], f"{SPICE[3]},disable-ticketing=on")
RIGHT, WRONG = "right", "wrong"


@shows("SPICE_CONNECTED", "SPICE_INITIALIZED", "SPICE_DISCONNECTED")
async def test_spice_viewer(spice_place: Path) -> None:
    """A SPICE viewer is one session with several channels, each a connection."""
    async with watched(spice_place, *OPEN) as (_, exporter):
        page = await exporter.page()
        assert (now(page, "spice"), so_far(page, "spice")) == ((0, 0), (0, 0, 0))
        async with spice.channel(spice_place / "vm.spice") as session:
            await exporter.until("qemu_display_sessions", 1, protocol="spice")
            async with spice.channel(spice_place / "vm.spice", spice.INPUTS, session=session):
                page = await exporter.until("qemu_events_total", 2, event="SPICE_INITIALIZED")
                assert (now(page, "spice"), so_far(page, "spice")) == ((2, 1), (2, 1, 0))
        page = await exporter.until("qemu_display_connections", 0, protocol="spice")
        assert (now(page, "spice"), so_far(page, "spice")) == ((0, 0), (2, 1, 0))
        assert page.rows("qemu_display_logins_total", "protocol") == {"spice": 1}


async def test_spice_password(spice_place: Path) -> None:
    """A wrong password at SPICE is an incomplete connection, the right one is a login."""
    async with watched(spice_place, *SPICE) as (machine, exporter):
        await machine.execute("set_password", protocol="spice", password=RIGHT)
        with pytest.raises(spice.RefusedError):
            async with spice.channel(spice_place / "vm.spice", password=WRONG):
                pytest.fail("logged in")
        page = await exporter.until("qemu_events_total", 1, event="SPICE_DISCONNECTED")
        assert (now(page, "spice"), so_far(page, "spice")) == ((0, 0), (1, 0, 1))
        async with spice.channel(spice_place / "vm.spice", password=RIGHT):
            page = await exporter.until("qemu_display_sessions", 1, protocol="spice")
            logins = page.rows("qemu_display_logins_total", "protocol", "auth")
            assert logins == {("spice", "spice"): 1}


@shows("SPICE_MIGRATE_COMPLETED")
async def test_spice_viewer_is_handed_over(spice_place: Path) -> None:
    """A migration that takes the SPICE clients along is counted when it has."""
    async with watched(spice_place, *OPEN) as (machine, exporter):
        there = {"protocol": "spice", "hostname": "127.0.0.1", "port": 1}
        await machine.execute("client_migrate_info", **there)
        await operations.migrate(machine)
        await exporter.until("qemu_spice_migrations_total", 1)
