"""Who looks at a machine's screen over TLS, and over plain TCP with SPICE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab import spice
from e2e.lab.generation import shows
from e2e.lab.scenario import scenario
from e2e.lab.servers import certify, free_port, spice_over_tls, vnc_over_tls
from e2e.lab.vnc import tls_viewer
from e2e.page import screen
from qmp_exporter.demo import Machine, rfb


if TYPE_CHECKING:
    import ssl
    from pathlib import Path


VNC = ("VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED")
RIGHT, WRONG = "right", "wrong"
SPICE = ("SPICE_CONNECTED", "SPICE_INITIALIZED", "SPICE_DISCONNECTED")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for certificates, apart from the machine's."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture
def trust(folder: Path) -> ssl.SSLContext:
    """What a client trusts when QEMU has the certificates of the folder."""
    return certify(folder)


@shows(*VNC)
async def test_vnc_viewer(place: Path, folder: Path, trust: ssl.SSLContext) -> None:
    """A viewer with TLS is a session, and its login reads how it was authenticated."""
    async with scenario(place, *vnc_over_tls(folder)) as vm:
        async with tls_viewer(await screen(vm.machine), trust):
            connected, initialized = await vm.hears("VNC_CONNECTED", "VNC_INITIALIZED")
            assert connected["server"]["auth"] == "vencrypt+x509+none"
            assert initialized["client"]["family"] == "ipv4"
            page = await vm.reads("qemu_display_sessions", 1, protocol="vnc")
            logins = page.rows("qemu_display_logins_total", "protocol", "auth")
            assert logins == {("vnc", "vencrypt+x509+none"): 1}
        await vm.hears(*VNC)
        page = await vm.reads("qemu_display_connections", 0, protocol="vnc")
        assert page.value("qemu_display_incomplete_connects_total", protocol="vnc") == 0


@shows(*VNC)
async def test_vnc_password(place: Path, folder: Path, trust: ssl.SSLContext) -> None:
    """A wrong password inside TLS is an incomplete connection, the right one a session."""
    *others, vnc = vnc_over_tls(folder)
    async with scenario(place, *others, f"{vnc},password=on") as vm:
        await vm.machine.execute("set_password", protocol="vnc", password=RIGHT)
        where = await screen(vm.machine)
        with pytest.raises(rfb.LoginRefusedError):
            async with tls_viewer(where, trust, password=WRONG):
                pytest.fail("logged in")
        await vm.hears("VNC_CONNECTED", "VNC_DISCONNECTED")
        page = await vm.reads("qemu_display_incomplete_connects_total", 1, protocol="vnc")
        assert page.rows("qemu_display_logins_total", "protocol") == {}
        assert vm.heard("VNC_INITIALIZED") == []
        async with tls_viewer(where, trust, password=RIGHT):
            page = await vm.reads("qemu_display_sessions", 1, protocol="vnc")
            logins = page.rows("qemu_display_logins_total", "protocol", "auth")
            assert logins == {("vnc", "vencrypt+x509+vnc"): 1}


@shows("VNC_CONNECTED", "VNC_DISCONNECTED")
async def test_vnc_client_without_tls(place: Path, folder: Path, trust: ssl.SSLContext) -> None:
    """A viewer that knows no TLS comes no further than a probe does."""
    del trust
    async with scenario(place, *vnc_over_tls(folder)) as vm:
        with pytest.raises(rfb.LoginRefusedError, match=r"wants a security type of \[19\]"):
            async with rfb.viewer(await screen(vm.machine)):
                pytest.fail("logged in")
        await vm.hears("VNC_CONNECTED", "VNC_DISCONNECTED")
        page = await vm.reads("qemu_display_incomplete_connects_total", 1, protocol="vnc")
        assert page.value("qemu_display_connections", protocol="vnc") == 0


@shows(*SPICE)
@pytest.mark.parametrize("encrypted", [False, True])
async def test_spice_session(
    spice_place: Path, folder: Path, trust: ssl.SSLContext, *, encrypted: bool
) -> None:
    """Two channels of one SPICE client, each a connection, are one session, with TLS or without."""
    port = free_port()
    plain = ("-vga", "std", "-spice", f"port={port},addr=127.0.0.1")
    args = spice_over_tls(folder, port) if encrypted else list(plain)
    link: Any = {"trust": trust} if encrypted else {}
    args[-1] += ",disable-ticketing=on"
    async with scenario(spice_place, *args) as vm:
        async with (
            spice.channel(port, **link) as session,
            spice.channel(port, spice.INPUTS, session=session, **link),
        ):
            main, inputs = await vm.hears("SPICE_INITIALIZED", "SPICE_INITIALIZED")
            assert {one["client"]["tls"] for one in (main, inputs)} == {encrypted}
            assert [one["client"]["channel-type"] for one in (main, inputs)] == [1, 3]
            assert main["client"]["connection-id"] == inputs["client"]["connection-id"]
            page = await vm.reads("qemu_display_connections", 2, protocol="spice")
            assert page.value("qemu_display_sessions", protocol="spice") == 1
        page = await vm.reads("qemu_display_connections", 0, protocol="spice")
        assert page.value("qemu_display_sessions", protocol="spice") == 0
        assert page.rows("qemu_display_logins_total", "protocol") == {"spice": 1}
        await vm.hears("SPICE_DISCONNECTED", "SPICE_DISCONNECTED")


@shows("SPICE_CONNECTED", "SPICE_DISCONNECTED")
async def test_spice_wrong_password(spice_place: Path, folder: Path, trust: ssl.SSLContext) -> None:
    """A wrong ticket over TLS is an incomplete connection."""
    port = free_port()
    async with scenario(spice_place, *spice_over_tls(folder, port)) as vm:
        await vm.machine.execute("set_password", protocol="spice", password=RIGHT)
        with pytest.raises(spice.RefusedError):
            async with spice.channel(port, password=WRONG, trust=trust):
                pytest.fail("logged in")
        await vm.hears("SPICE_CONNECTED", "SPICE_DISCONNECTED")
        page = await vm.reads("qemu_display_incomplete_connects_total", 1, protocol="spice")
        assert page.rows("qemu_display_logins_total", "protocol") == {}
        assert vm.heard("SPICE_INITIALIZED") == []


@pytest.mark.parametrize("end", [Machine.quit, Machine.kill])
async def test_spice_viewer_when_qemu_ends(spice_place: Path, end: Any) -> None:
    """QEMU says goodbye to no SPICE client; nobody is shown at the screen of one that has ended."""
    port = free_port()
    args = ("-vga", "std", "-spice", f"port={port},addr=127.0.0.1,disable-ticketing=on")
    async with scenario(spice_place, *args) as vm, spice.channel(port):
        await vm.reads("qemu_display_sessions", 1, protocol="spice")
        await end(vm.machine)
        page = await vm.exporter.reads(lambda page: bool(page.rows("qemu_vm_exits_total", "cause")))
        assert page.value("qemu_display_connections", protocol="spice") == 0
        assert page.value("qemu_display_sessions", protocol="spice") == 0
        assert vm.heard("SPICE_DISCONNECTED") == []
