"""The web configuration file: what its keys mean, and what is said of those that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmp_exporter.config import web_file, web_tls
from qmp_exporter.config.web_file import Rate, WebFile, read_web_file
from qmp_exporter.config.web_tls import Pem, Tls
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from pathlib import Path

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
TLS = "tls_server_config:\n  cert_file: a.pem\n  key_file: /b/c.key\n"


def loaded(folder: Path, text: str) -> WebFile:
    """What a file with a text says."""
    (folder / "web.yml").write_text(text)
    return read_web_file(str(folder / "web.yml"))


def tls(folder: Path, text: str = "") -> Tls:
    """What a file says of TLS, whose lines are set in."""
    found = loaded(folder, TLS + text).tls
    assert found is not None
    return found


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    """Plain HTTP, for everybody, at any rate."""
    assert loaded(tmp_path, "") == WebFile(None, {}, {}, None, ())


def test_paths_start_in_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the working directory; absolute ones are as they are, and so are links."""
    found = tls(tmp_path)
    assert found.cert == Pem(
        f"{tmp_path}/web.yml:2: tls_server_config.cert_file", f"{tmp_path}/a.pem"
    )
    assert found.key.path == "/b/c.key"
    monkeypatch.chdir(tmp_path)
    again = read_web_file("web.yml").tls
    assert again is not None
    assert again.cert.path == "a.pem"


def test_defaults_are_those_of_the_toolkit(tmp_path: Path) -> None:
    """TLS 1.2 and 1.3, no certificate of the client, OpenSSL's ciphers and curves."""
    found = tls(tmp_path)
    assert (found.client_auth, found.client_ca, found.allowed_sans) == ("none", None, None)
    assert (found.min_version, found.max_version) == ("TLS12", "TLS13")
    assert (found.ciphers, found.curve) == (None, "")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("  min_version: TLS13\n", "min_version", "TLS13"),
        ("  max_version: TLS12\n", "max_version", "TLS12"),
        ("  curve_preferences: [X25519]\n", "curve", "X25519"),
        ("  curve_preferences: [CurveP384, CurveP384]\n", "curve", "secp384r1"),
        ("  cipher_suites: []\n", "ciphers", None),
        ("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", "ciphers", ()),
        (
            "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]\n",
            "ciphers",
            ("ECDHE-RSA-AES128-SHA",),
        ),
        ("  client_auth_type: VerifyClientCertIfGiven\n", "client_auth", "if-given"),
        ("  client_auth_type: RequireAndVerifyClientCert\n", "client_auth", "required"),
        ("  client_allowed_sans: [a, 10.0.0.1]\n", "allowed_sans", frozenset({"a", "10.0.0.1"})),
        ("  client_allowed_sans: []\n", "allowed_sans", frozenset()),
        ("  client_allowed_sans:\n", "allowed_sans", None),
    ],
)
def test_each_key_of_tls_sets_one_thing(text: str, key: str, value: object, tmp_path: Path) -> None:
    """In OpenSSL's words, where Go has others."""
    assert getattr(tls(tmp_path, text), key) == value


def test_a_file_comes_before_a_text(tmp_path: Path) -> None:
    """As in the toolkit, where both are there."""
    found = tls(tmp_path, "  cert: inline\n  key: inline\n")
    assert (found.cert.path, found.cert.text) == (f"{tmp_path}/a.pem", "")
    text = "tls_server_config: {cert: one, key: two, cert_file: '', key_file: ~}\n"
    inline = loaded(tmp_path, text).tls
    assert inline is not None
    assert (inline.cert.text, inline.key.text) == ("one", "two")


