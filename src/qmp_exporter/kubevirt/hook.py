"""The gRPC services of a hook, as virt-launcher calls them.

The order, in ``kubevirt.io/kubevirt`` v1.7.0: ``Info`` of each hook before libvirt is started, with
a second for the answer, or virt-launcher ends (``pkg/hooks/manager.go``); ``OnDefineDomain`` before
the domain is defined, and once on the destination of a migration, where the answer is not used
(``virtwrap/live-migration-target.go``); ``Shutdown`` when QEMU has ended. An error as the answer of
``OnDefineDomain`` would keep the machine from starting, so there is none, whatever the document is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.errors import ConfigError, DomainError, ListenError
from qmp_exporter.kubevirt import protocol
from qmp_exporter.kubevirt.domain import name_of, with_monitor


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.kubevirt.place import Place


log = logging.getLogger(__name__)

LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes. gRPC's own limit is 4 MiB, and beyond it the machine would not start."""

LEAVE: Final = 2.0
"""Seconds for an answer that is under way when the hook ends."""

PRIORITIES: Final = {protocol.ON_DEFINE_DOMAIN: -1000, protocol.SHUTDOWN: 0}
"""What it is called for. Last, since some hooks write the document anew, without what we put in.

(In v1.7.0 the order of hooks is that of their directories: ``sortCallbacksPerHookPoint`` sorts the
points of each.)
"""


def library() -> Any:
    """Return gRPC.

    Raises:
        ConfigError: it is not installed.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters of it is an exception, too
    try:
        return import_module("grpc")
    except ImportError:
        raise ConfigError(
            "kubevirt-hook takes the extra kubevirt: pip install 'qmp-exporter[kubevirt]'"
        ) from None


class Hook:
    """The server of a hook.

    Args:
        place: where its socket is, and what QEMU is given.
        defined: called with the domain's name when its QEMU will have the monitor.
        ended: called when virt-launcher says that QEMU has ended.

    Raises:
        ConfigError: gRPC is not installed.
    """

    def __init__(
        self, place: Place, defined: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        self._grpc = library()
        self._place = place
        self._defined = defined
        self._ended = ended
        self._server: Any = None

    async def start(self) -> None:
        """Take calls from now on.

        Raises:
            ListenError: the socket cannot be made.
        """
        aio = import_module("grpc.aio")
        sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
        server = aio.server(options=[(size, LARGEST_MESSAGE) for size in sizes])
        server.add_generic_rpc_handlers(self._handlers())
        path = self._place.hook
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError:  # which says no more than that
            await server.stop(None)
            raise ListenError(f"{path}: cannot listen there for virt-launcher") from None
        self._server = server
        await server.start()
        log.info("virt-launcher may call the hook %s at %s", self._place.name, path)

    async def stop(self) -> None:
        """Take no more calls, and let those under way end."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(LEAVE)
            with suppress(OSError):
                os.unlink(self._place.hook)  # noqa: PTH108 - a text

    def _handlers(self) -> tuple[Any, ...]:
        # Without functions for messages they come and go as bytes.
        unary = self._grpc.unary_unary_rpc_method_handler
        service = self._grpc.method_handlers_generic_handler
        define, shutdown = unary(self._on_define_domain), unary(self._on_shutdown)
        return (
            service(protocol.INFO, {"Info": unary(self._on_info)}),
            *(
                service(
                    protocol.CALLBACKS.format(version),
                    {protocol.ON_DEFINE_DOMAIN: define}
                    | ({protocol.SHUTDOWN: shutdown} if version == protocol.VERSIONS[0] else {}),
                )
                for version in protocol.VERSIONS
            ),
        )

    async def _on_info(self, _params: bytes, _context: Any) -> bytes:
        return protocol.info_result(self._place.name, PRIORITIES)

    async def _on_define_domain(self, params: bytes, context: Any) -> bytes:
        try:
            xml = protocol.domain_of(params)
        except ValueError as err:  # then there is nothing to give back
            log.error("virt-launcher sent no OnDefineDomainParams: %s", err)  # noqa: TRY400
            await context.abort(self._grpc.StatusCode.INVALID_ARGUMENT, str(err))
            raise
        # In a thread: a large one takes its time, and Info has a second.
        return protocol.on_define_domain_result(await asyncio.to_thread(self._changed, xml))

    def _changed(self, xml: bytes) -> bytes:
        """Return the document with the monitor, or as it is where that cannot be."""
        path = self._place.monitor_of_qemu
        try:
            changed = with_monitor(xml, path)
            name = name_of(changed)
        except DomainError as err:
            log.error("the domain stays as it is, and is not watched: %s", err)  # noqa: TRY400
            return xml
        except Exception:
            log.exception("a fault of the exporter: the domain stays as it is, and is not watched")
            return xml
        log.info("the domain %s gets a monitor at %s", name[:512], path)
        self._defined(name)
        return changed

    async def _on_shutdown(self, _params: bytes, _context: Any) -> bytes:
        log.info("virt-launcher says that QEMU has ended")
        self._ended()
        return b""
