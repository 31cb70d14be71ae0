"""The routes of the HTTP side, put together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

from qmp_exporter.errors import ConfigError
from qmp_exporter.journal import Journal

from .control import Reload, shown
from .library import web
from .metrics import Metrics, Render
from .middlewares import deadline, guard, harden, plain
from .pages import Landing, Machines, probe
from .stream import Stream


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiohttp.typedefs import Middleware

    from .machine import Machine
    from .overview import Overview
    from .security import Security


# Rendering is bound by the interpreter's lock; the second thread is for gzip, which is not.
_THREADS = 2
_RESERVED = "/-/"
_TAKEN = ("/config", "/events", "/vm")


def build(  # noqa: PLR0913  one argument for each thing that is shown or limited
    *,
    render: Render,
    overview: Callable[[], Overview],
    config: Callable[[], str],
    reload: Callable[[], Awaitable[None]],
    ready: Callable[[], str | None],
    healthy: Callable[[], str | None],
    groups: Mapping[str, frozenset[str]] = MappingProxyType({}),
    telemetry_path: str = "/metrics",
    max_requests: int = 40,
    page: bool = True,
    machine: Callable[[str], Machine | None] = lambda name: None,  # noqa: ARG005
    journal: Journal | None = None,
    rejected: Callable[[str], None] = lambda code: None,  # noqa: ARG005
    middlewares: Sequence[Middleware] = (),
    security: Security | None = None,
) -> web.Application:
    """Make the application that ``Server`` serves.

    Args:
        render: renders the metrics, in a thread.
        overview: what the page shows; called in a thread for each view.
        config: the configuration as ``/config`` shows it, without secrets.
        reload: reads the configuration again, for ``/-/reload``; called on the server's loop.
        ready: None when ready, else the reason why not, for ``/-/ready``.
        healthy: None when healthy, else the reason why not, for ``/-/healthy``.
        groups: the names of the series of each group of metrics.
        telemetry_path: where the metrics are; with ``/`` there is no landing page.
        max_requests: scrapes at a time, 0 for no limit.
        page: whether ``/`` shows the virtual machines, and ``/vm`` and ``/events`` are there.
        machine: what the page of one machine shows; called on the server's loop, so it is cheap.
        journal: what has happened, for the page and the stream of events.
        rejected: called on the loop with the status code of each request that was turned away.
        middlewares: run first for each request, in this order.
        security: what the web configuration file says; it comes before ``middlewares``.

    Raises:
        ConfigError: the telemetry path is not a path, or one that is taken.
    """
    check_telemetry_path(telemetry_path)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="qmp-exporter-web")
    app = web.Application(middlewares=[deadline, guard])
    app.on_response_prepare.append(harden)
    if security is not None:
        # Imported here: it takes bcrypt, and most exporters do without.
        from .gate import gate, headers  # noqa: PLC0415

        app.middlewares.append(gate(security, rejected))
        app.on_response_prepare.append(headers(security))
        app.cleanup_ctx.append(security.watching)
    app.middlewares.extend((*middlewares, plain(rejected)))
    if telemetry_path != "/":
        journal = journal or Journal()
        app.router.add_get("/", Landing(overview, journal, pool, page=page).handle)
        if page:
            stream = Stream(journal, rejected)
            app.router.add_get("/vm", Machines(machine, journal, pool).handle)
            app.router.add_get("/events", stream.handle)
            app.on_shutdown.append(stream.close)
    metrics = Metrics(render, groups, pool, max_requests, rejected)
    app.router.add_get(telemetry_path, metrics.handle)
    app.router.add_get("/config", shown(config, pool))
    app.router.add_post("/-/reload", Reload(reload, ready, rejected).handle)
    app.router.add_get("/-/healthy", probe("healthy", healthy))
    app.router.add_get("/-/ready", probe("ready", ready))

    async def close_pool(_app: web.Application) -> None:
        pool.shutdown(wait=False, cancel_futures=True)

    app.on_cleanup.append(close_pool)
    return app


def check_telemetry_path(path: str) -> None:
    """Raise ConfigError unless the metrics can be served at that path."""
    if (
        not path.startswith("/")
        or path.startswith(_RESERVED)
        or path in _TAKEN
        or any(c in path for c in "{}?#% ")
    ):
        raise ConfigError(
            f"found the telemetry path {path!r}; expected an absolute path like /metrics, "
            f"without any of {{}}?#%, a space, or {_RESERVED} in front, and not {', '.join(_TAKEN)}"
        )
