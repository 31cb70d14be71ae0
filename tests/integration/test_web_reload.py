"""A web configuration file that changes under a running server, and certificates that do."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from integration.secured import (
    BODY,
    CREDENTIALS,
    HASH,
    MUTUAL,
    PATIENCE,
    TLS,
    Authority,
    secured,
    until,
)
from qmp_exporter.config.web_file import Rate
from qmp_exporter.errors import ConfigError
from qmp_exporter.web.security import Security, check


if TYPE_CHECKING:
    from pathlib import Path

    from integration.secured import Secured

OK = (200, BODY.decode())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority, and a certificate for the server in the folder of the test."""
    return Authority(tmp_path)


async def serial(running: Secured, client: ssl.SSLContext) -> str:
    """The serial number of the certificate that the server shows."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=client, server_hostname="localhost"
    )
    found: str = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await reader.read()
    return found


async def test_a_new_certificate_is_shown(authority: Authority, tmp_path: Path) -> None:
    """To connections that begin after it; those that are open go on."""
    client = authority.client()
    async with secured(tmp_path, TLS) as running:
        old = await serial(running, client)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=client, server_hostname="localhost"
        )
        authority.serve()
        await until(lambda: running.reloads == [True])
        assert await serial(running, client) != old
        assert writer.get_extra_info("peercert")["serialNumber"] == old
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert BODY in await reader.read()
        writer.close()


async def test_half_of_a_new_certificate_is_waited_for(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that came before its key: the old one stays, which is told once.

    With the key, the new one is taken; nobody has to touch the web configuration file.
    """
    key = (tmp_path / "server.key").read_bytes()
    client = authority.client()
    async with secured(tmp_path, TLS) as running:
        old = await serial(running, client)
        authority.serve()
        new = (tmp_path / "server.key").read_bytes()
        (tmp_path / "server.key").write_bytes(key)
        for _ in range(3):
            running.security.look()
        assert running.reloads == [False]
        assert await serial(running, client) == old
        (tmp_path / "server.key").write_bytes(new)
        running.security.look()
        assert running.reloads == [False, True]
        assert await serial(running, client) != old
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("the web configuration stays as it was: ")
    assert "key values mismatch" in line


async def test_a_folder_that_is_swapped_is_seen(authority: Authority, tmp_path: Path) -> None:
    """As Kubernetes changes a secret: the link to a folder is replaced."""
    client = authority.client()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        authority.folder = tmp_path / name
        authority.serve()
    (tmp_path / "now").symlink_to("one")
    text = TLS.replace("server.", "now/server.")
    async with secured(tmp_path, text) as running:
        old = await serial(running, client)
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "now")
        running.security.look()
        assert await serial(running, client) != old


async def test_a_new_policy_holds_for_new_connections(authority: Authority, tmp_path: Path) -> None:
    """CAs, names, versions: all of what TLS is asked; with and without a name from the client."""
    path = tmp_path / "web.yml"
    stranger = authority.client()
    stranger.check_hostname = False
    friend = authority.client(authority.ca.issue_cert("a.example"))
    async with secured(tmp_path, TLS) as running:
        assert await running.get(stranger) == OK
        for text, lets_in in (
            (MUTUAL, True),
            (f"{MUTUAL}  client_allowed_sans: [b.example]\n", False),
            (f"{MUTUAL}  client_allowed_sans: [a.example]\n", True),
            (MUTUAL.replace("ca.pem", "server.pem"), False),
        ):
            path.write_text(text)
            running.security.look()
            for name in ("localhost", None):
                reader = asyncio.open_connection(
                    "127.0.0.1", running.port, ssl=stranger, server_hostname=name or ""
                )
                with pytest.raises(OSError):  # noqa: PT011 - which one, depends on who is quicker
                    await answer(await reader)
            if lets_in:
                assert await running.get(friend) == OK
            else:
                with pytest.raises(OSError):  # noqa: PT011
                    await running.get(friend)
        path.write_text(f"{TLS}  min_version: TLS13\n")
        running.security.look()
        assert await running.get(stranger) == OK
        with pytest.raises(OSError):  # noqa: PT011
            await running.get(authority.client(maximum_version=ssl.TLSVersion.TLSv1_2))


