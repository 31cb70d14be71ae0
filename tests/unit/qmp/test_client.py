"""The client: what it relies on, how it splits a stream, and what it never sends."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import socket
import tomllib
from importlib.metadata import version
from itertools import groupby, pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qemu.qmp import QMPClient, QMPError
from qemu.qmp.error import ProtocolError
from qemu.qmp.message import Message

from qmp_exporter.errors import QmpExporterError
from qmp_exporter.qmp import client as module
from qmp_exporter.qmp import turns as turns_module
from qmp_exporter.qmp.client import (
    AT_ONCE,
    CHUNK,
    LONGEST,
    RELIED_ON,
    Client,
    Limits,
    LineError,
)
from recorder import strangers


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

Call = tuple[object, ...]

EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}'
ROOT = Path(__file__).parents[3]


MAX_LINE = Limits().line


def listening(limits: Limits = Limits()) -> tuple[Client, list[Call]]:  # noqa: B008 - frozen
    """A client, and what it calls."""
    calls: list[Call] = []
    client = Client(
        lambda line: calls.append(("event", line)),
        lambda command, reply: calls.append(("reply", command, reply.get("return"))),
        limits,
    )
    return client, calls


async def feed(client: Client, chunks: Iterable[bytes]) -> None:
    """Let a client read these chunks, one at a time."""
    client._reader = asyncio.StreamReader(limit=MAX_LINE)
    for chunk in chunks:
        for at in range(0, len(chunk), CHUNK):
            client._reader.feed_data(chunk[at : at + CHUNK])
            await client._bh_recv_message()


async def heard(*chunks: bytes, asked: Sequence[str] = ()) -> list[Call]:
    """What a client calls that sent commands, with numbers as their ids, and reads these chunks."""
    client, calls = listening()
    for number, command in enumerate(asked):
        client._cb_outbound(Message({"execute": command, "id": str(number)}))
    await feed(client, chunks)
    return calls


# ---- what it relies on


def test_every_private_member_it_relies_on_exists() -> None:
    """A qemu.qmp without one of them must not be installed."""
    theirs = QMPClient()
    assert [name for name in RELIED_ON if not hasattr(theirs, name)] == []


def test_it_uses_no_other_private_member() -> None:
    """RELIED_ON is what is used or overridden, neither more nor less, on purpose or by accident."""
    tree = ast.walk(ast.parse(Path(module.__file__).read_text()))
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.name
        for node in tree
        if isinstance(node, ast.Attribute | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    theirs = {name for name in dir(QMPClient()) if name.startswith("_") and name[1] != "_"}
    assert used & theirs == set(RELIED_ON)


def test_no_other_module_touches_the_library_s_insides() -> None:
    """The other modules of the package use qemu.qmp as everybody may."""
    theirs = {name for name in dir(QMPClient()) if name.startswith("_") and name[1] != "_"}
    for path in Path(module.__file__).parent.glob("*.py"):
        if path.name != "client.py":
            for node in ast.walk(ast.parse(path.read_text())):
                own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                if isinstance(node, ast.Attribute) and not (own and node.value.id == "self"):  # type: ignore[attr-defined]
                    assert node.attr not in theirs, f"{path.name}:{node.lineno}"


def test_the_library_is_pinned_to_the_release_that_is_tested() -> None:
    """The pin is exact, and is what is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"qemu.qmp=={version('qemu.qmp')}" in project["dependencies"]


# ---- how it reads


