"""One QEMU without a guest, from its start to the last file removed.

The CPU finds a ROM of four instructions at the reset vector and halts, so an idle machine costs
no CPU time, no firmware gets in the way and nothing has to be downloaded. What a guest would do
is done from outside, through QEMU's qtest socket: see `devices` and `disks`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, TypeVar

from qmp_exporter.demo import leash
from qmp_exporter.demo.channel import ChannelClosedError, Control, LabError, Qtest
from qmp_exporter.demo.command import arguments, find_qemu, halt_rom


if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


ANSWER_TIMEOUT = 30.0
"""Seconds for one reply of QEMU. A dump that does not detach blocks QEMU for a second or so."""

PATIENCE = 10.0
"""Seconds to wait for a state."""

POLL_INTERVAL = 0.005
"""Seconds between two questions for it."""

LONGEST_SOCKET_PATH = 107
"""Bytes that fit into ``sun_path``, see unix(7)."""


_Channel = TypeVar("_Channel", Control, Qtest)


class MachineError(LabError):
    """A machine cannot be started, or has ended while it was needed."""


class Machine:
    """A QEMU process as an asynchronous context manager.

    Every file of a machine begins with its name and a dot (``web.qmp``, ``web.rom``); leaving the
    context ends QEMU with SIGKILL and removes them all. `start` begins again after QEMU ended, on
    the same paths.

    Args:
        directory: where the machine keeps its files, and QEMU's working directory. It must exist.
        name: letters, digits, ``-`` and ``_``; also what ``query-name`` says.
        args: more arguments of QEMU. The last one wins: ``-m``, ``-name``, ``-machine``.
        uuid: what ``query-uuid`` says; none by default.
        monitor: what follows ``-qmp`` for the exporter's monitor, which serves one client. By
            default QEMU listens on ``NAME.qmp``; ``unix:hub.sock,server=off`` dials instead.
        binary: the QEMU to run, by default what `find_qemu` finds.

    Attributes:
        monitor: path of the exporter's monitor, where `monitor` was left alone.

    Raises:
        ValueError: the name is not a name.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *args: str,
        uuid: str | None = None,
        monitor: str | None = None,
        binary: str | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"name of a machine: found {name!r}, expected letters, digits, - or _")
        self.directory = directory
        self.name = name
        self.monitor = directory / f"{name}.qmp"
        self._args = args
        self._uuid = uuid
        self._monitor = monitor or f"unix:{name}.qmp,server=on,wait=off"
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        self._control: Control | None = None
        self._qtest: Qtest | None = None
        self._stderr: IO[bytes] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """Process id of QEMU, also after it ended."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the process is alive; the guest in it may be paused."""
        return self._process is not None and self._process.returncode is None

    @property
    def qtest(self) -> Qtest:
        """The guest's view: ports and memory."""
        if self._qtest is None:
            raise MachineError(f"{self.name}: not started")
        return self._qtest

    async def start(self) -> None:
        """Start QEMU; it has run its main loop when this returns.

        Where that fails, files stay for the next try: `close` removes them.

        Raises:
            MachineError: QEMU is not installed, or ended at once: with its own words.
            RuntimeError: it runs already.
        """
        if self.running:
            raise RuntimeError(f"{self.name}: runs already, process {self.pid}")
        if len(os.fsencode(self.monitor)) > LONGEST_SOCKET_PATH:
            raise MachineError(f"{self.monitor}: too long for a socket, choose a shorter directory")
        self._disconnect()
        ready = False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._spawn()
                await self._connected().negotiate()
            ready = True
        except (ChannelClosedError, TimeoutError) as error:
            reason = await self._last_words()
            raise MachineError(f"{self.name}: QEMU did not start: {reason}") from error
        finally:
            if not ready:
                await self.kill()

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command on the lab's own monitor and return what it returns.

        Raises:
            CommandError: QEMU refused.
            MachineError: QEMU is not running, ended meanwhile, or did not answer.
        """
        control = self._connected()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await control.execute(command, arguments)
        except ChannelClosedError as error:
            raise MachineError(f"{self.name}: {command}: {await self._last_words()}") from error
        except TimeoutError as error:
            waited = f"no answer in {ANSWER_TIMEOUT:g} s"
            raise MachineError(f"{self.name}: {command}: {waited}") from error

    async def hmp(self, line: str) -> str:
        """Run a line of QEMU's monitor for people and return what it printed."""
        printed = await self.execute("human-monitor-command", **{"command-line": line})
        return str(printed)

    async def status(self) -> str:
        """Return the run state, for example ``running``, ``paused`` or ``io-error``."""
        reply = await self.execute("query-status")
        return str(reply["status"])

    async def until(self, *wanted: str, query: str = "query-status") -> str:
        """Ask until the ``status`` in the reply is one of those wanted; return it.

        Raises:
            CommandError: QEMU refused `query`.
            MachineError: `PATIENCE` is over, or QEMU ended.
        """
        status = None
        for _ in range(int(PATIENCE / POLL_INTERVAL)):
            reply = await self.execute(query)
            status = reply.get("status")
            if status in wanted:
                return str(status)
            await asyncio.sleep(POLL_INTERVAL)
        expected = " or ".join(sorted(wanted))
        raise MachineError(f"{self.name}: {query} says {status}, expected {expected}")

    async def wait(self) -> int:
        """Wait until QEMU has ended; return its exit status, negative for a signal."""
        return await self._started().wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to QEMU, for example SIGSTOP. Nothing where it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """End QEMU without a word, as a crash or the kernel's out-of-memory killer does.

        Its sockets stay behind, which is what a client then finds: ECONNREFUSED.
        """
        if self.running:
            # The group: a migration to exec: has a shell under it. QEMU may have ended by itself
            # a moment ago.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.wait()

    async def terminate(self) -> int:
        """End QEMU with SIGTERM (event SHUTDOWN, reason host-signal); return its exit status."""
        self.signal(signal.SIGTERM)
        return await self.wait()

    async def quit(self) -> int:
        """End QEMU with the command ``quit`` (reason host-qmp-quit); return its exit status."""
        # QEMU may leave before its reply has.
        with contextlib.suppress(ChannelClosedError):
            await self._connected().execute("quit", {})
        return await self.wait()

    async def close(self) -> None:
        """End QEMU and remove every file of this machine. May be called at any time, and twice."""
        try:
            await self.kill()
        finally:
            self._disconnect()
            for file in self.directory.glob(f"{self.name}.*"):
                file.unlink(missing_ok=True)

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise MachineError(f"{self.name}: not started")
        return self._process

    def _connected(self) -> Control:
        if self._control is None:
            raise MachineError(f"{self.name}: not started")
        return self._control

    def _disconnect(self) -> None:
        for channel in (self._control, self._qtest):
            if channel is not None:
                channel.close()
        if self._stderr is not None:
            self._stderr.close()
        self._control = self._qtest = self._stderr = None

    async def _last_words(self) -> str:
        """Say how QEMU ended and what it wrote to stderr, in one line."""
        try:
            # It has closed its sockets, so it is about to end.
            async with asyncio.timeout(1.0):
                ended = f"exit status {await self.wait()}"
        except TimeoutError:
            ended = "no answer, but the process is alive"
        text = ""
        if self._stderr is not None:
            self._stderr.seek(0)
            text = self._stderr.read()[-2000:].decode(errors="replace")
        return "; ".join([ended, *text.splitlines()])

    async def _spawn(self) -> None:
        binary = self._binary or find_qemu()
        if binary is None:
            raise MachineError("qemu-system-x86_64 not found: install it, or name it in QEMU")
        (self.directory / f"{self.name}.rom").write_bytes(halt_rom())
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _disconnect
        with contextlib.ExitStack() as passed:
            self._control, control = await _channel(Control, passed)
            self._qtest, qtest = await _channel(Qtest, passed)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), binary),
                *arguments(
                    self.name,
                    uuid=self._uuid,
                    monitor=self._monitor,
                    control=control,
                    qtest=qtest,
                ),
                *self._args,
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(control, qtest),
                start_new_session=True,  # Ctrl-C in a terminal is for us, not for QEMU
            )


async def _channel(kind: type[_Channel], passed: contextlib.ExitStack) -> tuple[_Channel, int]:
    """Return our end of a new channel, and the file descriptor of QEMU's."""
    ours, theirs = socket.socketpair()
    passed.enter_context(theirs)
    _, channel = await asyncio.get_running_loop().create_unix_connection(kind, sock=ours)
    return channel, theirs.fileno()
