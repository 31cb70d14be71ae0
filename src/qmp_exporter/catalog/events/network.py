"""Events of networks: QEMU's qapi/net.json, migration.json (failover) and rdma.json."""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.spec import (
    NONE,
    Counter,
    EventSpec,
    Label,
    LastValue,
    Payload,
    Severity,
)


SOURCE: Final = "net.json"


class NetdevConnected(Payload, frozen=True):
    """Data of NETDEV_STREAM_CONNECTED and NETDEV_VHOST_USER_CONNECTED; no address is kept."""

    netdev_id: str

    @property
    def connected(self) -> bool:
        """That it is."""
        return True


class NetdevDisconnected(Payload, frozen=True):
    """Data of NETDEV_STREAM_DISCONNECTED and NETDEV_VHOST_USER_DISCONNECTED."""

    netdev_id: str

    @property
    def connected(self) -> bool:
        """That it is not."""
        return False


class Failover(Payload, frozen=True):
    """Data of FAILOVER_NEGOTIATED and UNPLUG_PRIMARY."""

    device_id: str


NETDEV: Final = Label("netdev", field="netdev_id")
STANDBY: Final = Label("device", field="device_id")
CONNECTED: Final = LastValue(
    "qemu_netdev_connected",
    "Whether the network backend is connected to its peer. QMP events NETDEV_*.",
    "connected",
    (NETDEV,),
)

EVENTS: Final = (
    EventSpec(
        "NETDEV_STREAM_CONNECTED",
        "A network backend of type stream is connected.",
        SOURCE,
        rare=True,
        payload=NetdevConnected,
        samples=(
            {
                "netdev-id": "netdev0",
                "addr": {"port": "47666", "ipv6": True, "host": "::1", "type": "inet"},
            },
        ),
        gauges=(CONNECTED,),
    ),
    EventSpec(
        "NETDEV_STREAM_DISCONNECTED",
        "A network backend of type stream lost its connection.",
        SOURCE,
        rare=True,
        payload=NetdevDisconnected,
        samples=({"netdev-id": "netdev0"},),
        severity=Severity.WARN,
        gauges=(CONNECTED,),
    ),
    EventSpec(
        "NETDEV_VHOST_USER_CONNECTED",
        "A network backend of type vhost-user is connected. From QEMU 10.0 on.",
        SOURCE,
        rare=True,
        payload=NetdevConnected,
        samples=({"netdev-id": "netdev0", "chardev-id": "chr0"},),
        gauges=(CONNECTED,),
    ),
    EventSpec(
        "NETDEV_VHOST_USER_DISCONNECTED",
        "A network backend of type vhost-user lost its connection. From QEMU 10.0 on.",
        SOURCE,
        rare=True,
        payload=NetdevDisconnected,
        samples=({"netdev-id": "netdev0"},),
        severity=Severity.WARN,
        gauges=(CONNECTED,),
    ),
    EventSpec(
        "NIC_RX_FILTER_CHANGED",
        "The guest changed which packets its network card takes.",
        SOURCE,
        rare=True,
        samples=({"name": "vnet0", "path": "/machine/peripheral/vnet0/virtio-backend"},),
    ),
    EventSpec(
        "FAILOVER_NEGOTIATED",
        "The guest's virtio-net device can stand in for a primary one.",
        SOURCE,
        rare=True,
        payload=Failover,
        samples=({"device-id": "net1"},),
        counters=(
            Counter(
                "qemu_failover_negotiations_total",
                "Standby devices that the guest took for a primary one. QMP event"
                " FAILOVER_NEGOTIATED.",
                (STANDBY,),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "UNPLUG_PRIMARY",
        "A migration asks for the primary device of a failover pair to be unplugged.",
        "migration.json",
        rare=True,
        payload=Failover,
        samples=({"device-id": "hostdev0"},),
        counters=(
            Counter(
                "qemu_failover_primary_unplugs_total",
                "Primary devices that a migration had unplugged. QMP event UNPLUG_PRIMARY.",
                (STANDBY,),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "RDMA_GID_STATUS_CHANGED",
        "The guest changed an address of its RDMA device. QEMU 9.1 removed this event.",
        "rdma.json",
        rare=True,
        samples=(
            {
                "netdev": "bridge0",
                "interface-id": 15880512517475447892,
                "gid-status": True,
                "subnet-prefix": 33022,
            },
        ),
    ),
)