PIECES = st.sampled_from(
    [
        (EVENT + b"\r\n", ("event", EVENT + b"\r")),
        (b'{"timestamp": {}, "event": "X"}\n', ("event", b'{"timestamp": {}, "event": "X"}')),
        (b'{ "event": "STOP" }\r\n', ("event", b'{ "event": "STOP" }\r')),
        (b'{"event": "A", "timestamp": 1}\n', ("event", b'{"event": "A", "timestamp": 1}')),
        (b"garbage\r\n", ("event", b"garbage\r")),
        (b'{"return": {}, "id": "unknown"}\r\n', None),
        (b"\r\n", None),
        (b" \t\n", None),
        (b"\n", None),
        (b"reply", None),
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[Call], int]:
    """A stream cut into chunks, what is in it, and the number of its replies."""
    stream, replies = b"", 0
    calls: list[Call] = []
    for piece, call in draw(st.lists(PIECES, min_size=1, max_size=12)):
        if piece == b"reply":
            stream += json.dumps({"return": replies, "id": str(replies)}).encode() + b"\r\n"
            calls.append(("reply", "query-name", replies))
            replies += 1
        else:
            stream += piece
            calls += [call] if call else []
    places = st.sets(st.integers(1, len(stream) - 1)) if len(stream) > 1 else st.just(set[int]())
    cuts = [0, *sorted(draw(places)), len(stream)]
    return [stream[a:b] for a, b in pairwise(cuts)], calls, replies


@given(streams())
async def test_however_a_stream_is_cut_it_means_the_same(
    stream: tuple[list[bytes], list[Call], int],
) -> None:
    """Events, replies and garbage are told in the order of the stream, wherever it is cut."""
    chunks, calls, replies = stream
    asked = ["query-name"] * replies
    assert await heard(*chunks, asked=asked) == calls
    assert await heard(b"".join(chunks), asked=asked) == calls


async def test_replies_and_events_come_in_the_order_of_the_stream() -> None:
    """A reply between two events is told between them, an error as None, each with its command."""
    lines = [EVENT, b'{"return": {"name": "a"}, "id": "0"}', EVENT]
    lines += [b'{"id": "1", "error": {"class": "GenericError", "desc": "no"}}', EVENT, b""]
    assert await heard(b"\r\n".join(lines), asked=["query-name", "query-balloon"]) == [
        ("event", EVENT + b"\r"),
        ("reply", "query-name", {"name": "a"}),
        ("event", EVENT + b"\r"),
        ("reply", "query-balloon", None),
        ("event", EVENT + b"\r"),
    ]


async def test_a_reply_is_told_once_and_only_if_it_was_asked_for() -> None:
    """A second reply with the same id, one with an unknown id and one without are dropped."""
    lines = b'{"return": 1, "id": "0"}\n' * 2 + b'{"return": 2, "id": "x"}\n{"return": 3}\n'
    assert await heard(lines, asked=["query-name"]) == [("reply", "query-name", 1)]


@pytest.mark.parametrize(
    ("line", "call"),
    [
        (b"HMP says (qemu) ", "event"),
        (b'[{"event": "STOP"}]', "event"),
        (b"5", "event"),
        (b'"text"', "event"),
        (b"null", "event"),
        (b'{"event": "\xff\xfe"}', "event"),
        (b"\x00", "event"),
        (b"[" * 100_000, "event"),
        (b'{"a":' * 100_000, "event"),
        (b'{"return": 1}{"return": 2}', "event"),
        (b'{"event": "A"} {"event": "B"}', "event"),
        (b"", None),
        (b" \t\r", None),
        (b'{"event": 5}', "event"),
        (b'{"timestamp"', "event"),
        (b'{"timestamp": 1}{"event": "A"}', "event"),
        (b'{"event": "\\ud800"}', "event"),
        (b'\t{ "data": NaN , "event" : "A" }', "event"),
    ],
)
async def test_a_strange_line_is_told_and_the_next_one_is_read(
    line: bytes, call: str | None
) -> None:
    """Garbage, empty lines and strange events end nothing; the decoder judges the events."""
    calls = await heard(line + b"\n" + EVENT + b"\n")
    assert [one[0] for one in calls] == [*([call] if call else []), "event"]
    assert calls[-1] == ("event", EVENT)


@pytest.mark.parametrize("line", [b'{"error": {"class": "GenericError", "desc": "JSON parse"}}'])
async def test_an_error_without_an_id_ends_the_connection(line: bytes) -> None:
    """QEMU did not understand what we sent: nothing that follows can be told apart."""
    with pytest.raises(ProtocolError):
        await heard(EVENT + b"\n" + line + b"\n")


def padded(size: int) -> bytes:
    """An event of exactly this many bytes, without its line end."""
    line = b'{"timestamp": 0, "event": "%s"}'
    return line % (b"x" * (size - len(line) + 2))


@pytest.mark.parametrize("head", [b"", b'{"return": 5}\n'])
async def test_a_line_may_have_a_mebibyte_and_no_more(head: bytes) -> None:
    """The longest line is told; one byte more ends the connection, be it complete or not."""
    for size, fits in ((MAX_LINE, True), (MAX_LINE + 1, False)):
        for end in (b"\n", b"\n" + EVENT + b"\n"):
            for line in (padded(size), b"x" * size):
                stream = head + line + end
                client, calls = listening()
                if fits:
                    await feed(client, [stream])
                    assert calls[0] == ("event", line)
                else:
                    with pytest.raises(ProtocolError, match="1048576"):
                        await feed(client, [stream])
                    assert calls == []


async def test_what_came_before_a_reset_is_told() -> None:
    """A connection that is reset loses nothing of what had arrived."""
    client, calls = listening()
    client._reader = asyncio.StreamReader(limit=MAX_LINE)
    client._reader.feed_data((EVENT + b"\n") * 3)
    client._reader.set_exception(ConnectionResetError())
    await client._bh_recv_message()
    assert calls == [("event", EVENT)] * 3
    with pytest.raises(ConnectionResetError):
        await client._bh_recv_message()


async def test_a_line_that_never_ends_is_not_kept() -> None:
    """What is kept of an endless line is bounded by the limit and one chunk."""
    client, _ = listening()
    endless = (b"x" * CHUNK for _ in range(1000))
    with pytest.raises(ProtocolError):
        await feed(client, endless)
    assert sum(map(len, client._parts)) <= MAX_LINE + CHUNK


async def test_a_line_in_single_bytes_is_put_together_once() -> None:
    """What was read is not touched again until the line is complete: no quadratic work."""
    line = padded(50_000)
    client, calls = listening()
    await feed(client, [line[:20]])
    first = client._parts[-1]
    for at in range(20, len(line)):
        await feed(client, [line[at : at + 1]])
    assert client._parts[-len(line) + 19] is first
    assert len(client._parts) >= len(line) - 19
    await feed(client, [b"\n"])
    assert calls == [("event", line)]
    assert client._parts == [b""]


async def test_the_end_of_the_stream_is_an_end_and_half_a_line_is_nothing() -> None:
    """EOFError says that QEMU closed; what it began to write is not an event."""
    client, calls = listening()
    await feed(client, [EVENT + b"\n" + EVENT])
    assert client._reader is not None
    client._reader.feed_eof()
    with pytest.raises(EOFError):
        await client._bh_recv_message()
    assert calls == [("event", EVENT)]


@pytest.mark.parametrize("size", [70, 200, 9000])
async def test_a_flood_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """While another session has something to read, a flooding one takes 256 lines at a time.

    Whatever the length of its lines: also where one chunk ends and the next is there already.
    """
    for name in ("TURN", "MOST"):  # lines alone, however slow this machine
        monkeypatch.setattr(turns_module, name, 1e9)
    order: list[str] = []

    async def read(name: str, lines: int) -> None:
        client = Client(lambda _: order.append(name), lambda *_: None)
        client._reader = asyncio.StreamReader(limit=MAX_LINE)
        client._reader.feed_data((padded(size) + b"\n") * lines)
        client._reader.feed_eof()
        with contextlib.suppress(EOFError):
            while True:
                await client._bh_recv_message()

    lines = 3 * CHUNK // size + 700
    await asyncio.gather(read("flood", lines), read("other", lines))
    assert order.count("flood") == order.count("other") == lines
    alone = max(order[::-1].index("flood"), order[::-1].index("other"))
    turns = [len(list(lines)) for _, lines in groupby(order[:-alone])]
    assert len(turns) > lines // 256
    assert max(turns) <= 256


async def test_what_came_before_may_be_taken_undecoded() -> None:
    """Some lines at a time, in their order; what is not taken goes its way, replies too."""
    client, calls = listening()
    client._cb_outbound(Message({"execute": "query-name", "id": "1"}))

    def again(lines: list[bytes], start: int, end: int) -> int:
        assert 0 < end - start <= AT_ONCE
        taken = list(takewhile(lambda line: b"RESUME" in line, lines[start:end]))
        calls.extend(("again", line) for line in taken)
        return start + len(taken)

    client.again = again
    other = EVENT.replace(b"RESUME", b"STOP")
    reply = b'{"return": {"name": "web"}, "id": "1"}'
    said = [EVENT] * 100 + [other, EVENT, reply, EVENT, b"", other]
    await feed(client, [b"\n".join(said) + b"\n"])
    taken = ("again", EVENT)
    assert calls == [
        *[taken] * 100,
        ("event", other),
        taken,
        ("reply", "query-name", {"name": "web"}),
        taken,
        ("event", other),
    ]


async def test_a_flood_that_is_taken_makes_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """However cheap its lines are, it takes no more of a turn than another one."""
    for name in ("TURN", "MOST"):
        monkeypatch.setattr(turns_module, name, 1e9)
    waits: list[int] = []
    taken = 0

    def again(lines: list[bytes], start: int, end: int) -> int:
        nonlocal taken
        taken += min(end, len(lines)) - start
        return min(end, len(lines))

    client = Client(
        lambda _: None, lambda *_: None, Limits(lines=100), yielded=lambda: waits.append(taken)
    )
    client.again = again
    await feed(client, [(EVENT + b"\n") * 350])
    assert waits == [100, 200, 300]
    assert taken == 350


async def test_slow_work_ends_a_turn_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is over after a millisecond too: the clock is looked at every few lines."""
    clock = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    order: list[str] = []

    def on_event(_: bytes) -> None:
        clock[0] += 0.0001
        order.append("line")

    async def others() -> None:
        while len(order) < 2000:
            order.append("turn")
            await asyncio.sleep(0)

    client = Client(on_event, lambda *_: None)
    task = asyncio.create_task(others())
    await feed(client, [(EVENT + b"\n") * 256])
    task.cancel()
    assert order.count("line") == 256
    assert order.count("turn") >= 256 // 32


async def test_what_was_read_last_is_known() -> None:
    """``read_at`` moves with every line; a monitor that only drips has not answered."""
    client, _ = listening()
    client.read_at = 0.0
    await feed(client, [b"{", b" "])
    assert client.read_at == 0.0
    await feed(client, [b"}\n"])
    assert client.read_at > 0.0


# ---- what it keeps


async def test_no_event_is_kept() -> None:
    """Neither here nor in the library, which stock keeps every event twice, for ever."""
    client, calls = listening()
    await feed(client, [(EVENT + b"\n" + b'{ "event": "A" }\n') * 1000])
    assert len(calls) == 2000
    assert client.events.empty()
    assert len(client.events.history) == 0
    assert sum(map(len, client._parts)) == 0


async def test_an_answered_command_is_forgotten() -> None:
    """What was sent is kept until its reply has come."""
    client, _ = listening()
    for number in range(100):
        client._cb_outbound(Message({"execute": "query-name", "id": str(number)}))
        await feed(client, [b'{"return": {}, "id": "%d"}\n' % number])
    assert client._sent == {}


# ---- what it sends


class Monitor:
    """The other end of a client's connection: greets, negotiates, and keeps what it hears."""

    def __init__(self) -> None:
        self.received = b""
        self.client, self.calls = listening()

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        self._reader, self._writer = await asyncio.open_connection(sock=theirs)
        greeting = {"QMP": {"version": {"qemu": {}}, "capabilities": ["oob"]}}
        self._writer.write(json.dumps(greeting).encode() + b"\r\n")
        self._writer.write(b'{"return": {}}\r\n')
        await self.client.connect(ours)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(Exception):  # the reason of its end, whatever it is
            await self.client.disconnect()

    async def all_received(self) -> bytes:
        """Everything that was sent, once the client has hung up."""
        return await asyncio.wait_for(self._reader.read(), 5)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"execute": "quit"}, "quit"),
    ({"execute": "human-monitor-command", "arguments": {"command-line": "quit"}}, "human"),
    ({"execute": "query-status", "arguments": {"x": 1}}, "query-status"),
    ({"execute": "migrate-set-capabilities", "arguments": {"capabilities": []}}, "migrate"),
    ({"execute": ["query-status"]}, "query-status"),
    ({"exec-oob": "query-status"}, "None"),
    ({"exec-oob": "quit", "execute": "query-status"}, "query-status"),
]


