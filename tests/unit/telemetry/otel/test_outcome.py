"""HTTP to a collector."""

from __future__ import annotations

import gc
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from qmp_exporter.config.otel import read_otel
from qmp_exporter.telemetry.otel.outcome import Outcome, Transport


if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE: Final = 10.0
AT_ONCE: Final = struct.pack("ii", 1, 0)
"""To SO_LINGER: end a connection by a reset."""


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """Collect no garbage."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage")
def test_closed_it_leaves_no_connection() -> None:
    """Though one was lost before, whose error is garbage that refers to all of them."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        server.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces"
        otel = read_otel({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url})
        assert otel is not None
        assert otel.traces is not None
        assert otel.traces.otlp is not None
        transport = Transport(otel.traces.otlp, Outcome("traces"))
        sent = thread.submit(transport.request, "POST", url, data=b"one")
        lost, _ = server.accept()
        lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        lost.close()
        assert transport.is_connection_error(sent.result(PATIENCE).error)
        sent = thread.submit(transport.request, "POST", url, data=b"two")
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PATIENCE)
            while b"two" not in connection.recv(1 << 16):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert sent.result(PATIENCE).status_code == 200
            transport.close()
            assert connection.recv(1) == b""
