"""Passwords against bcrypt hashes, with the answers of Go's bcrypt.

A check takes 50 ms or more of a processor, on purpose. So it is made in a thread, one at a time,
and what was found is remembered, though not the password. Who sends wrong ones makes others wait,
but not those whose password was good before.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import threading
from base64 import b64decode
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import bcrypt

from qmp_exporter.config.web_file import cost_of


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


WAITING: Final = 32
"""Checks that may wait for another one to end."""

REMEMBERED: Final = 128
"""Answers that are remembered, of the good ones and of the bad ones."""

_LONGEST: Final = 72  # bytes of a password that bcrypt looks at: Go drops the rest without a word
_ALPHABET: Final = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SALT: Final = 22
_HASH: Final = 31
_NOBODY: Final = b"N0body.has.this.salt.u"[:_SALT]


class BusyError(Exception):
    """Too many checks wait."""


class Passwords:
    """Checks passwords, in one event loop."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, bool] = OrderedDict()
        self._bad: OrderedDict[bytes, bool] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def good(self, users: Mapping[bytes, bytes], name: bytes, password: bytes) -> bool:
        """Return whether a user is one of ``users``, and has that password.

        Raises:
            BusyError: too many others wait to be told.
        """
        hashed = users.get(name)
        digest = self._digest(name, hashed or b"", password)
        if (found := self._remembered(digest)) is not None:
            return found
        if self._waiting >= WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._turn:
                if (found := self._remembered(digest)) is not None:
                    return found
                # For somebody unknown, it takes as long as for the others.
                against = hashed or nobody(users)
                same = await _apart(lambda: matches(password, against))
        finally:
            self._waiting -= 1
        answer = same and hashed is not None
        kept = self._good if answer else self._bad
        kept[digest] = answer
        if len(kept) > REMEMBERED:
            kept.popitem(last=False)
        return answer

    def _remembered(self, digest: bytes) -> bool | None:
        for kept in (self._good, self._bad):
            if digest in kept:
                kept.move_to_end(digest)
                return kept[digest]
        return None

    def _digest(self, *parts: bytes) -> bytes:
        text = b"".join(len(part).to_bytes(8) + part for part in parts)
        return hmac.digest(self._key, text, "sha256")


def credentials(header: str) -> tuple[bytes, bytes] | None:
    """Return the user and the password of an ``Authorization`` header; None where it is another."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = b64decode(encoded, validate=True)
    except ValueError:
        return None
    name, colon, password = decoded.partition(b":")
    return (name, password) if colon else None


def nobody(users: Mapping[bytes, bytes]) -> bytes:
    """Return a hash that no password has, which takes as long as the dearest of the users."""
    cost = max((int(cost_of(hashed)) for hashed in users.values()), default=10)
    return b"$2b$%02d$%s%s" % (cost, _NOBODY, b"." * _HASH)


def matches(password: bytes, hashed: bytes) -> bool:
    """Return whether a password has a hash, as Go's ``bcrypt.CompareHashAndPassword`` does.

    Go takes any letter after ``$2``, a salt whose last bits are not 0 and what follows the hash; it
    drops what is beyond 72 bytes of a password, where Python's bcrypt 5 raises an error.
    """
    rest = hashed[(3 if hashed[2:3] == b"$" else 4) + 3 :]
    salt, expected = rest[:_SALT], rest[_SALT : _SALT + _HASH]
    last = _ALPHABET.find(salt[-1:]) & 0b110000
    salted = b"$2b$%02d$%s%c" % (int(cost_of(hashed)), salt[:-1], _ALPHABET[last])
    try:
        found = bcrypt.hashpw(password[:_LONGEST], salted)
    except ValueError:  # a salt that is none
        return False
    return hmac.compare_digest(found[-_HASH:], expected)


async def _apart(work: Callable[[], bool]) -> bool:
    """Do work in a thread that nobody waits for at the end: it may take hours."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def settle(found: bool) -> None:  # noqa: FBT001 - a callback
        if not done.done():
            done.set_result(found)

    def run() -> None:
        found = work()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=run, name="qmp-exporter-bcrypt", daemon=True).start()
    return await done
