"""TLS over real sockets: who is let in, who is not, and what that depends on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import trustme

from certificates import expired
from integration.secured import BODY, MUTUAL, PATIENCE, TLS, Authority, secured
from qmp_exporter.web import peer


if TYPE_CHECKING:
    from pathlib import Path

    from integration.secured import Secured

OK = (200, BODY.decode())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority, and a certificate for the server in the folder of the test."""
    return Authority(tmp_path)


def other(*names: str) -> trustme.LeafCert:
    """A certificate of an authority that nobody trusts."""
    return trustme.CA().issue_cert(*names)


async def turned_away(running: Secured, context: ssl.SSLContext) -> None:
    """A client gets no answer at all: neither a page nor a status."""
    with pytest.raises(OSError):  # noqa: PT011 - ssl.SSLError, or one of a connection
        await running.get(context)


async def test_a_page_over_tls(authority: Authority, tmp_path: Path) -> None:
    """A client that trusts the authority gets the page, one that does not is counted."""
    async with secured(tmp_path, TLS) as running:
        assert running.url.startswith("https://localhost:")
        assert await running.get(authority.client()) == OK
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(resumed, running.port, ssl.create_default_context())
        await running.until_failed(refused=1)
        with pytest.raises(ssl.SSLCertVerificationError):  # asyncio hangs up without a word
            await running.get(ssl.create_default_context())
        await running.until_failed(refused=1, closed=1)


@pytest.mark.parametrize("policy", ["", "NoClientCert"])
async def test_nobody_is_asked_for_a_certificate(
    policy: str, authority: Authority, tmp_path: Path
) -> None:
    """Where no policy says so; whoever has one is let in with it, whatever it is."""
    text = f"{TLS}  client_auth_type: {policy}\n" if policy else TLS
    async with secured(tmp_path, text) as running:
        assert await running.get(authority.client()) == OK
        assert await running.get(authority.client(other("a.example"))) == OK


async def test_a_certificate_is_required(authority: Authority, tmp_path: Path) -> None:
    """One of the authority, that is not over, and of a client; each of the others is counted."""
    async with secured(tmp_path, MUTUAL) as running:
        good = authority.client(authority.ca.issue_cert("a.example"))
        assert await running.get(good) == OK
        await turned_away(running, authority.client())
        await running.until_failed(certificate=1)
        await turned_away(running, authority.client(other("a.example")))
        await running.until_failed(certificate=2)
        await turned_away(running, authority.client(expired(authority.ca, "a.example")))
        await running.until_failed(certificate=3)
        assert await running.get(good) == OK


async def test_a_certificate_is_verified_if_given(authority: Authority, tmp_path: Path) -> None:
    """Who has none is let in, who has a wrong one is not."""
    text = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    async with secured(tmp_path, text) as running:
        assert await running.get(authority.client()) == OK
        assert await running.get(authority.client(authority.ca.issue_cert("a.example"))) == OK
        await turned_away(running, authority.client(other("a.example")))
        await running.until_failed(certificate=1)


async def test_without_a_ca_those_of_the_system_count(authority: Authority, tmp_path: Path) -> None:
    """As with Go: a policy without a CA does not let everybody in."""
    text = "".join(line for line in MUTUAL.splitlines(keepends=True) if "ca_file" not in line)
    async with secured(tmp_path, text) as running:
        await turned_away(running, authority.client(authority.ca.issue_cert("a.example")))
        await running.until_failed(certificate=1)


async def test_with_a_ca_file_of_nothing_nobody_is_let_in(
    authority: Authority, tmp_path: Path
) -> None:
    """As with Go, which takes such a file."""
    (tmp_path / "none.pem").write_text("none")
    async with secured(tmp_path, MUTUAL.replace("ca.pem", "none.pem")) as running:
        await turned_away(running, authority.client(authority.ca.issue_cert("a.example")))
        await running.until_failed(certificate=1)


