"""Why an export failed, in few words."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Iterator


def reason_of(error: BaseException | None, status: int | str | None = None) -> str:
    """Return what to tell people.

    Args:
        error: what was raised; libraries wrap it in others.
        status: the status code of HTTP, or the name of that of gRPC.
    """
    if isinstance(status, int):
        known = status in set(HTTPStatus)
        return f"{status} {HTTPStatus(status).phrase}" if known else f"status {status}"
    if status is not None:
        details = getattr(error, "details", lambda: "")()
        return f"{status}: {details}" if details else status
    return _in_words(list(_inside(error))) if error else "it takes too long"


def _in_words(inner: list[BaseException]) -> str:
    for found in inner:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {found.verify_message}"
    if any("Timeout" in type(found).__name__ for found in inner):
        return "no answer in time"
    for found in reversed(inner):
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
    return str(inner[-1]) or type(inner[-1]).__name__


def _inside(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was made of, the innermost last."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        found = waiting.pop(0)
        if any(found is one for one in seen):
            continue
        seen.append(found)
        yield found
        made_of = (*found.args, getattr(found, "reason", None), found.__cause__, found.__context__)
        waiting += [one for one in made_of if isinstance(one, BaseException)]
