"""The replies, as QEMU sends them and with what it may add or leave out."""

from __future__ import annotations

import msgspec
import pytest

from qmp_exporter.model.replies import (
    Balloon,
    BlockDevice,
    BlockDevices,
    MigratedRam,
    MigrationInfo,
    Node,
    Spice,
    SpiceChannel,
    Status,
    VncPeer,
    VncServer,
    VncServers,
)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ({"status": "running", "singlestep": False, "running": True}, Status("running")),
        (
            {
                "devices": [
                    {
                        "device": "",
                        "qdev": "/machine/peripheral/disk0/virtio-backend",
                        "io-status": "nospace",
                        "locked": False,
                        "inserted": {"node-name": "#block1", "drv": "qcow2", "ro": False},
                    },
                    {"device": "ide1-cd0", "type": "unknown"},
                ]
            },
            BlockDevices(
                (
                    BlockDevice(
                        "",
                        "/machine/peripheral/disk0/virtio-backend",
                        "nospace",
                        Node("#block1", "qcow2"),
                    ),
                    BlockDevice("ide1-cd0"),
                )
            ),
        ),
        ({}, MigrationInfo()),
        (
            {"status": "completed", "downtime": 35, "ram": {"transferred": 9, "total": 10}},
            MigrationInfo("completed", 35, MigratedRam(9)),
        ),
        (
            {"servers": [{"id": "default", "clients": [{"host": "::1", "service": "5000"}]}]},
            VncServers((VncServer((VncPeer("::1", "5000"),)),)),
        ),
        ({"enabled": False}, Spice()),
        (
            {
                "enabled": True,
                "channels": [{"host": "::1", "port": "1", "channel-type": 1, "connection-id": -7}],
            },
            Spice(enabled=True, channels=(SpiceChannel("::1", "1", 1),)),
        ),
        ({"actual": 402653184}, Balloon(402653184)),
    ],
)
def test_what_is_used_is_read(told: object, meant: msgspec.Struct) -> None:
    """Members of QEMU's schema are found by their names, and others are ignored."""
    assert msgspec.convert(told, type(meant)) == meant


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400, float("inf"), float("nan"), "1"])
@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("actual", Balloon),
        ("downtime", MigrationInfo),
        ("transferred", MigratedRam),
        ("channel-type", SpiceChannel),
    ],
)
def test_numbers_that_no_sample_can_hold_are_refused(
    told: str, kind: type[msgspec.Struct], number: object
) -> None:
    """One of them on the page would make all of it unreadable."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"host": "a", "port": "b", told: number}, kind)
