"""Many monitors of idle VMs with one disk: a program, ``monitors.py FOLDER FIRST NUMBER``.

Each listens on ``FOLDER/INDEX.qmp``, answers as QEMU 7.2 would, and serves one client after the
other. Orders are those of `Monitors`, by name.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import resource
import selectors
import socket
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from benchmarks.blast import VERSION, answer
from qmp_exporter.recording.conversation import QmpError, crlf, greeting, reply_to
from qmp_exporter.recording.monitor import BACKLOG
from qmp_exporter.recording.state import MachineState


if TYPE_CHECKING:
    from collections.abc import Iterator


LAST: Final = "query-migrate-capabilities"
GREETING: Final = crlf(greeting(VERSION))
DECODE: Final = json.JSONDecoder().raw_decode
NAP: Final = 0.001


class Vm:
    """A VM, and the client of its monitor.

    Args:
        index: also its name.

    Attributes:
        listener: of the monitor.
        client: that is served; None: there is none.
        rest: what it sent after its last whole command.
    """

    def __init__(self, index: int) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.client: socket.socket | None = None
        self._name = str(index)
        self._uuid = str(UUID(int=index + 1))
        self.rest = ""

    def commands(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Yield each command that is whole now."""
        self.rest += chunk.decode()
        while text := self.rest.lstrip():
            try:
                command, end = DECODE(text)
            except ValueError:
                return  # the rest of it is on its way
            self.rest = text[end:]
            yield command

    def answer(self, name: str) -> object:
        """Return what only this one answers, or None."""
        if name == "query-name":
            return {"name": self._name}
        return {"UUID": self._uuid} if name == "query-uuid" else None

    def send(self) -> None:
        """Send an event to the client."""
        if self.client is None:
            raise SystemExit(f"VM {self._name} has no client")
        seconds, rest = divmod(time.time_ns() // 1000, 1_000_000)
        stamp = {"seconds": seconds, "microseconds": rest}
        self.client.sendall(crlf({"timestamp": stamp, "event": "POWERDOWN"}))


class Monitors:
    """The monitors of some VMs.

    Args:
        folder: of their sockets.
        first: index of the first.
        number: of them.
    """

    def __init__(self, folder: Path, first: int, number: int) -> None:
        self._vms = [Vm(index) for index in range(first, first + number)]
        self._clients: set[Vm] = set()
        self._served: set[Vm] = set()
        self._last_served = 0.0
        self._state = MachineState(version=VERSION)
        self._answers: dict[str, object] = {"qmp_capabilities": {}}
        self._selector = selectors.DefaultSelector()
        for index, vm in enumerate(self._vms, first):
            vm.listener.bind(str(folder / f"{index}.qmp"))
            vm.listener.listen(BACKLOG)
            self._selector.register(vm.listener, selectors.EVENT_READ, (self._accept, vm))
        self._selector.register(sys.stdin, selectors.EVENT_READ, (None, None))

    # ---- orders

    def served(self) -> dict[str, float]:
        """Wait until each has a client that has asked everything; tell when the last had."""
        while len(self._served) < len(self._vms):
            self._turn()
        return {"at": self._last_served}

    def alone(self) -> dict[str, float]:
        """Wait until none has a client."""
        while self._clients:
            self._turn()
        return {}

    def change(self, vms: int) -> dict[str, float]:
        """Let the first of them send an event each, and wait until all has been read."""
        for vm in self._vms[:vms]:
            vm.send()
        left = array.array("i", [0])
        for vm in self._vms[:vms]:
            left[0] = 1
            while left[0] and vm.client is not None:
                fcntl.ioctl(vm.client, termios.TIOCOUTQ, left)
                self._turn(NAP if left[0] else 0)
        return {}

    def talk(self, vms: int, every: float, seconds: float) -> dict[str, float]:
        """Let the first of them send an event now and then, each at its own time.

        Args:
            vms: that send.
            every: seconds between two events of one.
            seconds: for which they do; how many events they sent is told then.
        """
        began, sent = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            if now >= began + sent * every / vms:
                self._vms[sent % vms].send()
                sent += 1
                self._turn(0)
            else:
                self._turn(NAP)
        return {"sent": sent}

    # ---- running

    def run(self) -> None:
        """Serve until the input ends."""
        while True:
            self._turn()

    def _turn(self, patience: float | None = None) -> None:
        ordered = False
        for key, _ in self._selector.select(patience):
            act, vm = key.data
            if act is None:
                ordered = True
            else:
                act(key.fileobj, vm)
        # Last: turns within it would leave the rest of these out of date.
        if ordered:
            self._obey()

    def _obey(self) -> None:
        line = os.read(sys.stdin.fileno(), 4096)
        if not line:
            raise SystemExit
        order = json.loads(line)
        told = getattr(self, order.pop("do"))(**order)
        print(json.dumps(told), flush=True)

    def _accept(self, listener: socket.socket, vm: Vm) -> None:
        vm.client, _ = listener.accept()
        self._clients.add(vm)
        self._selector.unregister(listener)  # whoever comes now waits, as with QEMU
        self._selector.register(vm.client, selectors.EVENT_READ, (self._read, vm))
        with contextlib.suppress(ConnectionError):
            vm.client.sendall(GREETING)

    def _read(self, client: socket.socket, vm: Vm) -> None:
        try:
            chunk = client.recv(1 << 16)
            for command in vm.commands(chunk):
                self._reply(client, vm, command)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._selector.unregister(client)
            client.close()
            vm.client, vm.rest = None, ""
            self._selector.register(vm.listener, selectors.EVENT_READ, (self._accept, vm))
            self._clients.discard(vm)
            self._served.discard(vm)

    def _reply(self, client: socket.socket, vm: Vm, command: dict[str, Any]) -> None:
        name = command["execute"]
        client.sendall(crlf(reply_to(command, vm.answer(name) or self._answer(name))))
        if name == LAST:
            self._served.add(vm)
            self._last_served = time.time()

    def _answer(self, name: str) -> object:
        if name not in self._answers:
            try:
                self._answers[name] = answer(name, {}, self._state)
            except QmpError as error:
                self._answers[name] = error
        return self._answers[name]


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    monitors = Monitors(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({"listens": True}), flush=True)
    monitors.run()
