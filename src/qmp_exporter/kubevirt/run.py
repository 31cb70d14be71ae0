"""The hook and the exporter in one process, from the start of the pod to the end of QEMU."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.app import App
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.errors import QmpExporterError, first
from qmp_exporter.kubevirt.hook import Hook
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.settings import Settings
    from qmp_exporter.kubevirt.place import Place
    from qmp_exporter.service import Service


log = logging.getLogger(__name__)

LOOK: Final = 0.5
"""Seconds between two looks whether QEMU is there, once a signal came."""

CALL: Final = 3.0
"""Seconds for virt-launcher, which looks each second, to say that QEMU has ended."""

LONGEST_NAME: Final = 512
"""Characters of a domain's name, which KubeVirt makes of a namespace and a name, at most 317."""


async def serve(
    settings: Settings, place: Place, reread: Callable[[], Settings], service: Service
) -> None:
    """Serve as a hook, and export what happens to the machine, until QEMU has ended.

    SIGTERM goes to all containers of a pod at once, and virt-launcher then shuts the guest down: as
    long as QEMU is there, this waits for its end, or for a second signal.

    Args:
        settings: of the exporter, which may name other monitors, too.
        place: where the sockets are.
        reread: returns the settings as they are now.
        service: the service that this is.

    Raises:
        ConfigError: gRPC is not installed.
        ListenError: an address or the hook's socket cannot be had.
    """
    await _Sidecar(settings, place, reread, service).run()


class _Sidecar:
    def __init__(
        self, settings: Settings, place: Place, reread: Callable[[], Settings], service: Service
    ) -> None:
        self._place = place
        self._reread = reread
        self._target: Target | None = None
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._told = asyncio.Event()
        self._reload = asyncio.Event()
        self._hook = Hook(place, self._defined, self._over.set)
        self._app = App(settings, reread=self._settings, service=service)

    async def run(self) -> None:
        started = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, self._signalled)
        try:
            async with asyncio.TaskGroup() as tasks:
                exporter = tasks.create_task(self._app.run(started.set))
                helpers = tasks.create_task(self._watch()), tasks.create_task(self._leave())
                await started.wait()
                # Not before: from here on virt-launcher wants an answer within a second.
                await self._hook.start()
                try:
                    await self._over.wait()
                finally:
                    await self._hook.stop()
                for task in (exporter, *helpers):
                    task.cancel()
        except BaseExceptionGroup as group:
            raise first(group) from group

    def _settings(self) -> Settings:
        """Return the settings as they are now, with the monitor of the machine."""
        return self._with_target(self._reread())

    def _with_target(self, settings: Settings) -> Settings:
        if self._target is None:
            return settings
        return msgspec.structs.replace(settings, targets=(*settings.targets, self._target))

    def _defined(self, name: str) -> None:
        """Watch the monitor from now on; called in a thread."""
        self._target = Target(self._place.monitor, name=name if len(name) <= LONGEST_NAME else "")
        self._loop.call_soon_threadsafe(self._reload.set)

    async def _watch(self) -> None:
        """Let the exporter know of the monitor whenever a domain has got it."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                await self._app.reload()
            except QmpExporterError as err:
                log.error("the machine is not watched: %s", err)  # noqa: TRY400 - one line

    def _signalled(self) -> None:
        if self._told.is_set():
            self._over.set()
        self._told.set()

    async def _leave(self) -> None:
        """Once a signal came, end as soon as QEMU has."""
        await self._told.wait()
        if self._connected():
            log.info("told to end; QEMU is still there, and its end is waited for")
            while self._connected():  # noqa: ASYNC110 - a count, which no event tells of
                await asyncio.sleep(LOOK)
            # It would wait for a hook that is no more.
            await asyncio.wait((asyncio.ensure_future(self._over.wait()),), timeout=CALL)
        self._over.set()

    def _connected(self) -> bool:
        """Whether a monitor is connected; in a pod there is that of the machine alone."""
        states = self._app.own.rows("qmp_exporter_targets")
        return bool(states.get((TargetState.CONNECTED,), 0))
