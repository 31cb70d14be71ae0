"""The stream of events over real sockets: in order, once, or told how many are missing."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from integration.test_web import BODY, PATIENCE, Held, serving
from qmp_exporter.catalog.spec import Severity
from qmp_exporter.errors import ConfigError
from qmp_exporter.journal import Entry, Journal
from qmp_exporter.web import stream
from qmp_exporter.web.application import check_telemetry_path


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp


def happen(journal: Journal, *names: str, vm: str = "web", details: str = "") -> None:
    """Let events happen."""
    for name in names:
        journal.keep(Entry(0, vm, name, 1.5, details, Severity.WARN))


class Reader:
    """A client of a stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def message(self) -> dict[str, str]:
        """Return the fields of the next message that has any data."""
        while True:
            found: dict[str, str] = {}
            while line := (await self.line()):
                name, _, value = line.partition(": ")
                found[name] = value
            if "data" in found:
                return found

    async def line(self) -> str:
        """Return the next line."""
        async with asyncio.timeout(PATIENCE):
            line = (await self.response.content.readline()).decode()
        assert line.endswith("\n"), "the stream has ended"
        return line.removesuffix("\n")

    async def events(self, count: int) -> list[str]:
        """Return the names of so many events, all from the next message on."""
        return [json.loads((await self.message())["data"])["event"] for _ in range(count)]

    async def ended(self) -> None:
        """Wait until the server has ended the stream."""
        async with asyncio.timeout(PATIENCE):
            while await self.response.content.readline():
                pass


@asynccontextmanager
async def reading(
    client: aiohttp.ClientSession, query: str = "", **headers: str
) -> AsyncIterator[Reader]:
    """Open a stream, and wait until it has begun."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.get(f"/events{query}", headers=named) as response:
        assert response.status == 200
        reader = Reader(response)
        assert await reader.line() == "retry: 1000"
        yield reader


async def test_an_event_is_a_message() -> None:
    """One line of JSON with all of the entry, under an id; for no cache, and never packed."""
    journal = Journal()
    happen(journal, "EARLIER")
    async with serving(journal=journal) as (_, client), reading(client) as reader:
        assert reader.response.content_type == "text/event-stream"
        assert reader.response.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in reader.response.headers
        happen(journal, "STOP", details="cause=host")
        message = await reader.message()
        assert message["id"] == f"{journal.run}-2"
        assert json.loads(message["data"]) == {
            "vm": "web",
            "event": "STOP",
            "time": 1.5,
            "details": "cause=host",
            "severity": "warn",
            "count": 1,
        }


async def test_hostile_text_is_one_line() -> None:
    """It ends neither its line nor its message."""
    evil = "\r\n\n: </script>\u2028\x00event: skipped\ndata: {}"
    journal = Journal()
    async with serving(journal=journal) as (_, client), reading(client) as reader:
        happen(journal, evil, vm=evil, details=evil)
        found = json.loads((await reader.message())["data"])
        assert (found["vm"], found["event"], found["details"]) == (evil, evil, evil)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["A", "B", "A", "C", "END"]),
        ("?vm=web&vm=end", ["A", "B", "END"]),
        ("?event=A&event=END", ["A", "A", "END"]),
        ("?vm=db&event=A&vm=end&event=END", ["A", "END"]),
        ("?vm=&event=", ["A", "B", "A", "C", "END"]),
    ],
)
async def test_filters_may_be_repeated(query: str, names: list[str]) -> None:
    """Some machines, some events, or some events of some machines; an empty one is none."""
    journal = Journal()
    async with serving(journal=journal) as (_, client), reading(client, query) as reader:
        happen(journal, "A", "B")
        happen(journal, "A", "C", vm="db")
        happen(journal, "END", vm="end")
        assert await reader.events(len(names)) == names


async def test_what_is_filtered_out_is_a_change() -> None:
    """So that a page knows when to look; so is what is no event at all."""
    journal = Journal()
    async with serving(journal=journal) as (_, client), reading(client, "?vm=db") as reader:
        happen(journal, "A")
        assert (await reader.message())["event"] == "changed"
        journal.changes += 1
        assert (await reader.message())["event"] == "changed"


async def test_a_reader_knows_where_it_is_though_nothing_was_for_it() -> None:
    """Who comes back is not told that others' events were skipped, and misses none of its own."""
    journal = Journal(4)
    happen(journal, "EARLIER")
    async with serving(journal=journal) as (_, client):
        async with reading(client, "?vm=db") as reader:
            assert await reader.line() == f"id: {journal.run}-1"
            happen(journal, *"ABC")
            at = (await reader.message())["id"]
            assert at == f"{journal.run}-4"
        happen(journal, *"DEF")
        happen(journal, "STOP", vm="db")
        async with reading(client, f"?vm=db&after={journal.run}-1", Last_Event_ID=at) as reader:
            assert await reader.events(1) == ["STOP"]


