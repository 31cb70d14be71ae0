"""The head of a request, read to the letter: what is not plainly one request is refused.

What passes has one meaning for everybody who reads it, so that no proxy in front of us can be
brought to see another request than we do. Nobody has anything to send to us: no request has a body.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

import msgspec

from qmp_exporter.errors import RequestError


LINE: Final = 8 * 1024
"""Bytes of a request line."""

HEAD: Final = 16 * 1024
"""Bytes of a request line and all header lines."""

FIELDS: Final = 64
"""Header lines."""

_END: Final = b"\r\n\r\n"
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_BEGIN: Final = re.compile(rb"%b(?: |\Z)" % _TOKEN)
_REQUEST: Final = re.compile(rb"(%b) ([!-\"$-~]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_FIELD: Final = re.compile(rb"(%b):([\t -~\x80-\xff]*)" % _TOKEN)
_ABSOLUTE: Final = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
# A line ends in CRLF. Others take LF alone, or nothing, for an end, and see other lines than we do.
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")

# RFC 9110, section 9.3, and PATCH of RFC 5789; but not CONNECT, which asks for a tunnel.
_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"}
)
# What is said about a body that is not there, and offers that we do not take up.
_DROPPED: Final = frozenset({b"content-length", b"expect", b"upgrade", b"http2-settings"})


class Head(msgspec.Struct, frozen=True):
    """A head that is complete.

    Attributes:
        text: it, without a body and in origin-form (RFC 9112, section 3.2.1).
        size: bytes that it took.
    """

    text: bytes
    size: int


def take(received: bytes | bytearray) -> Head | None:
    """Return the first head of what was received; none while it is not complete.

    Raises:
        RequestError: it is none, or one that is not taken.
    """
    # RFC 9112, section 2.2: an empty line in front is passed over.
    start = 2 if received.startswith(b"\r\n") else 0
    end = received.find(_END, start)
    text = bytes(received[start : start + HEAD + 1 if end < 0 else end])
    line, whole, fields = text.partition(b"\r\n")
    if _BARE.search(text):
        raise RequestError("found a line that does not end in CRLF; expected CRLF")
    if len(line) > LINE:
        raise RequestError(
            f"found a request line that is too long; expected at most {LINE} bytes", 414
        )
    if end < 0 and not whole and (_BEGIN.match(line) or not line.strip(b"\r")):
        return None
    request = _request(line)  # also of what has no end yet, to say at once that it is none
    if len(text) > HEAD:
        raise RequestError(f"found headers that are too long; expected at most {HEAD} bytes", 431)
    if end < 0:
        return None
    kept = _fields(fields, new=request.endswith(b"1"))
    return Head(request + b"\r\n" + kept + b"\r\n", end + len(_END))


def _request(line: bytes) -> bytes:
    """Return the request line, with a path for its target."""
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise RequestError("found no request line; expected one such as GET /metrics HTTP/1.1")
    method, target, major, minor = found.groups()
    if (major, minor) not in ((b"1", b"0"), (b"1", b"1")):
        raise RequestError("found another version of HTTP; expected HTTP/1.1", 505)
    if method not in _METHODS:
        raise RequestError("found a method that is not served; expected GET or HEAD", 501)
    if not target.startswith(b"/"):
        if method == b"OPTIONS" and target == b"*":
            target = b"/"
        elif absolute := _ABSOLUTE.match(target):
            rest = target[absolute.end() :]
            target = rest if rest.startswith(b"/") else b"/" + rest
        else:
            raise RequestError("found a target that is no path; expected one such as /metrics")
    return b"%b %b HTTP/1.%b" % (method, target, minor)


def _fields(text: bytes, *, new: bool) -> bytes:
    """Return the header lines, without those about a body.

    Args:
        text: all of them.
        new: whether this is HTTP/1.1.
    """
    lines = text.split(b"\r\n") if text else []
    if len(lines) > FIELDS:
        raise RequestError(f"found too many header lines; expected {FIELDS} at most", 431)
    kept = []
    fields: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise RequestError("found a header line that is none; expected NAME: VALUE")
        name = found[1].lower()
        fields[name].append(found[2].strip(b" \t"))
        if name not in _DROPPED:
            kept.append(line + b"\r\n")
    _check(fields, new=new)
    return b"".join(kept)


def _check(fields: dict[bytes, list[bytes]], *, new: bool) -> None:
    """Raise RequestError where the header lines tell of something that is not taken."""
    hosts = fields.get(b"host", [])
    if len(hosts) > 1 or (new and not hosts):
        raise RequestError(f"found {len(hosts)} Host headers; expected one")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise RequestError("found a Host header that names no host; expected HOST or HOST:PORT")
    lengths = fields.get(b"content-length", [])
    codings = fields.get(b"transfer-encoding", [])
    # RFC 9112, section 6.3: what could be taken for two requests is an error.
    if len(lengths) + len(codings) > 1 or (codings and not new):
        raise RequestError("found the length of the body told in two ways; expected no body")
    if lengths and not _NUMBER.fullmatch(lengths[0]):
        raise RequestError("found a Content-Length that is no number; expected no body")
    if codings and codings[0].lower() != b"chunked":
        raise RequestError("found a Transfer-Encoding that is not served; expected no body", 501)
    if codings or (lengths and int(lengths[0])):
        raise RequestError("a request to qmp-exporter has no body", 413)
    if any(wish.lower() != b"100-continue" for wish in fields.get(b"expect", [])):
        raise RequestError("found an Expect header that cannot be met; expected none", 417)
