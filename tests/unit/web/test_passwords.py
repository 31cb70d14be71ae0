"""Passwords and hashes: the answers are those of Go's bcrypt."""

from __future__ import annotations

import bcrypt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qmp_exporter.web import passwords
from qmp_exporter.web.passwords import Passwords, credentials, matches, nobody


# Of golang.org/x/crypto/bcrypt: what bcrypt.GenerateFromPassword made of this text.
PASSWORD = b"allmine"
HASH = b"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"


def made(password: bytes) -> bytes:
    """A hash that costs little."""
    return bcrypt.hashpw(password[:72], bcrypt.gensalt(4))


def test_a_hash_of_go_is_that_of_its_password() -> None:
    """And of no other one."""
    assert matches(PASSWORD, HASH)
    assert not matches(b"notmine", HASH)


@pytest.mark.parametrize("prefix", [b"$2a$", b"$2b$", b"$2x$", b"$2y$", b"$2z$", b"$2$"])
def test_every_prefix_means_the_same(prefix: bytes) -> None:
    """Of htpasswd, of PHP, of OpenBSD; Go looks at none."""
    assert matches(b"test", prefix + made(b"test")[4:])
    assert not matches(b"Test", prefix + made(b"test")[4:])


def key(password: bytes) -> bytes:
    """What bcrypt makes of a password: with a zero after it, again and again, 72 bytes."""
    return ((password + b"\0") * 72)[:72]


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=100))
@example(b"")
@example(b"\0")
@example(b"x" * 72)
def test_any_bytes_are_a_password(password: bytes) -> None:
    """Zeros and what is no text too; beyond 72 bytes nothing counts."""
    hashed = made(password)
    assert matches(password, hashed)
    for other in (password + b"x", password[:-1]):
        assert matches(other, hashed) == (key(other) == key(password))


def test_odd_hashes_are_taken_as_go_takes_them() -> None:
    """What follows is passed over; of the salt, the bits that are beyond it."""
    hashed = made(b"test")
    assert matches(b"test", hashed + b"x\n")
    last = passwords._ALPHABET.index(hashed[28])
    other = hashed[:28] + passwords._ALPHABET[last + 1 : last + 2] + hashed[29:]
    assert matches(b"test", other)
    assert matches(b"test", hashed[:6] + b"x" + hashed[7:])
    assert not matches(b"test", hashed[:10] + b"!" + hashed[11:])
    assert not matches(b"test", hashed[:-1])


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic YTpi", (b"a", b"b")),
        ("bASIC YTpi", (b"a", b"b")),
        ("Basic YTpiOmM=", (b"a", b"b:c")),
        ("Basic Og==", (b"", b"")),
        ("Basic /zr+", (b"\xff", b"\xfe")),
        ("", None),
        ("Basic", None),
        ("Basic ", None),
        ("Basic YTpi YTpi", None),
        ("Basic YQ==", None),
        ("Basic YTpiOmM", None),
        ("Bearer YTpi", None),
        ("Basic \u00e9", None),
    ],
)
def test_credentials_are_read_from_the_header(
    header: str, found: tuple[bytes, bytes] | None
) -> None:
    """Up to the first colon it is the name; what is not that scheme is none."""
    assert credentials(header) == found


def test_nobody_costs_as_much_as_the_dearest_of_the_users() -> None:
    """So that the time of an answer says nothing of who there is; nobody has that hash."""
    assert nobody({})[:7] == b"$2b$10$"
    found = nobody({b"a": b"$2y$04$" + b"." * 53, b"b": b"$2b$05$" + b"." * 53})
    assert found[:7] == b"$2b$05$"
    assert len(found) == 60
    assert not matches(b"", found)
    assert bcrypt.hashpw(b"", found[:29])[:7] == b"$2b$05$"


async def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who tries many passwords drives out no good one, and fills no memory."""
    monkeypatch.setattr(passwords, "REMEMBERED", 3)
    users = {b"a": made(b"good")}
    checks = 0
    real = matches

    def counted(password: bytes, hashed: bytes) -> bool:
        nonlocal checks
        checks += 1
        return real(password, hashed)

    monkeypatch.setattr(passwords, "matches", counted)
    found = Passwords()
    assert await found.good(users, b"a", b"good")
    for n in range(10):
        assert not await found.good(users, b"a", b"%d" % n)
    assert checks == 11
    assert await found.good(users, b"a", b"good")
    assert not await found.good(users, b"a", b"9")
    assert checks == 11
    assert not await found.good(users, b"a", b"0")
    assert checks == 12
    assert len(found._good) == 1
    assert len(found._bad) == 3


async def test_nobody_is_let_in_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes of the hash that is nobody's."""
    monkeypatch.setattr(passwords, "matches", lambda *_: True)
    assert await Passwords().good({b"a": made(b"x")}, b"a", b"y")
    assert not await Passwords().good({b"a": made(b"x")}, b"b", b"y")


async def test_no_password_is_kept() -> None:
    """Only a digest with a key of this process, of all three parts."""
    users = {b"a": made(b"secret"), b"a\0": made(b"secret")}
    found, other = Passwords(), Passwords()
    assert await found.good(users, b"a", b"secret")
    assert await other.good(users, b"a", b"secret")
    (kept,) = found._good
    assert len(kept) == 32
    assert set(found._good).isdisjoint(other._good)
    assert found._digest(b"a", b"bc") != found._digest(b"ab", b"c")


async def test_a_changed_hash_is_another_question() -> None:
    """What was good for the old one is not for the new one."""
    found = Passwords()
    assert await found.good({b"a": made(b"old")}, b"a", b"old")
    assert not await found.good({b"a": made(b"new")}, b"a", b"old")
    assert not await found.good({}, b"a", b"old")
    assert await found.good({b"a": made(b"new")}, b"a", b"new")