async def test_what_was_missed_is_told_once() -> None:
    """Who comes back after it was told, and before anything else happens, is not told again."""
    journal = Journal(4)
    happen(journal, *"ABCDEFG")
    async with serving(journal=journal) as (_, client):
        async with reading(client, f"?after={journal.run}-1&vm=db") as reader:
            message = await reader.message()
            assert message["event"] == "skipped"
        async with reading(client, "?vm=db", Last_Event_ID=message["id"]) as reader:
            happen(journal, "STOP", vm="db")
            assert await reader.events(1) == ["STOP"]


@pytest.mark.parametrize("way", ["header", "query", "both"])
async def test_a_reader_goes_on_where_it_was(way: str) -> None:
    """By what the browser sends after a loss; by the address where it sends nothing."""
    journal = Journal()
    happen(journal, "A", "B", "C")
    query = f"?after={journal.run}-{1 if way == 'query' else 0}" if way != "header" else ""
    headers = {} if way == "query" else {"Last_Event_ID": f"{journal.run}-1"}
    async with serving(journal=journal) as (_, client), reading(client, query, **headers) as reader:
        assert await reader.events(2) == ["B", "C"]


@pytest.mark.parametrize("last", ["0123abcd-2", "nonsense", "-", "{run}-x", "{run}-", "{run}-٣"])
async def test_numbers_of_another_run_mean_nothing(last: str) -> None:
    """The exporter was started again: all that there is, is new."""
    journal = Journal()
    happen(journal, "A", "B", "C")
    after = last.format(run=journal.run)
    async with (
        serving(journal=journal) as (_, client),
        reading(client, f"?after={after}") as reader,
    ):
        assert await reader.events(3) == ["A", "B", "C"]


async def test_a_number_that_is_not_there_yet_is_the_last() -> None:
    """However large."""
    journal = Journal()
    happen(journal, "A")
    async with (
        serving(journal=journal) as (_, client),
        reading(client, f"?after={journal.run}-{'9' * 400}") as reader,
    ):
        happen(journal, "B")
        assert await reader.events(1) == ["B"]


async def test_what_was_missed_is_told() -> None:
    """The ring has turned: how many are gone, then those that are left."""
    journal = Journal(4)
    happen(journal, *"ABCDEFG")
    async with (
        serving(journal=journal) as (_, client),
        reading(client, f"?after={journal.run}-1") as reader,
    ):
        assert await reader.message() == {
            "id": f"{journal.run}-3",
            "event": "skipped",
            "data": '{"skipped":2}',
        }
        assert await reader.events(4) == list("DEFG")


async def test_a_slow_reader_costs_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets what fits into its socket, then the newest, and the number of those in between."""
    monkeypatch.setattr(stream, "LOOK", 0.001)
    journal, total, size = Journal(256), 100_000, 400
    async with serving(journal=journal) as (server, client), reading(client) as reader:
        (connection,) = server._runner.server.connections  # type: ignore[union-attr]
        most = 0
        for number in range(total):
            happen(journal, f"E{number}", details="x" * size)
            if number % 200 == 0:
                await asyncio.sleep(0.001)
                assert connection.transport is not None
                most = max(most, connection.transport.get_write_buffer_size())
        assert most < 2 * 64 * (size + 200)
        got = skipped = 0
        while got + skipped < total:
            message = await reader.message()
            data = json.loads(message["data"])
            if message.get("event") == "skipped":
                skipped += data["skipped"]
            else:
                got += 1
                assert data["event"] == f"E{got + skipped - 1}"
        assert skipped > total / 2


@pytest.mark.parametrize("batch", [64, 2048])
async def test_a_reader_that_stands_still_is_dropped(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """It keeps its place only so long, however much it is given at a time."""
    monkeypatch.setattr(stream, "_BATCH", batch)
    monkeypatch.setattr(stream, "LOOK", 0.001)
    monkeypatch.setattr(stream, "PATIENCE", 0.2)
    journal = Journal()
    async with serving(journal=journal) as (server, client), reading(client):
        async with asyncio.timeout(PATIENCE):
            while server._runner.server.connections:  # type: ignore[union-attr]
                happen(journal, *["E"] * 200, details="x" * 400 * (batch // 64))
                await asyncio.sleep(0.001)


async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a comment, so that no proxy takes the connection for dead."""
    monkeypatch.setattr(stream, "LOOK", 0.001)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.01)
    journal = Journal()
    async with serving(journal=journal) as (_, client), reading(client) as reader:
        assert [await reader.line() for _ in range(2)] == [f"id: {journal.run}-0", ""]
        assert [await reader.line() for _ in range(4)] == [":", "", ":", ""]


