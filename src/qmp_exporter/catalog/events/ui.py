"""Events of QEMU's qapi/ui.json: VNC and SPICE clients."""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.operations import DISPLAY
from qmp_exporter.catalog.spec import EventSpec, Int, Label, Payload
from qmp_exporter.catalog.states import DISPLAY_AUTHS, Protocol


SOURCE: Final = "ui.json"


class Server(Payload, frozen=True):
    """The side of QEMU; its address is not kept."""

    auth: str | None = None


class VncClient(Payload, frozen=True):
    """A VNC client, told from others by host and service; both are empty on a unix socket."""

    host: str
    service: str

    @property
    def key(self) -> str:
        """What tells it from other clients."""
        return f"{self.host} {self.service}"


class SpiceClient(Payload, frozen=True):
    """A SPICE channel, told from others by host and port.

    Attributes:
        channel_type: 1 is the main channel, of which a session has one; INITIALIZED only.
    """

    host: str
    port: str
    channel_type: Int | None = None

    @property
    def key(self) -> str:
        """What tells it from other channels."""
        return f"{self.host} {self.port}"


class VncEvent(Payload, frozen=True):
    """Data of VNC_CONNECTED, VNC_INITIALIZED and VNC_DISCONNECTED."""

    server: Server
    client: VncClient

    @property
    def connection(self) -> str:
        """What tells its connection from those of all displays."""
        return f"{Protocol.VNC} {self.client.key}"


class SpiceEvent(Payload, frozen=True):
    """Data of SPICE_CONNECTED, SPICE_INITIALIZED and SPICE_DISCONNECTED."""

    server: Server
    client: SpiceClient

    @property
    def connection(self) -> str:
        """What tells its channel from those of all displays."""
        return f"{Protocol.SPICE} {self.client.key}"


_VNC_SERVER: Final = {
    "host": "192.0.2.1",
    "service": "5901",
    "family": "ipv4",
    "websocket": False,
    "auth": "sasl",
}
_VNC_CLIENT: Final = {
    "host": "127.0.0.1",
    "service": "46089",
    "family": "ipv4",
    "websocket": False,
}
_VNC_USER: Final = _VNC_CLIENT | {"x509_dname": "O=Example,CN=alice", "sasl_username": "alice"}
_SPICE_SERVER: Final = {"host": "127.0.0.1", "port": "5921", "family": "ipv4"}
_SPICE_CLIENT: Final = {"host": "127.0.0.1", "port": "49004", "family": "ipv4"}
_SPICE_CHANNEL: Final = _SPICE_CLIENT | {
    "connection-id": -2037802586,
    "channel-type": 1,
    "channel-id": 0,
    "tls": True,
}

_AUTH: Final = Label("auth", DISPLAY_AUTHS, field="server.auth")

EVENTS: Final = (
    EventSpec(
        "VNC_CONNECTED",
        "A VNC client connected; nothing is authenticated yet.",
        SOURCE,
        payload=VncEvent,
        operation=DISPLAY,
        key="connection",
        samples=({"server": _VNC_SERVER, "client": _VNC_CLIENT},),
    ),
    EventSpec(
        "VNC_INITIALIZED",
        "A VNC client passed authentication, if any, and its session is active.",
        SOURCE,
        payload=VncEvent,
        operation=DISPLAY,
        key="connection",
        samples=({"server": _VNC_SERVER, "client": _VNC_USER},),
        shows=(_AUTH,),
    ),
    EventSpec(
        "VNC_DISCONNECTED",
        "A VNC client's connection closed. Not sent to clients connected when QEMU ends.",
        SOURCE,
        payload=VncEvent,
        operation=DISPLAY,
        key="connection",
        samples=({"server": _VNC_SERVER, "client": _VNC_USER},),
    ),
    EventSpec(
        "SPICE_CONNECTED",
        "A channel of a SPICE client connected; nothing is authenticated yet.",
        SOURCE,
        payload=SpiceEvent,
        operation=DISPLAY,
        key="connection",
        samples=({"server": _SPICE_SERVER, "client": _SPICE_CLIENT},),
    ),
    EventSpec(
        "SPICE_INITIALIZED",
        "A channel of a SPICE client passed authentication, if any, and is active.",
        SOURCE,
        payload=SpiceEvent,
        operation=DISPLAY,
        key="connection",
        samples=({"server": _SPICE_SERVER | {"auth": "spice"}, "client": _SPICE_CHANNEL},),
        shows=(_AUTH,),
    ),
    EventSpec(
        "SPICE_DISCONNECTED",
        "A channel of a SPICE client closed. Not sent for channels open when QEMU ends.",
        SOURCE,
        payload=SpiceEvent,
        operation=DISPLAY,
        key="connection",
        samples=({"server": _SPICE_SERVER, "client": _SPICE_CLIENT},),
    ),
)
