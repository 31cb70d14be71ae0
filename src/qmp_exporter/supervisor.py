"""The watch over all monitors: which sessions there are, and what begins and ends them."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.discovery.find import Search
from qmp_exporter.discovery.scan import Found
from qmp_exporter.errors import ListenError
from qmp_exporter.model.inputs import Link
from qmp_exporter.qmp.listen import Listener
from qmp_exporter.qmp.session import Observer, Session
from qmp_exporter.qmp.transport import DialledIn, Dialling


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.config.settings import Settings
    from qmp_exporter.model.inputs import Ask, Input
    from qmp_exporter.model.target import Listening, Target
    from qmp_exporter.pipeline import Pipeline
    from qmp_exporter.qmp.connection import Connection
    from qmp_exporter.qmp.context import Context
    from qmp_exporter.qmp.transport import Transport
    from qmp_exporter.telemetry.self_metrics import SelfMetrics


log = logging.getLogger(__name__)


class Supervisor:
    """The watch over all monitors.

    Args:
        settings: which monitors.
        context: what all connections share.
        pipeline: where inputs go.
        own: the exporter's own metrics.
    """

    def __init__(
        self, settings: Settings, context: Context, pipeline: Pipeline, own: SelfMetrics
    ) -> None:
        self._settings = settings
        self._context = context
        self._pipeline = pipeline
        self._own = own
        self._tasks: asyncio.TaskGroup
        self._watches: dict[str, _Watch] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._listeners: dict[str, tuple[Listener, asyncio.Task[None]]] = {}
        self._search: asyncio.Task[None] | None = None
        self._skipped: frozenset[str] = frozenset()
        # Watched by settings that were replaced; the next scan says what still wants them.
        self._unclaimed: set[str] = set()

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Watch what the settings name; return when the first scan is done.

        Raises:
            ListenError: a socket for QEMU to dial in cannot be bound.
        """
        self._tasks = tasks
        opened = self._opened(self._settings.listeners)
        for listener in opened:
            self._listen(listener)
        for target in self._settings.targets:
            self._claim(target)
        search = self._new_search()
        if search is not None:
            await search.once()
            self._search = tasks.create_task(search.run())

    def apply(self, settings: Settings, context: Context) -> None:
        """Watch what other settings name; a connection that both name stays as it is.

        Raises:
            ListenError: a socket for QEMU to dial in cannot be bound; then nothing has changed.
        """
        known = self._listeners
        opened = self._opened([one for one in settings.listeners if one.path not in known])
        changed: list[tuple[Listener, Listening]] = []
        try:
            for listening in settings.listeners:
                if listening.path in known:
                    listener, _ = known[listening.path]
                    changed.append((listener, listener.listening))
                    listener.change(listening)
        except BaseException:
            for listener, was in changed:
                with suppress(ListenError):
                    listener.change(was)
            for listener in opened:
                listener.close()
            raise
        self._settings, self._context = settings, context
        for listener in opened:
            self._listen(listener)
        self._leave_listeners({listening.path for listening in settings.listeners})
        named = {target.address: target for target in settings.targets}
        for target in named.values():
            self._claim(target)
        self._unclaimed = {
            address
            for address, watch in self._watches.items()
            if address not in named and not watch.target.dialled_in
        }
        if self._search is not None:
            self._search.cancel()
            self._search = None
        search = self._new_search()
        if search is None:
            self._settle(Found({}, {}))
        else:
            self._search = self._tasks.create_task(search.run(at_once=True))

    def tick(self, now: float) -> None:
        """Look after what only time changes; ``now`` in monotonic seconds."""
        for watch in self._watches.values():
            watch.session.tick(now)
        for listener, task in list(self._listeners.values()):
            if listener.missing:
                self._listen_again(listener, task)
        most = self._settings.max_targets
        for address in self._pipeline.expire(now - self._settings.vm_grace, most):
            self._end(address)

    # ---- monitors that are dialled

    def _dial(self, target: Target) -> None:
        self._begin(target, Dialling(target, self._context))

    def _claim(self, target: Target) -> None:
        """Watch a monitor as the settings want it now."""
        watch = self._watches.get(target.address)
        if watch is None:
            self._pipeline.add(target)
            self._dial(target)
        elif watch.target == target:
            watch.session.transport.wake()
        else:
            self._end(target.address)
            if self._pipeline.fleet.vm(target.address).watched:
                link = Link(TargetState.CONNECTING, time(), monotonic(), lost=LostCause.RELOAD)
                self._pipeline.feed(target.address, link)
            self._pipeline.retarget(target)
            self._dial(target)

    def _new_search(self) -> Search | None:
        """Return the search for what the settings want; none if there is nothing to look for."""
        settings = self._settings
        paths = [target.address for target in settings.targets if not target.tcp]
        if not (settings.patterns or paths):
            return None
        return Search(settings.patterns, settings.max_targets, self._discovered, paths)

    def _discovered(self, found: Found) -> None:
        """Take what a scan found."""
        named = {target.address for target in self._settings.targets}
        ours = self._ours(found.targets.keys() - self._watches.keys())
        for address, target in found.targets.items():
            if address not in named and address not in ours:
                self._claim(target)
        for address in named:
            self._watches[address].session.transport.wake()
        self._skip(found.skipped)
        self._settle(found)
        for address, watch in list(self._watches.items()):
            target = watch.target
            if not (target.named or target.dialled_in or address in found.targets):
                watch.session.transport.wake()
                if self._pipeline.leave(address):
                    self._end(address)

    def _ours(self, new: set[str]) -> set[str]:
        """Return those at which QEMU dials in, which a pattern may match, too."""
        if not (new and self._listeners):
            return set()
        paths = set(map(os.path.realpath, self._listeners))
        return {address for address in new if os.path.realpath(address) in paths}

    def _settle(self, found: Found) -> None:
        """Leave what was watched by settings that are no more, and is named by none now."""
        for address in self._unclaimed - found.targets.keys():
            self._end(address)
            self._pipeline.drop(address)
        self._unclaimed = set()

    def _skip(self, skipped: dict[str, str]) -> None:
        """Count and tell, once, what a pattern matches and is not watched."""
        new = skipped.keys() - self._skipped
        for reason in sorted({skipped[path] for path in new}):
            paths = sorted(path for path in new if skipped[path] == reason)
            self._own.add("qmp_exporter_discovery_skipped_total", len(paths), reason)
            log.warning("not watched: %d paths, %s, such as %s", len(paths), reason, paths[0])
        self._skipped = frozenset(skipped)

    # ---- QEMUs that dial in

    def _opened(self, wanted: Iterable[Listening]) -> list[Listener]:
        """Return listeners that are bound: all, or none and an error."""
        opened: list[Listener] = []
        try:
            for listening in wanted:
                listener = Listener(listening, self._context, self._dialled_in, self._rejected)
                listener.open()
                opened.append(listener)
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        return opened

    def _listen(self, listener: Listener) -> None:
        path = listener.listening.path
        log.info("QEMU may dial in at %s", path)
        task = self._tasks.create_task(listener.run(), name=path)
        task.add_done_callback(lambda _: listener.close())
        self._listeners[path] = listener, task

    def _listen_again(self, listener: Listener, task: asyncio.Task[None]) -> None:
        """Make the socket anew whose path somebody took away; its connections stay."""
        try:
            opened = self._opened((listener.listening,))
        except ListenError as err:
            listener.miss(str(err))
            return
        task.cancel()
        self._listen(opened[0])

    def _leave_listeners(self, wanted: set[str]) -> None:
        for path in self._listeners.keys() - wanted:
            _, task = self._listeners.pop(path)
            task.cancel()
            for address, watch in list(self._watches.items()):
                if watch.target.dialled_in and watch.target.path == path:
                    self._end(address)
                    self._pipeline.drop(address)

    def _dialled_in(self, listening: Listening, connection: Connection) -> str:
        """Take a connection, or return why not."""
        address = self._address(listening.path, connection)
        watch = self._watches.get(address)
        if watch is None:
            if self._crowded():
                return "too-many"
            target = msgspec.structs.replace(connection.target, address=address)
            self._pipeline.add(target)
            transport = DialledIn(self._context.timing)
            self._begin(target, transport)
        else:
            found = watch.session.transport
            watched = self._pipeline.fleet.vm(address).watched
            if not isinstance(found, DialledIn) or not found.free or watched:
                return "duplicate"
            transport = found
        transport.take(connection)
        return ""

    def _address(self, path: str, connection: Connection) -> str:
        """Return what tells a QEMU from the others at one socket: its pid, if that is seen."""
        identity = connection.identity
        assert identity is not None  # noqa: S101 - it is identified before it is taken
        if identity.pid is not None:
            return f"{path}#{identity.pid}"
        who = address = f"{path}#{identity.uuid or identity.name}"
        number = 1
        while address in self._watches and self._pipeline.fleet.vm(address).watched:
            number += 1
            address = f"{who}~{number}"
        return address

    def _crowded(self) -> bool:
        most = self._settings.max_targets
        if len(self._watches) < most:
            return False
        return sum(not member.vm.ended for member in self._pipeline.fleet) >= most

    def _rejected(self, reason: str) -> None:
        self._own.add("qmp_exporter_listen_rejected_total", 1, reason)

    # ---- both

    def _begin(self, target: Target, transport: Transport) -> None:
        observer = _Observer(self._pipeline, target.address)
        session = Session(target, observer, transport, self._context)
        run = _run(session, self._ending.get(target.address))
        task = self._tasks.create_task(run, name=target.address)
        self._watches[target.address] = _Watch(target, session, task, observer)

    def _end(self, address: str) -> None:
        watch = self._watches.pop(address)
        watch.observer.deaf = True
        watch.task.cancel()
        ended = self._tasks.create_task(_ended(watch, self._ending.get(address)))
        self._ending[address] = ended

        def forget(_: object) -> None:
            if self._ending.get(address) is ended:
                del self._ending[address]

        ended.add_done_callback(forget)