async def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is turned away and counted; who goes makes room."""
    monkeypatch.setattr(stream, "STREAMS", 2)
    monkeypatch.setattr(stream, "LOOK", 0.001)
    rejected: list[str] = []
    async with serving(journal=Journal(), rejected=rejected.append) as (_, client):
        async with reading(client), reading(client):
            async with client.get("/events") as response:
                assert response.status == 503
                assert await response.text() == (
                    "2 streams are open, which is the limit; try again later\n"
                )
            assert rejected == ["503"]
        async with asyncio.timeout(PATIENCE):
            while True:
                async with client.get("/events") as response:
                    if response.status == 200:
                        break
                await asyncio.sleep(0.01)


async def test_a_stream_takes_no_place_of_a_scrape() -> None:
    """Nor does a scrape take one of a stream."""
    held = Held()
    async with (
        serving(journal=Journal(), render=held, max_requests=1) as (_, client),
        reading(client),
    ):
        scrape = asyncio.create_task(client.get("/metrics"))
        await held.wait_started()
        async with reading(client):
            held.go.set()
        async with await scrape as response:
            assert response.status == 200
            assert gzip.decompress(await response.read()) == BODY


async def test_streams_end_with_the_server() -> None:
    """At once, orderly, and long before the server would drop them."""
    async with serving(journal=Journal()) as (server, client), reading(client) as reader:
        began = monotonic()
        stopping = asyncio.create_task(server.stop(PATIENCE))
        await reader.ended()
        await stopping
        assert monotonic() - began < PATIENCE / 2


async def test_head_has_the_headers_only() -> None:
    """It ends, and takes no place."""
    async with serving(journal=Journal()) as (_, client), client.head("/events") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert await response.read() == b""


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/events?vms=a", 400, "found the parameter 'vms'; expected vm, event or after\n"),
        ("/vm", 400, "no parameter name; expected /vm?name=NAME\n"),
        ("/vm?name=", 404, "no virtual machine of that name is known\n"),
        ("/vm?name=%3Cscript%3E", 404, "no virtual machine of that name is known\n"),
    ],
)
async def test_what_cannot_be_answered_says_why(path: str, status: int, text: str) -> None:
    """In one sentence of plain text."""
    async with serving() as (_, client), client.get(path) as response:
        assert (response.status, await response.text()) == (status, text)
        assert response.content_type == "text/plain"


@pytest.mark.parametrize("path", ["/vm?name=web", "/events"])
@pytest.mark.parametrize("off", [{"page": False}, {"telemetry_path": "/"}])
async def test_without_the_page_there_is_nothing_of_it(path: str, off: dict[str, Any]) -> None:
    """Neither the machines nor their events are told."""
    async with serving(**off) as (_, client), client.get(path) as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/events", "/vm"])
def test_a_page_is_no_place_for_metrics(path: str) -> None:
    """The telemetry path cannot be one of them."""
    with pytest.raises(ConfigError, match=f"'{path}'; expected .* and not"):
        check_telemetry_path(path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/vm?name=web", "/events"])
async def test_other_methods_are_not_allowed(path: str, method: str) -> None:
    """Only GET and HEAD."""
    async with serving() as (_, client), client.request(method, path) as response:
        assert response.status == 405
