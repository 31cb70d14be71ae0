"""Monitors that mean harm, each in threads of its own: `python tests/hostile.py DIRECTORY`.

A program of its own, so that it floods at full speed and shares nothing with whom it floods. It
makes the sockets of `SOCKETS` in a directory, says so in a line, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from qmp_exporter.recording.conversation import Conversation, crlf, greeting
from qmp_exporter.recording.state import MachineState


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


STAMP: Final = '"timestamp": {"seconds": 1700000000, "microseconds": 5}'
TEXTS: Final = ("", "\0", "\n", '"} 1\nqemu_up{vm="x', "\\", "\ud800", "\u202e\ufeff", "x" * 9999)
GREETING: Final = crlf(greeting((7, 2, 22)))
OVER: Final = 20_000_000
"""Bytes of a line that is far too long."""

CHUNK: Final = 256 * 1024
BACKLOG: Final = 8


class Connection:
    """A client of a hostile monitor: it is answered as QEMU would, or worse."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self.name = name
        self._sending = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send all of it; nothing else comes between."""
        with self._sending:
            self.sock.sendall(data)

    def greet(self, replies: Mapping[str, object] | None = None, *, drip: bool = False) -> None:
        """Greet, in single bytes or not, negotiate, and from then on answer in a thread."""
        for at in range(0, len(GREETING), 1 if drip else len(GREETING)):
            self.send(GREETING[at : at + 1] if drip else GREETING)
        conversation = Conversation(_Answers(self.name, replies or {}))
        while not conversation.negotiated:
            self._answer(conversation)
        threading.Thread(target=self._listen, args=(conversation,), daemon=True).start()

    def wait(self) -> None:
        """Wait until the client hangs up; answers go on."""
        while self.sock.fileno() >= 0:
            time.sleep(0.1)

    def _listen(self, conversation: Conversation) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._answer(conversation)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def _answer(self, conversation: Conversation) -> None:
        chunk = self.sock.recv(65536)
        if not chunk:
            raise ConnectionResetError
        for _, reply in conversation.feed(chunk):
            self.send(crlf(reply))


class _Answers:
    """What a machine says, but for some commands something else."""

    def __init__(self, name: str, replies: Mapping[str, object]) -> None:
        self._state = MachineState(name=name)
        self._replies = replies

    def __call__(self, command: str, arguments: dict[str, Any]) -> object:
        """Return the answer to a command."""
        if command in self._replies:
            return self._replies[command]
        return self._state.answer(command, arguments)


Harm: TypeAlias = "Callable[[Connection], None]"


def event(name: str, data: object = None) -> bytes:
    """Return an event as a line."""
    rest = "" if data is None else f', "data": {json.dumps(data)}'
    return f'{{{STAMP}, "event": {json.dumps(name)}{rest}}}\r\n'.encode()


def flood(lines: Callable[[int], Iterator[bytes]], *, fresh: bool = False) -> Harm:
    """Return who sends lines at full speed: the same again and again, or always new ones."""

    def harm(connection: Connection) -> None:
        connection.greet()
        made = _chunk(lines, 0)
        for number in itertools.count(1):
            connection.send(made)
            if fresh:
                made = _chunk(lines, number)

    return harm


def _chunk(lines: Callable[[int], Iterator[bytes]], number: int) -> bytes:
    found = bytearray()
    for at in itertools.count(number * 100_000):
        for line in lines(at):
            found += line
        if len(found) >= CHUNK:
            return bytes(found)
    raise AssertionError


def storm(_: int) -> Iterator[bytes]:
    """Yield events of all kinds of work."""
    yield event("POWERDOWN")
    yield event("RTC_CHANGE", {"offset": 5, "qom-path": "/rtc"})
    yield event("BLOCK_IO_ERROR", {"device": "d", "operation": "read", "action": "report"})


def devices(at: int) -> Iterator[bytes]:
    """Yield events of ever new devices, to make label sets without end."""
    error = {"operation": "write", "action": "stop", "nospace": True}
    yield event("BLOCK_IO_ERROR", {"device": f"d{at}", **error})
    yield event("BLOCK_IO_ERROR", {"device": "", "node-name": f"n{at}", **error})
    yield event("QUORUM_FAILURE", {"reference": f"q{at}", "sector-num": 0, "sectors-count": 2**62})
    yield event("VSERPORT_CHANGE", {"id": f"port{at}", "open": True})
    yield event("MEM_UNPLUG_ERROR", {"device": f"m{at}", "msg": "no"})


def clients(at: int) -> Iterator[bytes]:
    """Yield clients of the displays that come and never go."""
    server = {"host": "::", "service": "5900", "family": "ipv6", "auth": "none", "websocket": False}
    client = {"host": f"h{at}", "service": "1", "family": "ipv4", "websocket": False}
    yield event("VNC_CONNECTED", {"server": server, "client": client})
    yield event("VNC_INITIALIZED", {"server": server, "client": client})


def stops(_: int) -> Iterator[bytes]:
    """Yield what a VM that stops and goes on says; each stop is asked for its cause."""
    yield event("STOP")
    yield event("RESUME")
    yield event("STOP")
    yield event("WATCHDOG", {"action": "pause"})
    yield event("MIGRATION", {"status": "active"})
    yield event("MIGRATION", {"status": "failed"})


def unknown(at: int) -> Iterator[bytes]:
    """Yield events that nobody knows, each another one."""
    yield event(f"HOSTILE_{at}", {"at": at})
    yield event(TEXTS[at % len(TEXTS)][:99])


def garbage(at: int) -> Iterator[bytes]:
    """Yield lines that are none."""
    yield bytes(set(range(256)) - {10}) * (1 + at % 9) + b"\n"
    yield b"(qemu) info status\r\n"
    yield b'{"event": "\xff\xfe"}\r\n'
    yield b'{"timestamp": 5, "event": ["STOP"], "data": 7}\r\n'
    yield b'{"timestamp": {}, "event": "STOP"\r\n'


def deep(_: int) -> Iterator[bytes]:
    """Yield JSON a hundred thousand levels deep."""
    yield b"[" * 100_000 + b"\r\n"
    yield b'{"timestamp": {}, "event": "STOP", "data": ' + b'{"a":' * 100_000 + b"\r\n"
    yield b'{"return": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\r\n"


def huge(_: int) -> Iterator[bytes]:
    """Yield lines just short enough to be read."""
    yield event("RTC_CHANGE", {"offset": 1, "qom-path": "x" * 1_000_000})
    yield b'{"return": {"x": "' + b"y" * 1_000_000 + b'"}, "id": "unknown"}\r\n'


def blank(_: int) -> Iterator[bytes]:
    """Yield nothing, in lines."""
    yield b"\r\n\n \t\n"


def replies(at: int) -> Iterator[bytes]:
    """Yield answers to what nobody asked."""
    yield b'{"return": {"status": "paused"}, "id": "x%d"}\r\n' % at
    yield b'{"return": {}, "id": %d}\r\n' % at
    yield b'{"return": [1, 2, 3]}\r\n'
    yield b'{"error": {"class": "GenericError", "desc": "no"}, "id": "y"}\r\n'


def too_long(end: bytes) -> Harm:
    """Return who sends lines of 20 MB."""

    def harm(connection: Connection) -> None:
        connection.greet()
        line = event("RTC_CHANGE").strip()[:-1] + b" " * CHUNK
        while True:
            connection.send(line)
            for _ in range(OVER // CHUNK):
                connection.send(b" " * CHUNK)
            connection.send(end)

    return harm


def strange(connection: Connection) -> None:
    """Answer with texts made to break a page, and as many as fit in a line."""
    text = "".join(TEXTS)
    disks = [
        {"device": f"{text[:60]}{n}", "inserted": {"node-name": f"#n{n}"}} for n in range(4000)
    ]
    peers = [{"host": text[:50], "service": str(n)} for n in range(4000)]
    connection.greet(
        {
            "query-name": {"name": text},
            "query-uuid": {"UUID": text},
            "query-target": {"arch": text},
            "query-status": {"status": text},
            "query-block": disks,
            "query-vnc-servers": [{"clients": peers}],
        }
    )
    for at in itertools.count():
        for text in TEXTS:
            connection.send(event("STOP"))
            connection.send(event("BLOCK_IO_ERROR", {"device": text, "operation": text}))
            connection.send(event("VSERPORT_CHANGE", {"id": text + str(at), "open": True}))
        time.sleep(0.01)


def wrong(connection: Connection) -> None:
    """Answer everything with the wrong types."""
    connection.greet(dict.fromkeys(("query-name", "query-uuid", "query-status", "query-block"), 5))
    connection.wait()


def impostor(connection: Connection) -> None:
    """Claim the name of the good one, and count for it."""
    connection.greet({"query-name": {"name": "good"}})
    for _ in itertools.count():
        connection.send(event("BLOCK_IO_ERROR", {"device": "d", "operation": "read"}))
        connection.send(event("RTC_CHANGE", {"offset": 666, "qom-path": "/rtc"}))
        time.sleep(0.01)


def slam(connection: Connection) -> None:
    """Take a client and hang up."""
    connection.sock.close()


def leave(connection: Connection) -> None:
    """Greet, negotiate, tell an event, and hang up."""
    connection.greet()
    connection.send(event("POWERDOWN"))
    connection.sock.shutdown(socket.SHUT_RDWR)


def half(connection: Connection) -> None:
    """Say half of what is to be said."""
    connection.greet()
    connection.send(event("POWERDOWN")[:40])
    connection.wait()


def mute(connection: Connection) -> None:
    """Say nothing."""
    while connection.sock.recv(65536):
        pass


def hung(connection: Connection) -> None:
    """Greet, and be done."""
    connection.send(GREETING)
    mute(connection)


def deaf(connection: Connection) -> None:
    """Negotiate, then read nothing, so that each question waits, and make the client ask."""
    connection.send(GREETING)
    connection.sock.recv(65536)
    connection.send(crlf({"return": {}}))
    while True:
        connection.send(event("STOP") + event("RESUME"))
        time.sleep(0.001)


def loris(connection: Connection) -> None:
    """Say all that QEMU says, a byte at a time."""
    connection.greet(drip=True)
    for byte in itertools.cycle(event("POWERDOWN")):
        connection.send(bytes([byte]))
        time.sleep(0.0005)


def human(connection: Connection) -> None:
    """Be a human monitor."""
    connection.send(b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ")
    while connection.sock.recv(65536):
        connection.send(b"unknown command\r\n(qemu) ")


KINDS: Final[dict[str, tuple[int, Harm]]] = {
    "storm": (5, flood(storm)),
    "devices": (3, flood(devices, fresh=True)),
    "clients": (2, flood(clients, fresh=True)),
    "stops": (2, flood(stops)),
    "unknown": (2, flood(unknown, fresh=True)),
    "garbage": (3, flood(garbage)),
    "deep": (2, flood(deep)),
    "huge": (3, flood(huge)),
    "blank": (2, flood(blank)),
    "replies": (2, flood(replies)),
    "endless": (2, too_long(b"")),
    "long": (2, too_long(b"\r\n")),
    "strange": (2, strange),
    "wrong": (1, wrong),
    "impostor": (2, impostor),
    "slam": (2, slam),
    "leave": (2, leave),
    "remade": (2, leave),
    "half": (1, half),
    "mute": (2, mute),
    "hung": (2, hung),
    "deaf": (2, deaf),
    "loris": (1, loris),
    "human": (1, human),
}
"""How many of each, and what it does to a client."""

SOCKETS: Final = tuple(f"{kind}-{n}.sock" for kind, (many, _) in KINDS.items() for n in range(many))
"""The names of all sockets: fifty."""


def serve(path: Path, harm: Harm) -> None:
    """Do harm to one client after the other, for ever; one kind makes its socket anew each time."""
    while True:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(BACKLOG)
            while True:
                sock, _ = listener.accept()
                with contextlib.suppress(OSError), sock:
                    harm(Connection(sock, path.stem))
                if path.stem.startswith("remade"):
                    break


def main() -> None:
    """Start everybody, and wait for the end of standard input."""
    folder = Path(sys.argv[1])
    for name in SOCKETS:
        _, harm = KINDS[name.rpartition("-")[0]]
        threading.Thread(target=serve, args=(folder / name, harm), daemon=True).start()
    while not all((folder / name).exists() for name in SOCKETS):
        time.sleep(0.01)
    print(f"{len(SOCKETS)} hostile monitors in {folder}", flush=True)  # noqa: T201 - it is waited for
    sys.stdin.read()


if __name__ == "__main__":
    main()