def test_users_and_rates_and_headers(tmp_path: Path) -> None:
    """Names of any kind; blank headers are none; an interval that is not above 0 is no limit."""
    found = loaded(
        tmp_path,
        f"basic_auth_users: {{alice: {HASH}, 12: {HASH}, '': {HASH}}}\n"
        "rate_limit: {interval: 100ms, burst: 5}\n"
        "http_server_config:\n  http2: off\n  headers:\n"
        "    X-XSS-Protection: 0\n    Content-Security-Policy: ''\n",
    )
    assert list(found.users) == [b"alice", b"12", b""]
    assert found.rate == Rate(0.1, 5)
    assert found.headers == {"X-XSS-Protection": "0"}
    for interval in ("0", "-1s", "~"):
        assert loaded(tmp_path, f"rate_limit: {{interval: {interval}, burst: 5}}").rate is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "  client_auth_type: RequireAnyClientCert\n",
            "4: tls_server_config.client_auth_type: found",
        ),
        (
            "  client_auth_type: RequestClientCert\n",
            "Python cannot ask for a certificate and not v",
        ),
        (
            "  curve_preferences: [X25519, CurveP256]\n",
            "found 2 curves; expected one curve or none",
        ),
        ("  client_ca_file: ca.pem\n", "4: tls_server_config.client_ca_file: found it without a"),
        ("  min_version: TLS14\n", "found 'TLS14'; expected a TLS version: one of TLS10, "),
        ("  cipher_suites: [RC4]\n", "cipher_suites[0]: found 'RC4'; expected a cipher suite: one"),
        ("  key_file: x\n", "4: tls_server_config.key_file: found a second time; expected once"),
        (
            "  keyfile: x\n",
            "4: tls_server_config.keyfile: found an unknown key; expected one of cert",
        ),
    ],
)
def test_a_refusal_says_where_and_why(text: str, says: str, tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(ConfigError) as caught:
        tls(tmp_path, text)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/web.yml:")


def test_a_certificate_without_a_key_says_what_is_missing(tmp_path: Path) -> None:
    """And the other way round; also where a policy alone turns TLS on."""
    for text, says in (
        ("{cert_file: a}", "found neither of key_file and key; expected key_file or key"),
        ("{key_file: a}", "found neither of cert_file and cert; expected cert_file or cert"),
        ("{client_auth_type: NoClientCert}", "found neither of cert_file and cert"),
    ):
        with pytest.raises(ConfigError, match=says):
            loaded(tmp_path, f"tls_server_config: {text}")


@pytest.mark.parametrize("secret", ["hunter2", HASH[:-2], f"x{HASH}", HASH.replace("$10$", "$99$")])
def test_what_should_be_a_hash_is_not_repeated(secret: str, tmp_path: Path) -> None:
    """It may be a password."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"basic_auth_users:\n  alice: {secret}\n")
    assert "2: basic_auth_users.alice: found " in str(caught.value)
    assert secret not in str(caught.value)


def test_no_secret_is_in_what_is_shown(tmp_path: Path) -> None:
    """Neither the key nor a hash, in no form of text."""
    text = f"tls_server_config: {{cert: CERT, key: SECRET}}\nbasic_auth_users: {{alice: {HASH}}}\n"
    found = loaded(tmp_path, text)
    for shown in (repr(found), str(found), repr(found.tls), f"{found.tls}"):
        assert "SECRET" not in shown
        assert HASH not in shown


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("tls_server_config: {min_version: TLS13}", "has no cert_file: there is no TLS"),
        ("tls_server_config: {client_allowed_sans: [a]}", "has no cert_file: there is no TLS"),
        (f"{TLS}  client_allowed_sans: [a]", "has no effect without certificates"),
        (f"{TLS}  client_auth_type: RequireAndVerifyClientCert", "the system's CAs count"),
        (f"{TLS}  min_version: TLS13\n  max_version: TLS12", "nobody can connect"),
        ("rate_limit: {interval: 1s}", "a burst of 0: nobody is answered"),
    ],
)
def test_what_may_not_be_meant_is_remarked(text: str, remark: str, tmp_path: Path) -> None:
    """What the toolkit takes without a word, and what leaves a server open or closed to all."""
    (found,) = loaded(tmp_path, text).remarks
    assert remark in found
    assert loaded(tmp_path, TLS).remarks == ()


WORDS = st.sampled_from(
    [*web_tls._TLS, *web_file.HEADERS, *web_tls.VERSIONS, HASH, "headers", "http2", "interval"]
)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = st.sampled_from(
    ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"]
)


@given(st.dictionaries(SECTIONS, VALUES, max_size=4))
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=300)
def test_any_shape_is_a_file_or_an_error(tmp_path: Path, shape: dict[str, object]) -> None:
    """In one line, never an exception of another kind."""
    said = ""
    try:
        loaded(tmp_path, yaml.safe_dump(shape))
    except ConfigError as err:
        said = str(err)
    assert said.isprintable()