@pytest.mark.parametrize(("message", "named"), REFUSED)
async def test_what_is_not_on_the_list_is_never_sent(message: dict[str, Any], named: str) -> None:
    """The connection ends before a byte of it is written, and the error names the command."""
    async with Monitor() as monitor:
        with pytest.raises(QMPError):
            await monitor.client.execute_msg(Message(message))
        with pytest.raises(QmpExporterError, match=named):
            await monitor.client.disconnect()
        sent = await monitor.all_received()
    assert sent == b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}'


async def test_what_is_on_the_list_is_sent() -> None:
    """As bytes, what was asked for and nothing besides."""
    async with Monitor() as monitor:
        asking = asyncio.create_task(monitor.client.execute("query-name"))
        await asyncio.sleep(0.01)
        monitor._writer.write(b'{"return": {"name": "a"}, "id": "__qmp#00000"}\r\n')
        assert await asyncio.wait_for(asking, 5) == {"name": "a"}
        await monitor.client.disconnect()
        sent = await monitor.all_received()
    assert strangers(sent) == []
    assert sent.endswith(b'{"execute":"query-name","id":"__qmp#00000"}')
    assert monitor.calls == [("reply", "query-name", {"name": "a"})]


async def test_abort_closes_at_once_and_does_no_harm_elsewhere() -> None:
    """Whether it is connected, not yet, or no more."""
    client, _ = listening()
    client.abort()
    async with Monitor() as monitor:
        monitor.client.abort()
        assert await monitor.all_received() != b""


