"""What QEMU's servers for screens need: ports, certificates, arguments.

Sources: QEMU's docs/system/tls.rst and docs/system/vnc-security.rst for the names of the files.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import trustme


if TYPE_CHECKING:
    from pathlib import Path


def ipv6() -> bool:
    """Tell whether there is IPv6 on loopback."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, for a server that cannot choose one itself."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def certify(folder: Path) -> ssl.SSLContext:
    """Write the files that QEMU looks for, for 127.0.0.1; return what a client trusts."""
    ca = trustme.CA()
    server = ca.issue_cert("127.0.0.1")
    (folder / "ca-cert.pem").write_bytes(ca.cert_pem.bytes())
    (folder / "server-cert.pem").write_bytes(server.cert_chain_pems[0].bytes())
    (folder / "server-key.pem").write_bytes(server.private_key_pem.bytes())
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def vnc_over_tls(folder: Path) -> list[str]:
    """Return QEMU's arguments for a screen on loopback with the certificates of a folder."""
    credentials = f"tls-creds-x509,id=tls0,endpoint=server,verify-peer=off,dir={folder}"
    return ["-object", credentials, "-vnc", "127.0.0.1:0,to=99,tls-creds=tls0"]


def spice_over_tls(folder: Path, port: int) -> list[str]:
    """Return the same for SPICE, at this port."""
    return ["-vga", "std", "-spice", f"tls-port={port},addr=127.0.0.1,x509-dir={folder}"]
