"""What holds the exporter to the list of commands must itself be able to object."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from fake_qmp import FakeMonitor
from recorder import LISTED, Recorder, strangers


if TYPE_CHECKING:
    from pathlib import Path


EVENTS = (
    '{"execute": "migrate-set-capabilities", "arguments":'
    ' {"capabilities": [{"capability": "events", "state": %s}]}}'
)


def left_over(directory: Path) -> list[Path]:
    """What is in a directory."""
    return list(directory.iterdir())


def test_everything_on_the_list_passes_in_one_stream() -> None:
    """Commands of the list, with and without an id, with and without something between them."""
    stream = b""
    for command, allowed in LISTED.items():
        for arguments in allowed:
            message = {"execute": command, "arguments": json.loads(arguments), "id": "x"}
            stream += json.dumps(message).encode() + b"\r\n"
        if "{}" in allowed:
            stream += json.dumps({"execute": command}).encode()
    assert strangers(stream) == []
    assert strangers(b"") == []


@pytest.mark.parametrize(
    "sent",
    [
        '{"execute": "quit"}',
        '{"execute": "query-status", "arguments": {"x": 1}}',
        '{"execute": "query-status", "arguments": null}',
        '{"execute": "query-status", "control": {}}',
        '{"exec-oob": "query-status"}',
        '{"execute": ["query-status"]}',
        '{"execute": "query-status", "execute": "quit"}',
        '{"execute": "migrate-set-capabilities"}',
        EVENTS % 1,
        EVENTS % "false",
        '{"execute": "qmp_capabilities", "arguments": {"enable": []}}',
        '["query-status"]',
        '{"execute": "query-st',
        "\xff",
    ],
)
def test_everything_else_is_a_stranger_and_named(sent: str) -> None:
    """Other commands, arguments and members, and what is no command, wherever they stand."""
    good = b'{"execute": "query-status"}'
    assert strangers(good + sent.encode("latin-1")) != []
    if sent.endswith("}"):
        assert strangers(good + sent.encode() + good) in ([sent], [sent + good.decode()])


@pytest.mark.stock_client
async def test_the_proxy_passes_everything_on_and_fails_its_test_for_a_stranger(
    tmp_path: Path,
) -> None:
    """Client and monitor hear each other; a command that is not listed fails at the end."""

    async def talk(command: bytes) -> list[bytes]:
        async with FakeMonitor(tmp_path / "vm") as monitor:
            async with Recorder(tmp_path / "front", tmp_path / "vm") as recorder:
                reader, writer = await asyncio.open_unix_connection(tmp_path / "front")
                writer.write(b'{"execute": "qmp_capabilities"}' + command)
                heard = [await asyncio.wait_for(reader.readline(), 5) for _ in range(3)]
                writer.close()
            assert monitor.received == recorder.sent
        return heard

    heard = await talk(b'{"execute": "query-name"}')
    assert b"QMP" in heard[0]
    assert heard[1:] == [b'{"return": {}}\r\n', b'{"return": {"name": "vm"}}\r\n']
    with pytest.raises(AssertionError, match="quit"):
        await talk(b'{"execute": "quit"}')
    assert left_over(tmp_path) == []


@pytest.mark.stock_client
async def test_the_proxy_hangs_up_when_there_is_no_monitor_and_when_it_goes(
    tmp_path: Path,
) -> None:
    """A client sees the end of QEMU as it would without the proxy."""
    async with Recorder(tmp_path / "front", tmp_path / "vm"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "front")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()
        async with FakeMonitor(tmp_path / "vm") as monitor:
            reader, writer = await asyncio.open_unix_connection(tmp_path / "front")
            assert await asyncio.wait_for(reader.readline(), 5)
            await monitor.drop()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
