"""aiohttp, brought in without what only its client needs.

When it is imported it reads all certificates of the system, for requests that nobody here makes:
that is 90 ms at every start, and 2.6 MiB as long as the exporter runs. All else that runs here and
needs aiohttp takes it from this module, which has to be the first to import it.
"""

from __future__ import annotations

import ssl


def _trusting_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


_make = ssl.create_default_context
ssl.create_default_context = _trusting_nobody  # type: ignore[assignment]
try:
    from aiohttp import web
    from aiohttp.http_exceptions import HttpProcessingError
finally:
    ssl.create_default_context = _make


__all__ = ["HttpProcessingError", "web"]