async def test_one_client_can_be_trusted_by_its_own_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    """What is in the file of the CAs is trusted, be it a root, an intermediate or a client."""
    between = authority.ca.create_child_ca()
    client = between.issue_cert("a.example")
    (tmp_path / "ca.pem").write_bytes(client.cert_chain_pems[0].bytes())
    async with secured(tmp_path, MUTUAL) as running:
        assert await running.get(authority.client(client)) == OK
        await turned_away(running, authority.client(between.issue_cert("b.example")))
    between.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with secured(tmp_path, MUTUAL) as running:
        assert await running.get(authority.client(between.issue_cert("b.example"))) == OK
        await turned_away(running, authority.client(authority.ca.issue_cert("a.example")))


async def test_a_client_is_told_why(authority: Authority, tmp_path: Path) -> None:
    """By an alert of TLS, which people find in the log of their Prometheus."""
    async with secured(tmp_path, MUTUAL) as running:
        with pytest.raises(ssl.SSLError) as caught:
            await running.get(authority.client(other("a.example")))
        assert "UNKNOWN_CA" in caught.value.reason


NAMES = [
    ("a.example", "a.example"),
    ("10.1.2.3", "10.1.2.3"),
    ("2001:db8::1", "2001:db8::1"),
    ("someone@a.example", "someone@a.example"),
]


@pytest.mark.parametrize(("name", "allowed"), NAMES)
async def test_a_certificate_must_have_an_allowed_name(
    name: str, allowed: str, authority: Authority, tmp_path: Path
) -> None:
    """Be it a name of DNS, an address or one of mail; a certificate with others is not enough."""
    text = f"{MUTUAL}  client_allowed_sans: ['nobody', '{allowed}']\n"
    async with secured(tmp_path, text) as running:
        good = authority.ca.issue_cert("else.example", name)
        assert await running.get(authority.client(good)) == OK
        bad = authority.ca.issue_cert("else.example", "10.9.9.9", common_name=name)
        await turned_away(running, authority.client(bad))
        await running.until_failed(certificate=1)


@pytest.mark.parametrize(
    ("allowed", "certified", "lets_in"),
    [
        ("[]", True, False),
        ("[a.example]", False, False),
        ("['*.example']", True, False),
        ("[A.example]", True, False),
        ("", True, True),
        ("", False, True),
    ],
)
async def test_names_are_compared_as_they_are(
    allowed: str,
    certified: bool,  # noqa: FBT001
    lets_in: bool,  # noqa: FBT001
    authority: Authority,
    tmp_path: Path,
) -> None:
    """Without patterns; an empty list allows nobody, no list everybody; no certificate, no name."""
    text = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    async with secured(tmp_path, f"{text}  client_allowed_sans: {allowed}\n") as running:
        client = authority.client(authority.ca.issue_cert("a.example") if certified else None)
        if lets_in:
            assert await running.get(client) == OK
        else:
            await turned_away(running, client)
            await running.until_failed(certificate=1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_have_a_least_and_a_greatest(
    version: ssl.TLSVersion, authority: Authority, tmp_path: Path
) -> None:
    """Of the two that are usual each alone can be had."""
    name = version.name.replace("v1_", "1")
    text = f"{TLS}  min_version: {name}\n  max_version: {name}\n"
    async with secured(tmp_path, text) as running:
        for client in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            limits = {"minimum_version": client, "maximum_version": client}
            if client is version:
                assert await running.get(authority.client(**limits)) == OK
            else:
                await turned_away(running, authority.client(**limits))
        await running.until_failed(protocol=1)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("lowered", [True, False])
async def test_old_versions_only_if_asked_for(
    lowered: bool,  # noqa: FBT001
    authority: Authority,
    tmp_path: Path,
) -> None:
    """TLS 1.0 is spoken where min_version says so."""
    old = ssl.TLSVersion.TLSv1
    client = authority.client(minimum_version=old, maximum_version=old)
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with secured(tmp_path, TLS + ("  min_version: TLS10\n" if lowered else "")) as running:
        if lowered:
            assert await running.get(client) == OK
        else:
            await turned_away(running, client)


async def agreed(running: Secured, client: ssl.SSLContext) -> ssl.SSLObject:
    """What a client and the server agree on."""
    reader, writer = await asyncio.open_connection(
        "localhost", running.port, ssl=client, family=socket.AF_INET
    )
    found: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    await reader.read()
    return found


async def test_ciphers_are_those_of_the_file(authority: Authority, tmp_path: Path) -> None:
    """For TLS 1.2; a client with others alone is turned away."""
    text = f"{TLS}  cipher_suites:\n    - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\n"
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    async with secured(tmp_path, text) as running:
        found = (await agreed(running, authority.client(**old))).cipher()
        assert found is not None
        assert found[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
        client = authority.client(**old)
        client.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        await turned_away(running, client)
        await running.until_failed(protocol=1)


async def test_ciphers_of_tls_13_alone_leave_tls_13_alone(
    authority: Authority, tmp_path: Path
) -> None:
    """As with Go, where these cannot be chosen and the others are none then."""
    text = f"{TLS}  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"
    async with secured(tmp_path, text) as running:
        assert (await agreed(running, authority.client())).version() == "TLSv1.3"
        await turned_away(running, authority.client(maximum_version=ssl.TLSVersion.TLSv1_2))


async def test_a_curve_is_the_one_of_the_file(authority: Authority, tmp_path: Path) -> None:
    """A client with another one alone is turned away."""
    async with secured(tmp_path, f"{TLS}  curve_preferences: [CurveP384]\n") as running:
        client = authority.client()
        client.set_ecdh_curve("secp384r1")
        assert await running.get(client) == OK
        client.set_ecdh_curve("prime256v1")
        await turned_away(running, client)


async def test_http_1_1_is_what_is_offered(authority: Authority, tmp_path: Path) -> None:
    """To a client that would speak HTTP/2 too, or that only."""
    client = authority.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    async with secured(tmp_path, f"{TLS}http_server_config:\n  http2: true\n") as running:
        assert (await agreed(running, client)).selected_alpn_protocol() == "http/1.1"


def resumed(
    port: int, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool | None]:
    """Get a page as who was here before; raises OSError without an answer.

    Returns:
        The session, and whether it is the one before.
    """
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as raw,
        client.wrap_socket(raw, server_hostname="localhost", session=session) as found,
    ):
        found.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: found.recv(65536), b""))
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ConnectionResetError("no answer")
        return found.session, found.session_reused