async def _run(session: Session, after: asyncio.Task[None] | None) -> None:
    if after is not None:  # a monitor serves one client
        await asyncio.wait((after,))
    await session.run()


async def _ended(watch: _Watch, before: asyncio.Task[None] | None) -> None:
    """Return when a watch that was cancelled, and those of its monitor before it, have let go."""
    try:
        await asyncio.wait((watch.task, before) if before else (watch.task,))
    finally:
        await watch.session.transport.close()  # of a task that was cancelled before it began


class _Watch(msgspec.Struct, frozen=True):
    """A session that runs."""

    target: Target
    session: Session
    task: asyncio.Task[None]
    observer: _Observer


class _Observer(Observer):
    """What the session of one monitor tells, with the address of that monitor."""

    def __init__(self, pipeline: Pipeline, address: str) -> None:
        self._pipeline = pipeline
        self._address = address
        self.deaf = False

    def feed(self, given: Input) -> tuple[Ask, ...]:
        if self.deaf:  # the session ends; the address may be another one's
            return ()
        return self._pipeline.feed(self._address, given)

    def decode_error(self, event: str) -> None:
        if self.deaf:
            return
        self._pipeline.decode_error(self._address, event)

    def again(self, lines: list[bytes], start: int, end: int) -> int:
        return start if self.deaf else self._pipeline.again(self._address, lines, start, end)
