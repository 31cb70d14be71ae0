"""What goes into a recording that is sent to others: a list of members, and all else does not.

Sources: ``query-qmp-schema`` of QEMU 7.2, 10.0 and 11.1, and QEMU's QAPI files for what the members
mean. A member that is not listed is left out, so that one that a later QEMU adds is, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias, Union


class Rule(StrEnum):
    """What becomes of a member; the value shows people what it looks like then.

    Whatever is replaced is replaced by the same wherever it comes in the file, and what is empty
    stays empty.
    """

    VALUE = "kept"
    """Numbers, truth values, and words of QEMU's own."""
    ID = "id-1"
    """An id that the host chose: of a device, a drive, a node, a port, a job, an export."""
    PATH = "/machine/peripheral/id-1"
    """A QOM path, by the ids in it."""
    TEXT = "text-1"
    """Text for people, with whatever in it: paths, names of hosts. That of an errno stays."""
    CLIENT = "client-1"
    """Address of who looks at a screen."""
    SERVER = "server-1"
    """Address of the host, or another's on the network."""
    PORT = "port-1"
    """A port, or the path of a socket in its place."""
    DNAME = "dname-1"
    """Name in a certificate."""
    USER = "user-1"
    """Name with which somebody logged in."""
    VM = "vm-1"
    """Name of the machine."""
    UUID = "00000000-0000-4000-8000-000000000001"
    """Of the machine; all zeros, which is none, stay."""


Members: TypeAlias = Mapping[str, Union[Rule, "Members"]]


def _values(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule.VALUE)


def _ids(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule.ID)


_NOTHING: Final[Members] = {}
_DEVICE: Final[Members] = {"device": Rule.ID, "path": Rule.PATH}
_OST: Final[Members] = _ids("device") | _values("slot", "slot-type", "source", "status")
_PANIC: Final[Members] = {
    **_values("action"),
    "info": {
        **_values("type", "arg1", "arg2", "arg3", "arg4", "arg5"),  # hyper-v
        **_values("core", "psw-mask", "psw-addr", "reason"),  # s390
        **_values("error-code", "gpa"),  # tdx
        "message": Rule.TEXT,
        **_values("set", "code"),  # sev
    },
}
_JOB: Final[Members] = {
    **_values("type", "len", "offset", "speed", "operation", "action"),
    **_ids("device", "id"),
    "error": Rule.TEXT,
}
_VNC_SERVER: Final[Members] = {
    "host": Rule.SERVER,
    "service": Rule.PORT,
    **_values("family", "websocket", "auth", "vencrypt"),
}
_VNC_CLIENT: Final[Members] = {
    "host": Rule.CLIENT,
    "service": Rule.PORT,
    **_values("family", "websocket"),
    "x509_dname": Rule.DNAME,
    "sasl_username": Rule.USER,
}
_VNC: Final[Members] = {"server": _VNC_SERVER, "client": _VNC_CLIENT}
_SPICE_CLIENT: Final[Members] = {
    "host": Rule.CLIENT,
    "port": Rule.PORT,
    **_values("family", "connection-id", "channel-type", "channel-id", "tls"),
}
_SPICE: Final[Members] = {
    "server": {"host": Rule.SERVER, "port": Rule.PORT, **_values("family", "auth")},
    "client": _SPICE_CLIENT,
}
_ADDRESS: Final[Members] = {
    **_values("type", "ipv4", "ipv6", "keep-alive", "numeric", "mptcp", "abstract", "tight"),
    **_values("keep-alive-count", "keep-alive-idle", "keep-alive-interval"),
    **dict.fromkeys(("host", "cid", "path", "str"), Rule.SERVER),
    "port": Rule.PORT,
}

