"""The way of a stream of bytes, from the client to the page, and what must be so of it."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from qemu.qmp.error import ProtocolError
from qemu.qmp.message import Message

from builders import BOOT, START, Watch, connected, decode, samples
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.inputs import Reply
from qmp_exporter.qmp.client import CHUNK, Client, Limits
from qmp_exporter.qmp.queries import IDENTITY, STATE, Arch, Name, Uuid, read_as, typed


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


CORPUS: Final = Path(__file__).parent / "corpus"
ASKED: Final = (*IDENTITY, *STATE)
"""The commands that a stream may answer, with their place here as their id."""

LIMIT: Final = 4096
"""Bytes of a line: few, so that short streams can have too long ones."""

KEPT: Final = LIMIT + CHUNK
LABEL_SETS: Final = 8


class Heard(msgspec.Struct):
    """What a client made of a stream.

    Attributes:
        calls: events and replies, in order.
        error: what ended it; empty if it came to its end.
    """

    calls: list[tuple[Any, ...]] = []
    error: str = ""


def check(stream: bytes, cuts: Iterable[int] = (), *, page: bool = True) -> None:
    """Hold a stream to all that is promised, whole and cut into chunks at some places."""
    chunks = list(cut(stream, cuts))
    with asyncio.Runner() as runner:
        whole = runner.run(hear([stream]))
        again = runner.run(hear(chunks))
    assert repr(again) == repr(whole), "cut elsewhere it means something else"
    watch = vm()
    applied(watch, whole.calls)
    if page:
        assert samples(watch.page(99))
        assert list(openmetrics(watch.page(99, openmetrics=True)))  # type: ignore[no-untyped-call]


def cut(stream: bytes, cuts: Iterable[int]) -> Iterable[bytes]:
    """Yield the pieces of a stream."""
    places = sorted({0, len(stream), *(at % (len(stream) + 1) for at in cuts)})
    return (stream[a:b] for a, b in pairwise(places))


def cuts_of(stream: bytes) -> list[int]:
    """Return places to cut at, the same for the same stream."""
    chance = random.Random(crc32(stream))  # noqa: S311 - it is to be repeatable
    return [chance.randrange(len(stream) + 1) for _ in range(chance.randrange(12))]


async def hear(chunks: Sequence[bytes]) -> Heard:
    """Return what a client makes of chunks; it may raise nothing but what a session expects."""
    heard = Heard()
    client = Client(
        lambda line: heard.calls.append(("event", line)),
        lambda command, reply: heard.calls.append(("reply", command, reply.get("return"))),
        Limits(line=LIMIT),
    )
    for number, command in enumerate(ASKED):
        client._cb_outbound(Message({"execute": command, "id": str(number)}))
    reader = client._reader = asyncio.StreamReader(limit=LIMIT)
    try:
        for chunk in chunks:
            for at in range(0, len(chunk), CHUNK):
                reader.feed_data(chunk[at : at + CHUNK])
                await client._bh_recv_message()
                assert sum(map(len, client._parts)) <= KEPT
        reader.feed_eof()
        await client._bh_recv_message()
    except EOFError:
        pass
    except ProtocolError as err:
        heard.error = type(err).__name__
    assert len(client._sent) <= len(ASKED)
    return heard


def applied(watch: Watch, calls: Iterable[tuple[Any, ...]]) -> None:
    """Let the model and the sinks have what was heard, as a session does."""
    for number, call in enumerate(calls):
        now = number / 8
        if call[0] == "event":
            try:
                watch.feed(decode(call[1], START + now, BOOT + now))
            except DecodeError as err:
                watch.sink.decode_error(watch.name, err.event)
        else:
            _, command, reply = call
            for kind in (Name, Uuid, Arch):
                read_as(reply, kind, None)
            if command in STATE:
                watch.feed(Reply(command, typed(command, reply), START + now, BOOT + now))


def vm() -> Watch:
    """Return a VM that is connected, with few label sets."""
    watch = Watch(label_sets=LABEL_SETS)
    watch.feed(connected())
    return watch


def seeds() -> list[bytes]:
    """Return the streams of the corpus."""
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]
