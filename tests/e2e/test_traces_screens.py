"""Who looks at the screen of a real QEMU as traces: a span for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.lab import spice, vnc
from e2e.page import screen
from e2e.stage import stage
from qmp_exporter.demo import rfb


if TYPE_CHECKING:
    from pathlib import Path


PASSWORD = "secret"  # noqa: S105 - of a machine that lives for a second
SERVER = "qemu.server.family=ipv4, qemu.server.websocket=false"


async def test_vnc(place: Path) -> None:
    """A client that knows the password has a session, one that does not has failed."""
    display = ("-vnc", "127.0.0.1:0,to=99,password=on")
    async with stage(place, *display) as found, found.exporting():
        where = await screen(found.machine)
        await found.machine.execute("set_password", protocol="vnc", password=PASSWORD)
        async with vnc.logged_in(where, PASSWORD):
            await found.hear("VNC_INITIALIZED")
            await rfb.wrong_password(where)
            await found.spans("qemu.display.session")
        await found.spans(*["qemu.display.session"] * 2)
    found.expect(f"""
qemu.display.session: VNC_CONNECTED to VNC_DISCONNECTED
    qemu.display.auth=vnc, qemu.display.protocol=vnc
    * qemu.vnc_connected  {SERVER}, …
    * qemu.vnc_initialized  qemu.auth=vnc, {SERVER}, …
    * qemu.vnc_disconnected  {SERVER}, …
qemu.display.session: VNC_CONNECTED to VNC_DISCONNECTED
    error.type=incomplete, qemu.display.protocol=vnc
    * qemu.vnc_connected  {SERVER}, …
    * qemu.vnc_disconnected  {SERVER}, …
""")
    good, bad = sorted(found.story(), key=lambda span: span.start)
    assert good.start < bad.start < bad.end < good.end
    assert good.trace_id != bad.trace_id


SPICE = ("-vga", "std", "-spice", "unix=on,addr=vm.spice")


async def test_spice(spice_place: Path) -> None:
    """Each channel is a span; the login is told of the main one, and a refused one has failed."""
    where = spice_place / "vm.spice"
    async with stage(spice_place, *SPICE) as found, found.exporting():
        await found.machine.execute("set_password", protocol="spice", password=PASSWORD)
        async with spice.channel(where, password=PASSWORD) as session:
            await found.hear("SPICE_INITIALIZED")
            async with spice.channel(where, spice.INPUTS, session=session, password=PASSWORD):
                await found.hear("SPICE_INITIALIZED", "SPICE_INITIALIZED")
            await found.spans("qemu.display.session")
        await found.spans(*["qemu.display.session"] * 2)
        with pytest.raises(spice.RefusedError):
            async with spice.channel(where, password="wrong"):  # noqa: S106 - as above
                pytest.fail("logged in")
        await found.spans(*["qemu.display.session"] * 3)
    found.expect("""
qemu.display.session: SPICE_CONNECTED to SPICE_DISCONNECTED
    qemu.display.auth=spice, qemu.display.protocol=spice
    * qemu.spice_connected  …
    * qemu.spice_initialized  qemu.auth=spice, qemu.client.channel_type=1, …
    * qemu.spice_disconnected  …
qemu.display.session: SPICE_CONNECTED to SPICE_DISCONNECTED
    qemu.display.protocol=spice
    * qemu.spice_connected  …
    * qemu.spice_initialized  qemu.auth=spice, qemu.client.channel_type=3, …
    * qemu.spice_disconnected  …
qemu.display.session: SPICE_CONNECTED to SPICE_DISCONNECTED
    error.type=incomplete, qemu.display.protocol=spice
    * qemu.spice_connected  …
    * qemu.spice_disconnected  …
""")


async def test_addresses_of_clients_are_told_where_that_is_wanted(place: Path) -> None:
    """In spans and log records alike; else never, as the other tests hold."""
    async with (
        stage(place, "-vnc", "127.0.0.1:0,to=99") as found,
        found.exporting(otel_client_addresses=True),
    ):
        async with rfb.viewer(await screen(found.machine)):
            await found.hear("VNC_INITIALIZED")
        await found.spans("qemu.display.session")
    (session,) = found.story()
    for told in (*session.events, *found.receiver.logs):
        assert told.attributes["qemu.client.host"] == "127.0.0.1"
        assert told.attributes["qemu.client.service"].isdigit()
