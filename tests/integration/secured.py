"""A server with a web configuration file, and clients with certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import bcrypt
import trustme

from certificates import write
from qmp_exporter.telemetry.body import Piece
from qmp_exporter.web import Overview, Server, build, parse_address
from qmp_exporter.web.security import Security


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE = 15.0
BODY = b"qemu_up 1\n"
HASH = bcrypt.hashpw(b"test", bcrypt.gensalt(4)).decode()
CREDENTIALS = "Authorization: Basic YWxpY2U6dGVzdA=="
"""Of alice, whose password is test."""

TLS = """\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
"""
MUTUAL = f"""\
{TLS}  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
"""


async def until(reached: Callable[[], bool], shown: Callable[[], object] = str) -> None:
    """Wait until something is so, and show something if it never is."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if reached():
                    return
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE} s: {shown()}") from None


class Authority:
    """A certificate authority, with the certificate of a server in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(folder / "ca.pem")
        self.serve()

    def serve(self) -> None:
        """Write another certificate for the server."""
        write(self.folder, "server", self.ca.issue_cert("localhost", "127.0.0.1"))

    def client(self, made: trustme.LeafCert | None = None, **limits: Any) -> ssl.SSLContext:
        """A client that trusts this authority, and shows a certificate if it has one."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if made is not None:
            made.configure_cert(context)
        for name, value in limits.items():
            setattr(context, name, value)
        return context


class Secured:
    """What runs.

    Attributes:
        url: of its metrics.
        security: the state of the file.
        failed: failed handshakes by reason.
        rejected: rejected requests by status code.
        reloads: whether each reload was successful.
        server: of HTTP.
    """

    def __init__(self, path: Path, **server: Any) -> None:
        self.reloads: list[bool] = []
        self.failed: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.security = Security(str(path), self.reloads.append)
        app = build(
            render=server.pop("render", lambda accept, names: ((Piece(BODY),), "text/plain")),  # noqa: ARG005
            overview=lambda: Overview(version="1", now=1e6, rows=(), links=()),
            config=lambda: "",
            reload=mock.AsyncMock(),
            ready=lambda: None,
            healthy=lambda: None,
            rejected=self._rejected,
            security=self.security,
        )
        handshakes = self.security.handshakes(self._failed)
        address = parse_address(server.pop("address", "127.0.0.1:0"))
        options = {"tls": handshakes, "rejected": self._rejected} | server
        self.handshakes = handshakes
        self.server = Server(app, [address], **options)

    @property
    def url(self) -> str:
        """Where it is, by a name that the certificate has."""
        return self.server.bound[0].replace("127.0.0.1", "localhost")

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.server.bound[0].rpartition(":")[2])

    async def until_failed(self, **expected: int) -> None:
        """Wait until so many handshakes have failed."""
        await until(lambda: self.failed == expected, lambda: (expected, self.failed))

    async def get(
        self, context: ssl.SSLContext | None = None, path: str = "/metrics", *fields: str
    ) -> tuple[int, str]:
        """Get a page over a connection of its own; its status and text."""
        status, _, body = await self.ask(context, f"GET {path}", *fields)
        return status, body

    async def ask(
        self, context: ssl.SSLContext | None, request: str, *fields: str
    ) -> tuple[int, dict[str, str], str]:
        """Ask once, over a connection of its own.

        Raises:
            OSError: there is no connection, or no answer; of TLS, ssl.SSLError.
        """
        named = {"ssl": context, "server_hostname": "localhost"} if context else {}
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **named)
            try:
                lines = [f"{request} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
                writer.write("\r\n".join([*lines, "", ""]).encode())
                answer = (await reader.read()).decode()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        if not answer:
            raise ConnectionResetError("no answer")
        head, _, body = answer.partition("\r\n\r\n")
        first, *rest = head.split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body

    def _rejected(self, code: str) -> None:
        self.rejected[code] += 1

    def _failed(self, reason: str) -> None:
        self.failed[reason] += 1


@asynccontextmanager
async def secured(folder: Path, text: str, **server: Any) -> AsyncIterator[Secured]:
    """Run a server with a web configuration file; no task is left behind."""
    path = folder / "web.yml"
    path.write_text(text)
    before = asyncio.all_tasks()
    running = Secured(path, **server)
    await running.server.start()
    try:
        yield running
    finally:
        await running.server.stop()
        await until(lambda: not asyncio.all_tasks() - before, asyncio.all_tasks)
