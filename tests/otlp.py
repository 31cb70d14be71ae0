"""A collector for tests: a real OTLP receiver, over HTTP and gRPC, that can fail in many ways.

::

    async with Receiver() as receiver:
        ...  # export to receiver.http or receiver.grpc, or with receiver.environment()
        await receiver.until(lambda: len(receiver.spans) == 3)
        await receiver.fail(REFUSE)
        ...
        await receiver.heal()

It runs on the loop of the test: what blocks that loop keeps it from answering, so close exporters
in a thread.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, Self

import grpc
import trustme
from aiohttp import web
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from certificates import expired, write
from otlp_data import SERVICES, LogRecord, Metric, Request, Signal, Span
from otlp_faults import ANSWERED, CODES, NONE, Door, Fault


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PATIENCE = 30.0


def certify(folder: Path) -> None:
    """Write certificates and keys.

    ``ca.pem`` signs ``server`` and ``client``; ``expired`` is a server's, too, that ended
    yesterday, and ``stranger`` is one that somebody else signed.
    """
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    names = ("localhost", "127.0.0.1")
    write(folder, "server", ca.issue_cert(*names))
    write(folder, "client", ca.issue_cert("client.example"))
    write(folder, "expired", expired(ca, *names))
    write(folder, "stranger", other.issue_cert(*names))


class Receiver:
    """A collector.

    Args:
        tls: a folder of ``certify``, for TLS.
        certificate: that it shows.
        mutual: whether clients need one.

    Attributes:
        http: where it is, for OTLP over HTTP, without the path.
        grpc: where it is, for OTLP over gRPC.
        requests: those that were taken, in order.
        refused: how many requests were answered with a status that is none of success.
        hung: how many requests were taken and not answered.
        connections: how many there were, by protocol.
        size: bytes that came, by protocol.
    """

    def __init__(
        self, *, tls: Path | None = None, certificate: str = "server", mutual: bool = False
    ) -> None:
        self._tls = tls
        self._certificate = certificate
        self._mutual = mutual
        self._fault = NONE
        self._arrived = asyncio.Event()
        self._released = threading.Event()
        self._doors = {
            protocol: Door(lambda: self._fault, self._arrived.set) for protocol in ("http", "grpc")
        }
        self.requests: list[Request] = []
        self.refused = self.hung = 0

    @property
    def http(self) -> str:
        """The base of its URLs."""
        return self._url("http")

    @property
    def grpc(self) -> str:
        """Its URL."""
        return self._url("grpc")

    def _url(self, protocol: str) -> str:
        return f"http{'s' if self._tls else ''}://localhost:{self._doors[protocol].port}"

    def environment(
        self, protocol: Literal["http", "grpc"] = "http", **more: str
    ) -> dict[str, str]:
        """The variables that export traces and logs to it, at once.

        Args:
            protocol: how.
            more: variables without ``OTEL_``, in lower case: ``traces_exporter="none"``.
        """
        found = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._url(protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf" if protocol == "http" else "grpc",
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_BLRP_SCHEDULE_DELAY": "10",
        }
        if self._tls:
            found["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(self._tls / "ca.pem")
        if self._mutual:
            found["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] = str(self._tls / "client.pem")
            found["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = str(self._tls / "client.key")
        return found | {f"OTEL_{name.upper()}": value for name, value in more.items()}

    # ---- what it got

    @property
    def spans(self) -> list[Span]:
        """All spans, in the order in which they came."""
        return self._items("traces")

    @property
    def logs(self) -> list[LogRecord]:
        """All log records."""
        return self._items("logs")

    @property
    def metrics(self) -> list[Metric]:
        """All metrics, those of each export after those of the one before."""
        return self._items("metrics")

    def span(self, name: str) -> Span:
        """The only span of that name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans {name!r} of {[s.name for s in self.spans]}"
        return found[0]

    def _items(self, signal: Signal) -> list[Any]:
        return [item for one in self.requests if one.signal == signal for item in one.items]

    @property
    def connections(self) -> dict[str, int]:
        """How many connections there were."""
        return {name: door.connections for name, door in self._doors.items()}

    @property
    def size(self) -> dict[str, int]:
        """How many bytes came."""
        return {name: door.size for name, door in self._doors.items()}

    async def until(self, reached: Callable[[], Any], what: str = "") -> None:
        """Wait until something is so, which is looked at whenever something has come."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not reached():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            names = [span.name for span in self.spans]
            more = f"{len(self.logs)} logs, {len(self.metrics)} metrics, {self.refused} refused"
            raise AssertionError(f"waited {PATIENCE} s for {what}: {names}, {more}") from None

    async def until_spans(self, number: int) -> list[Span]:
        """Wait for so many spans."""
        await self.until(lambda: len(self.spans) >= number, f"{number} spans")
        return self.spans

    async def until_logs(self, number: int) -> list[LogRecord]:
        """Wait for so many log records."""
        await self.until(lambda: len(self.logs) >= number, f"{number} log records")
        return self.logs

    # ---- how it fails

    async def fail(self, fault: Fault) -> None:
        """Fail from now on; connections that there are end, unless all requests are answered."""
        kinds = {self._fault.kind, fault.kind}
        self._fault = fault
        if kinds <= ANSWERED:
            return  # else what was taken and not answered would be sent again
        self._released.set()
        self._released = threading.Event()
        for door in self._doors.values():
            door.reset()
            if fault.kind == "refuse":
                await door.shut()
            elif not door.open:
                await door.start(door.port)

    async def heal(self) -> None:
        """Fail no more."""
        await self.fail(NONE)

    # ---- running

    async def __aenter__(self) -> Self:
        """Listen, with ports that the system chose."""
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=1 << 28)
        for signal in SERVICES:
            app.router.add_post(f"/v1/{signal}", self._post)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context())
        await site.start()
        self._server = grpc.server(
            ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        for signal, service in SERVICES.items():
            service.register(_Servicer(self, signal), self._server)
        credentials = self._credentials()
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()
        self._doors["http"].behind = self._runner.addresses[0][1]
        self._doors["grpc"].behind = port
        for door in self._doors.values():
            await door.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop; nothing is left behind."""
        self._released.set()
        for door in self._doors.values():
            door.reset()
            await door.shut()
            await door.gone()
        await self._runner.cleanup()
        await asyncio.to_thread(self._server.stop(0).wait)

    def _context(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        files = (self._tls / f"{self._certificate}.{kind}" for kind in ("pem", "key"))
        context.load_cert_chain(*files)
        if self._mutual:
            context.load_verify_locations(self._tls / "ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _credentials(self) -> grpc.ServerCredentials | None:
        if self._tls is None:
            return None
        key, chain = ((self._tls / f"{self._certificate}.{e}").read_bytes() for e in ("key", "pem"))
        ca = (self._tls / "ca.pem").read_bytes() if self._mutual else None
        return grpc.ssl_server_credentials([(key, chain)], ca, require_client_auth=self._mutual)

    # ---- requests

    async def _post(self, request: web.Request) -> web.StreamResponse:
        fault = self._fault
        body = await request.read()
        if fault.kind == "status":
            self._refuse()
            headers = (
                {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
            )
            headers |= {"Location": fault.location} if fault.location else {}
            return web.Response(status=fault.status, headers=headers)
        if fault.kind == "hang":
            self._hang()
            await asyncio.Event().wait()  # until the connection ends
        await asyncio.sleep(fault.seconds)
        signal: Any = request.path.rpartition("/")[2]
        service = SERVICES[signal]
        peer = (request.transport and request.transport.get_extra_info("peercert")) or {}
        client = "".join(name for _, name in peer.get("subjectAltName", ()))
        headers = {name.lower(): value for name, value in request.headers.items()}
        items = service.items(service.request.FromString(body))
        self._take(Request(signal, "http", request.path, headers, client, items))
        if fault.kind == "endless":
            endless = web.StreamResponse()
            await endless.prepare(request)
            while True:
                await endless.write(bytes(1 << 16))
        answer = service.answered(fault.rejected)
        return web.Response(body=answer.SerializeToString(), content_type="application/x-protobuf")

    def _take(self, request: Request) -> None:
        self.requests.append(request)
        self._arrived.set()

    def _hang(self) -> None:
        self.hung += 1
        self._arrived.set()

    def _refuse(self) -> None:
        self.refused += 1
        self._arrived.set()

    def serve(self, signal: Signal, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer a call of gRPC, in any thread."""
        fault, released = self._fault, self._released
        if fault.kind == "status":
            self._loop.call_soon_threadsafe(self._refuse)
            if fault.retry_after is not None:
                info = RetryInfo(retry_delay=Duration(seconds=fault.retry_after))
                context.set_trailing_metadata(
                    (("google.rpc.retryinfo-bin", info.SerializeToString()),)
                )
            context.abort(CODES[fault.status], f"as the test says: {fault.status}")
        if fault.kind == "hang":
            self._loop.call_soon_threadsafe(self._hang)
            released.wait()
            context.abort(grpc.StatusCode.CANCELLED, "the test is over")
        released.wait(fault.seconds)
        names = context.auth_context().get("x509_subject_alternative_name", ())
        client = b"".join(names).decode()
        headers = {pair.key: pair.value for pair in context.invocation_metadata()}
        path = f"/{signal}"
        items = SERVICES[signal].items(request)
        taken = Request(signal, "grpc", path, headers, client, items)
        self._loop.call_soon_threadsafe(self._take, taken)
        return SERVICES[signal].answered(fault.rejected)

    @property
    def fault(self) -> Fault:
        """How it fails now."""
        return self._fault


class _Servicer:
    """A service of gRPC."""

    def __init__(self, receiver: Receiver, signal: Signal) -> None:
        self._receiver = receiver
        self._signal = signal

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - its name
        """Take a request."""
        return self._receiver.serve(self._signal, request, context)
