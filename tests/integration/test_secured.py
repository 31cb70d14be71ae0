"""The whole exporter with a web configuration file: what it tells of it, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from integration.secured import MUTUAL, PATIENCE, TLS, Authority
from qmp_exporter import cli
from qmp_exporter.web import HANDSHAKE_FAILURES


if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.exporter import Exporter

READ = "qmp_exporter_web_config_last_reload_successful"
FAILURES = "qmp_exporter_tls_handshake_failures_total"


@asynccontextmanager
async def secured(folder: Path, text: str) -> AsyncIterator[tuple[Exporter, Authority]]:
    """An exporter with this web configuration file, and a client of it with a certificate."""
    authority = Authority(folder)
    (folder / "web.yml").write_text(text)
    file = str(folder / "web.yml")
    connector = aiohttp.TCPConnector(ssl=authority.client(authority.ca.issue_cert("a.example")))
    async with (
        FakeMonitor(folder / "vm.sock", name="web01") as monitor,
        exporting(monitor, web_config_file=file) as it,
        aiohttp.ClientSession(it.app.server.bound[0], connector=connector) as client,
    ):
        it.client = client
        yield it, authority


async def test_what_fails_is_counted_by_reason(tmp_path: Path) -> None:
    """All reasons are there from the beginning, at 0."""
    async with secured(tmp_path, MUTUAL) as (it, authority):
        page = await it.scrape()
        assert {page[FAILURES, {"reason": reason}] for reason in HANDSHAKE_FAILURES} == {0}
        port = int(it.app.server.bound[0].rpartition(":")[2])
        stranger = authority.client()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), PATIENCE) as raw,
            stranger.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            wrapped.recv(1)
        await it.until(
            lambda page: page.rows(FAILURES) == {("certificate",): 1}, "a client without one"
        )


async def test_a_file_that_was_wrong_is_shown(tmp_path: Path) -> None:
    """Until it is right again."""
    async with secured(tmp_path, TLS) as (it, _):
        assert (await it.scrape())[READ] == 1
        (tmp_path / "server.key").write_text("gone")
        await it.until(lambda page: page[READ] == 0, "the key to be missed")
        (tmp_path / "web.yml").write_text("")
        await it.until(lambda page: page[READ] == 1, "a file that is right")


async def test_without_a_file_there_is_nothing_of_it(tmp_path: Path) -> None:
    """Neither the gauge nor the counter: an alert on it would mean nothing."""
    async with FakeMonitor(tmp_path / "vm.sock") as monitor, exporting(monitor) as it:
        page = await it.scrape()
        assert page[READ] is None
        assert not [name for name, _ in page.samples if name == FAILURES]


async def test_another_file_takes_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which the log says at a reload."""
    async with secured(tmp_path, TLS) as (it, _):
        other = msgspec.structs.replace(it.app.settings, web_config_file="")
        it.app._reread = lambda: other
        await it.app.reload()
        assert "changed, and takes a restart: web.config_file" in caplog.text
        assert (await it.scrape())[READ] == 1


async def test_it_stops_in_time_though_a_client_is_silent(tmp_path: Path) -> None:
    """One that has a connection, and does not answer when TLS says good-bye on it."""

    def connect() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
        found = client.wrap_socket(raw, server_hostname="localhost")
        found.sendall(b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        assert found.recv(1) == b"H"
        return found

    async with secured(tmp_path, MUTUAL) as (it, authority):
        client = authority.client(authority.ca.issue_cert("a.example"))
        port = int(it.app.server.bound[0].rpartition(":")[2])
        idle = await asyncio.to_thread(connect)
        began = monotonic()
        await it.app.server.stop()
        assert monotonic() - began < 5
        idle.close()


@pytest.mark.parametrize("more", [[], ["--config.check"]])
def test_it_does_not_start_with_what_is_wrong(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does the check pass: the line and key of what is wrong, and exit status 2."""
    file = tmp_path / "web.yml"
    arguments = ["--qmp.socket", "/a/b", "--web.config.file", str(file), *more]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said == f"qmp-exporter: {file}: No such file or directory; expected a YAML file\n"
    file.write_text(TLS)
    assert cli.main(arguments) == 2
    where = f"{file}:2: tls_server_config.cert_file"
    missing = f"'{tmp_path}/server.pem': No such file or directory; expected a file"
    assert capsys.readouterr().err == f"qmp-exporter: {where}: {missing}\n"


def test_the_check_reads_certificates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path in a file starts in its folder, one of a flag in the working directory."""
    Authority(tmp_path)
    (tmp_path / "web.yml").write_text(MUTUAL)
    (tmp_path / "c.yml").write_text("web: {config_file: web.yml}\nqmp: {socket: /a/b}\n")
    assert cli.main(["--config.file", str(tmp_path / "c.yml"), "--config.check"]) == 0
    by_file = capsys.readouterr().out
    assert f"  config_file: {tmp_path}/web.yml\n" in by_file
    monkeypatch.chdir(tmp_path)
    arguments = ["--qmp.socket", "/a/b", "--web.config.file", "web.yml", "--config.check"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == by_file
    (tmp_path / "server.key").write_text("")
    assert cli.main(arguments) == 2
    assert "expected a certificate in PEM, and the key to it" in capsys.readouterr().err