async def test_a_session_is_not_resumed(authority: Authority, tmp_path: Path) -> None:
    """With TLS 1.3 each connection is verified anew."""
    client = authority.client()
    async with secured(tmp_path, TLS) as running:
        session, _ = await asyncio.to_thread(resumed, running.port, client)
        assert session is None or not session.has_ticket
        assert not (await asyncio.to_thread(resumed, running.port, client, session))[1]


async def test_a_session_ends_with_its_certificate(authority: Authority, tmp_path: Path) -> None:
    """TLS 1.2 has sessions that cannot be switched off: a certificate that is over ends them."""
    made = authority.ca.issue_cert("a.example")
    client = authority.client(made, maximum_version=ssl.TLSVersion.TLSv1_2)
    async with secured(tmp_path, MUTUAL) as running:
        session, _ = await asyncio.to_thread(resumed, running.port, client)
        assert (await asyncio.to_thread(resumed, running.port, client, session))[1]
        with mock.patch.object(peer, "time", return_value=4e12):
            with pytest.raises(OSError):  # noqa: PT011 - which one, depends on who is quicker
                await asyncio.to_thread(resumed, running.port, client, session)
            await running.until_failed(certificate=1)


async def test_who_speaks_plain_http_is_told(authority: Authority, tmp_path: Path) -> None:
    """That this is HTTPS, as Go does; and is counted."""
    assert authority
    async with secured(tmp_path, TLS) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"https" in answer
        assert BODY not in answer
        writer.close()
        await running.until_failed(protocol=1)


async def test_it_works_over_a_unix_socket_too(authority: Authority, tmp_path: Path) -> None:
    """TLS is for every listener."""
    path = str(tmp_path / "web.sock")
    async with secured(tmp_path, MUTUAL, address=f"unix:{path}") as running:
        assert running.server.bound == (f"unix:{path}",)
        client = authority.client(authority.ca.issue_cert("a.example"))
        reader, writer = await asyncio.open_unix_connection(
            path, ssl=client, server_hostname="localhost"
        )
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert BODY in await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