async def answer(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    """What comes for a request; ConnectionError where nothing does."""
    reader, writer = streams
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        found = await reader.read()
    finally:
        writer.close()
    if not found:
        raise ConnectionResetError("no answer")
    return found


@pytest.mark.parametrize("text", ["tls_server_config: [", "unknown: 1\n", "x" * 2_000_000])
async def test_a_wrong_file_keeps_what_was(
    text: str, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In every part; it is told once for each change, and what is right again is taken."""
    path = tmp_path / "web.yml"
    users = f"basic_auth_users:\n  alice: {HASH}\n"
    client = authority.client()
    async with secured(tmp_path, TLS + users) as running:
        path.write_text(text)
        for _ in range(3):
            running.security.look()
        assert await running.get(client, "/metrics", CREDENTIALS) == OK
        assert (await running.get(client))[0] == 401
        path.unlink()
        running.security.look()
        assert (await running.get(client))[0] == 401
        path.write_text(TLS)
        running.security.look()
        assert await running.get(client) == OK
        assert running.reloads == [False, False, True]
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [
        line.startswith(f"the web configuration stays as it was: {path}") for line in lines
    ] == [
        True,
        True,
    ]


async def test_users_come_and_go(tmp_path: Path) -> None:
    """Without TLS as well: from the next request on, and what was remembered does not count."""
    users = f"basic_auth_users:\n  alice: {HASH}\n"
    path = tmp_path / "web.yml"
    async with secured(tmp_path, "") as running:
        assert await running.get() == OK
        path.write_text(users)
        running.security.look()
        assert (await running.get())[0] == 401
        assert await running.get(None, "/metrics", CREDENTIALS) == OK
        path.write_text(users.replace("alice", "bob"))
        running.security.look()
        assert (await running.get(None, "/metrics", CREDENTIALS))[0] == 401
        path.write_text(users.replace(HASH, HASH[:-1] + "1"))
        running.security.look()
        assert (await running.get(None, "/metrics", CREDENTIALS))[0] == 401


async def test_the_server_looks_by_itself(tmp_path: Path) -> None:
    """About once a second, without a request."""
    async with secured(tmp_path, "") as running:
        (tmp_path / "web.yml").write_text("# nothing else\n")
        await until(lambda: running.reloads == [True])


async def test_what_has_not_changed_is_not_read_again(authority: Authority, tmp_path: Path) -> None:
    """Neither after a touch nor after a copy with the same text."""
    assert authority
    path = tmp_path / "web.yml"
    async with secured(tmp_path, TLS) as running:
        state = running.security.state
        running.security.look()
        path.touch()
        running.security.look()
        other = tmp_path / "other.yml"
        other.write_text(TLS)
        other.rename(path)
        running.security.look()
        assert running.security.state is state
        assert running.reloads == []


@pytest.mark.parametrize(("seconds", "seen"), [(0, True), (60, False)])
def test_a_change_within_the_grain_of_the_clock_is_seen(
    seconds: int,
    seen: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a file that was just written, the time says nothing; others are not read each second."""
    path = tmp_path / "web.yml"
    path.write_text("rate_limit: {interval: 1s, burst: 1}\n")
    found = (time.time_ns() - seconds * 10**9, path.stat().st_size)
    monkeypatch.setattr("qmp_exporter.web.security._stat", lambda _: found)
    security = Security(str(path))
    security.look()
    path.write_text("rate_limit: {interval: 1s, burst: 2}\n")
    security.look()
    assert security.state.file.rate == Rate(1.0, 2 if seen else 1)


@pytest.mark.parametrize("first", [True, False])
async def test_turning_tls_on_or_off_takes_a_restart(
    first: bool,  # noqa: FBT001
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said in the log; the rest of the file holds at once."""
    users = f"basic_auth_users:\n  alice: {HASH}\n"
    texts = (TLS, users) if first else ("", TLS + users)
    client = authority.client() if first else None
    async with secured(tmp_path, texts[0]) as running:
        assert await running.get(client) == OK
        (tmp_path / "web.yml").write_text(texts[1])
        running.security.look()
        assert (await running.get(client))[0] == 401
        assert await running.get(client, "/metrics", CREDENTIALS) == OK
    stays = "with" if first else "without"
    assert f"takes a restart: the listeners stay {stays} TLS" in caplog.text


async def test_no_request_is_lost_while_certificates_change(
    authority: Authority, tmp_path: Path
) -> None:
    """Under load, with a new certificate, CA and policy again and again."""
    path = tmp_path / "web.yml"
    client = authority.client(authority.ca.issue_cert("a.example"))
    texts = (TLS, MUTUAL, f"{MUTUAL}  client_allowed_sans: [a.example]\n")
    asked = 0
    async with secured(tmp_path, TLS) as running:
        done = asyncio.Event()

        async def load() -> None:
            nonlocal asked
            while not done.is_set():
                assert await running.get(client) == OK
                asked += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(load())
            serials = set()
            for turn in range(12):
                authority.serve()
                path.write_text(texts[turn % 3])
                await asyncio.to_thread(running.security.look)
                serials.add(await serial(running, client))
                before = asked
                await until(lambda before=before: asked > before + 8)  # type: ignore[misc]
            done.set()
        assert len(serials) == 12
        assert running.reloads.count(True) >= 12
        assert running.failed == {}


def test_a_first_file_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    """Nobody is served without the TLS that was asked for."""
    (tmp_path / "web.yml").write_text(TLS)
    with pytest.raises(ConfigError, match="No such file or directory"):
        Security(str(tmp_path / "web.yml"))


@pytest.mark.parametrize("name", ["web.yml", "server.pem"])
async def test_a_pipe_is_refused(name: str, authority: Authority, tmp_path: Path) -> None:
    """What it has is there once: read again, it would be a file that asks nothing of anybody.

    Nobody waits for it to be written to, neither at the start nor while the exporter runs.
    """
    assert authority
    path = tmp_path / name
    async with secured(tmp_path, TLS) as running:
        path.unlink()
        os.mkfifo(path)
        await asyncio.wait_for(asyncio.to_thread(running.security.look), PATIENCE)
        assert running.reloads == [False]
        with pytest.raises(ConfigError, match="a pipe, which cannot be read again; expected"):
            Security(str(tmp_path / "web.yml"))


def test_a_pipe_with_something_in_it_is_refused() -> None:
    """As a shell makes it of <(...): it was read once to look, and was empty when it counted."""
    for read in (Security, check):
        reader, writer = os.pipe()
        with open(reader):  # noqa: PTH123 - a number
            os.write(writer, f"basic_auth_users:\n  alice: {HASH}\n".encode())
            os.close(writer)
            with pytest.raises(ConfigError, match="a pipe, which cannot be read again"):
                read(f"/dev/fd/{reader}")


def test_a_change_that_could_not_be_read_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here all file descriptors were taken when it was looked at; nobody has to touch it again."""
    monkeypatch.setattr("qmp_exporter.web.security._RECENT", -1.0)
    path = tmp_path / "web.yml"
    path.write_text("rate_limit: {interval: 1s, burst: 1}\n")
    reloads: list[bool] = []
    security = Security(str(path), reloads.append)
    security.look()
    path.write_text("rate_limit: {interval: 1s, burst: 22}\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        security.look()
        security.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert reloads == [False]
    security.look()
    assert reloads == [False, True]
    assert security.state.file.rate == Rate(1.0, 22)


def test_a_file_is_not_read_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut to nothing before it is written anew, it asks for no password; nobody gets in by that."""
    path = tmp_path / "web.yml"
    text = f"basic_auth_users:\n  alice: {HASH}\n"
    path.write_text(text)
    reloads: list[bool] = []
    security = Security(str(path), reloads.append)
    path.write_text("")
    monkeypatch.setattr("qmp_exporter.web.security.sleep", lambda _: path.write_text(text + "  "))
    security.look()
    assert (reloads, list(security.state.file.users)) == ([], [b"alice"])
    security.look()
    assert (reloads, list(security.state.file.users)) == ([True], [b"alice"])