class _Stream:
    """What a client writes to; it may be closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False
        self.transport = self

    def is_closing(self) -> bool:
        """Whether it is."""
        return self.closed

    def write(self, text: bytes) -> None:
        """Keep it."""
        self.written.append(text)


async def test_a_probe_takes_the_short_way() -> None:
    """One command is written, and its reply is told in the order of the stream, and once."""
    client, calls = listening()
    stream = _Stream()
    client._writer = stream  # type: ignore[assignment]
    client.probe("query-status")
    assert stream.written == [b'{"execute":"query-status","id":"probe"}']
    assert strangers(b"".join(stream.written)) == []
    reply = b'{"return": {"status": "running"}, "id": "probe"}\n'
    await feed(client, [EVENT + b"\n" + reply + EVENT + b"\n" + reply])
    told = ("reply", "query-status", {"status": "running"})
    assert calls == [("event", EVENT), told, ("event", EVENT)]


async def test_an_answer_that_tells_nothing_new_takes_the_short_way_too() -> None:
    """Only where it is that of the probe before, letter for letter, and nothing was said since."""
    client, calls = listening()
    client._writer = _Stream()  # type: ignore[assignment]
    client.on_same = lambda: calls.append(("same",))
    running = b'{"return": {"status": "running"}, "id": "probe"}\n'
    paused = running.replace(b"running", b"paused")

    async def asked(*chunks: bytes) -> list[object]:
        calls.clear()
        client.probe("query-status")
        await feed(client, list(chunks))
        assert not client._sent
        return [call[0] for call in calls]

    assert await asked(running) == ["reply"]
    assert await asked(running) == await asked(running) == ["same"]
    assert await asked(paused) == ["reply"]
    assert await asked(running) == ["reply"]
    assert await asked(running, EVENT + b"\n") == ["same", "event"]
    assert await asked(running) == ["reply"]
    assert await asked(running + EVENT + b"\n") == ["reply", "event"]
    assert await asked(running) == ["reply"]
    assert await asked(b"\n", running) == ["reply"]
    assert await asked(running[:9], running[9:]) == ["reply"]
    assert await asked(running, running) == ["same"]
    assert await asked(running) == ["reply"]
    client.again = lambda lines, start, end: end  # noqa: ARG005 - it takes whatever there is
    await feed(client, [EVENT + b"\n"])
    client.again = lambda lines, start, end: start  # noqa: ARG005 - as above
    assert await asked(running) == ["reply"]
    client.on_same = None
    assert await asked(running) == ["reply"]


async def test_an_answer_of_no_end_is_not_kept() -> None:
    """Nor does one that is known hide that the next line is too long."""
    client, calls = listening(Limits(line=2000))
    client._writer = _Stream()  # type: ignore[assignment]
    client.on_same = lambda: calls.append(("same",))
    padded = b'{"return": {"status": "running"}%b, "id": "probe"}\n' % (b" " * LONGEST)
    for _ in range(2):
        client.probe("query-status")
        await feed(client, [padded])
        assert client._answer is None
    assert [call[0] for call in calls] == ["reply", "reply"]
    short = padded.replace(b" " * LONGEST, b"")
    client.probe("query-status")
    await feed(client, [short])
    client.probe("query-status")
    with pytest.raises(LineError):
        await feed(client, [short + b"x" * 2001])


async def test_nothing_is_no_answer() -> None:
    """A monitor that sends empty lines is not taken to have told something."""
    client, calls = listening()
    client._writer = _Stream()  # type: ignore[assignment]
    client.on_same = lambda: calls.append(("same",))
    client.probe("query-status")
    await feed(client, [b"\n", b"\n"])
    assert calls == []
    assert client._sent == {"probe": "query-status"}


async def test_a_probe_sends_nothing_that_is_not_on_the_list() -> None:
    """Nor anything to who has gone."""
    client, _ = listening()
    stream = _Stream()
    client._writer = stream  # type: ignore[assignment]
    with pytest.raises(QmpExporterError, match=r"'quit' is not a command that may be sent"):
        client.probe("quit")
    stream.closed = True
    client.probe("query-status")
    assert stream.written == []
