"""The HTTP side: metrics for Prometheus, a page for people, probes for a supervisor.

Nothing here knows QMP. What is shown comes in through two callables: ``Render`` gives the
exposition of all metrics, ``Overview`` the rows of the page.
"""

from __future__ import annotations

from .address import Address, Inherited, TcpAddress, UnixAddress
from .apart import Apart
from .application import build
from .handshakes import REASONS as HANDSHAKE_FAILURES
from .machine import Display, Machine, Migrated
from .metrics import Render
from .overview import Overview, Row
from .server import Server, parse_address


__all__ = [
    "HANDSHAKE_FAILURES",
    "Address",
    "Apart",
    "Display",
    "Inherited",
    "Machine",
    "Migrated",
    "Overview",
    "Render",
    "Row",
    "Server",
    "TcpAddress",
    "UnixAddress",
    "build",
    "parse_address",
]