EVENTS: Final[Mapping[str, Members]] = {
    "ACPI_DEVICE_OST": {"info": _OST, **_OST},
    "BALLOON_CHANGE": _values("actual"),
    "BLOCK_EXPORT_DELETED": _ids("id"),
    "BLOCK_IMAGE_CORRUPTED": {
        **_ids("device", "node-name"),
        **_values("offset", "size", "fatal"),
        "msg": Rule.TEXT,
    },
    "BLOCK_IO_ERROR": {
        **_ids("device", "node-name"),
        "qom-path": Rule.PATH,
        "qdev": Rule.PATH,
        **_values("operation", "action", "nospace"),
        "reason": Rule.TEXT,
    },
    "BLOCK_JOB_CANCELLED": _JOB,
    "BLOCK_JOB_COMPLETED": _JOB,
    "BLOCK_JOB_ERROR": _JOB,
    "BLOCK_JOB_PENDING": _JOB,
    "BLOCK_JOB_READY": _JOB,
    "BLOCK_WRITE_THRESHOLD": _ids("node-name") | _values("amount-exceeded", "write-threshold"),
    "COLO_EXIT": _values("mode", "reason"),
    "CPU_POLARIZATION_CHANGE": _values("polarization"),
    "DEVICE_DELETED": _DEVICE,
    "DEVICE_TRAY_MOVED": {**_ids("device"), "id": Rule.PATH, **_values("tray-open")},
    "DEVICE_UNPLUG_GUEST_ERROR": _DEVICE,
    "DUMP_COMPLETED": {"result": _values("status", "completed", "total"), "error": Rule.TEXT},
    "FAILOVER_NEGOTIATED": _ids("device-id"),
    "GUEST_CRASHLOADED": _PANIC,
    "GUEST_PANICKED": _PANIC,
    "GUEST_PVSHUTDOWN": _NOTHING,
    "HV_BALLOON_STATUS_REPORT": _values("committed", "available"),
    "JOB_STATUS_CHANGE": _ids("id") | _values("status"),
    "MEMORY_DEVICE_SIZE_CHANGE": {**_ids("id"), **_values("size"), "qom-path": Rule.PATH},
    "MEMORY_FAILURE": {
        **_values("recipient", "action"),
        "flags": _values("action-required", "recursive"),
    },
    "MEM_UNPLUG_ERROR": {**_ids("device"), "msg": Rule.TEXT},
    "MIGRATION": _values("status"),
    "MIGRATION_PASS": _values("pass"),
    "NETDEV_STREAM_CONNECTED": {**_ids("netdev-id"), "addr": _ADDRESS},
    "NETDEV_STREAM_DISCONNECTED": _ids("netdev-id"),
    "NETDEV_VHOST_USER_CONNECTED": _ids("netdev-id", "chardev-id"),
    "NETDEV_VHOST_USER_DISCONNECTED": _ids("netdev-id"),
    "NIC_RX_FILTER_CHANGED": {**_ids("name"), "path": Rule.PATH},
    "POWERDOWN": _NOTHING,
    "PR_MANAGER_STATUS_CHANGED": _ids("id") | _values("connected"),
    "QUORUM_FAILURE": _ids("reference") | _values("sector-num", "sectors-count"),
    "QUORUM_REPORT_BAD": {
        **_values("type", "sector-num", "sectors-count"),
        **_ids("node-name"),
        "error": Rule.TEXT,
    },
    "RDMA_GID_STATUS_CHANGED": _ids("netdev") | _values("gid-status"),  # a GID is an address
    "RESET": _values("guest", "reason"),
    "RESUME": _NOTHING,
    "RTC_CHANGE": {**_values("offset"), "qom-path": Rule.PATH},
    "SCLP_CPI_INFO_AVAILABLE": _NOTHING,
    "SHUTDOWN": _values("guest", "reason"),
    "SPICE_CONNECTED": _SPICE,
    "SPICE_DISCONNECTED": _SPICE,
    "SPICE_INITIALIZED": _SPICE,
    "SPICE_MIGRATE_COMPLETED": _NOTHING,
    "STOP": _NOTHING,
    "SUSPEND": _NOTHING,
    "SUSPEND_DISK": _NOTHING,
    "UNPLUG_PRIMARY": _ids("device-id"),
    "VFIO_MIGRATION": {**_ids("device-id"), "qom-path": Rule.PATH, **_values("device-state")},
    "VFU_CLIENT_HANGUP": {
        **_ids("vfu-id", "dev-id"),
        **dict.fromkeys(("vfu-qom-path", "dev-qom-path"), Rule.PATH),
    },
    "VNC_CONNECTED": _VNC,
    "VNC_DISCONNECTED": _VNC,
    "VNC_INITIALIZED": _VNC,
    "VSERPORT_CHANGE": _ids("id") | _values("open"),
    "WAKEUP": _NOTHING,
    "WATCHDOG": _values("action"),
}
"""Members of the data of each event; of an event that is not here, nothing but its name."""

_RAM: Final[Members] = _values(
    *("transferred", "remaining", "total", "duplicate", "skipped", "normal", "normal-bytes"),
    *("dirty-pages-rate", "mbps", "dirty-sync-count", "postcopy-requests", "page-size"),
    *("multifd-bytes", "pages-per-second", "precopy-bytes", "downtime-bytes", "postcopy-bytes"),
    "dirty-sync-missed-zero-copy",
)

REPLIES: Final[Mapping[str, Members]] = {
    "query-name": {"name": Rule.VM},
    "query-uuid": {"UUID": Rule.UUID},
    "query-target": _values("arch"),
    "query-status": _values("status", "running", "singlestep"),
    "query-block": {
        **_values("io-status", "locked", "removable", "tray_open", "type"),
        "device": Rule.ID,
        "qdev": Rule.PATH,
        "inserted": {"node-name": Rule.ID, **_values("drv", "ro", "backing_file_depth")},
    },
    "query-migrate": {
        **_values("status", "total-time", "expected-downtime", "downtime", "setup-time"),
        **_values("cpu-throttle-percentage", "postcopy-blocktime", "postcopy-latency"),
        "ram": _RAM,
        "disk": _RAM,
        "vfio": _values("transferred"),
        "error-desc": Rule.TEXT,
    },
    "query-migrate-capabilities": _values("capability", "state"),
    "migrate-set-capabilities": _NOTHING,
    "query-vnc-servers": {
        "id": Rule.ID,
        **_values("auth", "vencrypt"),
        "server": _VNC_SERVER,
        "clients": _VNC_CLIENT,
    },
    "query-spice": {
        **_values("enabled", "migrated", "auth", "compiled-version", "mouse-mode"),
        "host": Rule.SERVER,
        "channels": _SPICE_CLIENT,
    },
    "query-balloon": _values("actual"),
    "query-jobs": {
        **_ids("id"),
        **_values("type", "status", "current-progress", "total-progress"),
        "error": Rule.TEXT,
    },
    "query-blockstats": {
        **_ids("device", "node-name"),
        "qdev": Rule.PATH,
        "stats": _values("failed_rd_operations", "failed_wr_operations", "failed_flush_operations"),
    },
}
"""Members of the replies to the commands that are sent, each member of those that are lists."""

ENVELOPE: Final[Members] = {"timestamp": _values("seconds", "microseconds")}
"""What an event has besides its name and its data."""

ERROR: Final[Members] = {"class": Rule.VALUE, "desc": Rule.TEXT}
"""Of the reply to a command that QEMU refused."""
