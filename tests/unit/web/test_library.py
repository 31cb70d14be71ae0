"""aiohttp as the exporter imports it."""

from __future__ import annotations

import subprocess
import sys


PROGRAM = """
import ssl
make = ssl.create_default_context
import qmp_exporter.app
from aiohttp import connector
trusted = connector._SSL_CONTEXT_VERIFIED
print(trusted.cert_store_stats()["x509_ca"], trusted.verify_mode.name, trusted.check_hostname)
print(ssl.create_default_context is make)
"""


def test_no_certificates_are_read_for_a_client_that_is_not_used() -> None:
    """Nor would that client trust anybody; whoever else wants a context gets an ordinary one."""
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert told.stdout == "0 CERT_REQUIRED True\nTrue\n"
