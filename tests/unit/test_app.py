"""The composition root, without monitors: inputs are fed as sessions would."""

from __future__ import annotations

import asyncio
import logging
import threading
import time as time_
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from integration.exporter import Page, exporting
from qmp_exporter import app as module
from qmp_exporter.app import App
from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import ConfigError, ListenError
from qmp_exporter.model.inputs import Identity, Link, Reply
from qmp_exporter.model.replies import BlockDevice, BlockDevices, Node, Status
from qmp_exporter.model.target import Target
from qmp_exporter.sinks import Trace
from qmp_exporter.telemetry.body import Piece, plain
from qmp_exporter.view import View
from unit.qmp.watching import PATIENCE


if TYPE_CHECKING:
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step

decode = decoder()
EVERYTHING: frozenset[str] = frozenset()


def event(name: str, data: str = "{}") -> Input:
    """An event of now."""
    stamp = f'{{"seconds": {int(time())}, "microseconds": 0}}'
    line = f'{{"timestamp": {stamp}, "event": "{name}", "data": {data}}}'
    return decode(line.encode(), time(), monotonic())


def made(number: int, **settings: Any) -> App:
    """An application of some VMs with one disk each, all connected and running."""
    settings.setdefault("process_metrics", False)
    app = App(Settings(listen_addresses=("127.0.0.1:0",), **settings))
    for at in range(number):
        watch(app, at)
    return app


def watch(app: App, at: int) -> None:
    """Let an application know of one more VM."""
    address = f"/run/{at}.sock"
    app.pipeline.add(Target(address))
    identity = Identity(f"vm{at}", f"{at:08}-0000", "7.2.22", "x86_64", address, 100 + at, 1e9)
    app.pipeline.feed(address, Link(TargetState.CONNECTED, time(), monotonic(), identity))
    app.pipeline.feed(address, Reply("query-status", Status("running"), time(), monotonic()))
    disks = BlockDevices((BlockDevice("", "/machine/peripheral/d0", "ok", Node("n0")),))
    app.pipeline.feed(address, Reply("query-block", disks, time(), monotonic()))


def page(app: App) -> Page:
    """What Prometheus would get."""
    return Page(plain(app.render(None, EVERYTHING)[0]).decode())


# ---- sinks


class Broken:
    """A sink of which nothing works."""

    name = "page"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fail(self, *_: object) -> None:
        """Fail."""
        raise ValueError("a broken sink")

    add = take = rename = forget = fail


class Sound:
    """A sink that writes down what it is given.

    Args:
        puts: where it puts every step.
    """

    name = "sound"

    def __init__(self, puts: Trace | None = None) -> None:
        self.given: list[tuple[str, ...]] = []
        self.traces: list[Trace | None] = []
        self._puts = puts

    def add(self, vm: str, state: VM | None = None) -> None:  # noqa: ARG002 - a sink
        """Take in a VM."""
        self.given.append(("add", vm))

    def take(
        self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None
    ) -> Trace | None:
        """Take a step."""
        assert step.vm is not None
        assert before is not None
        self.given.append(("take", vm, type(given).__name__))
        self.traces.append(trace)
        return self._puts

    def rename(self, old: str, new: str) -> None:
        """Take another name."""
        self.given.append(("rename", old, new))

    def forget(self, vm: str) -> None:
        """Forget."""
        self.given.append(("forget", vm))


@pytest.fixture
def sinks() -> tuple[App, Sound, Sound]:
    """An application with a broken sink between sound ones."""
    app = made(0, vm_grace=0.0)
    first, last = Sound(), Sound()
    app.pipeline._sinks = (app.metrics, first, Broken(), last, app.page)
    return app, first, last


def test_a_sink_that_fails_is_counted_and_logged_and_the_others_go_on(
    sinks: tuple[App, Sound, Sound], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it fails at: a new VM, a step, a new name, the end."""
    app, first, last = sinks
    watch(app, 0)
    app.pipeline.feed("/run/0.sock", event("STOP"))
    app.pipeline.feed("/run/0.sock", Link(TargetState.GONE, time(), monotonic()))
    app.pipeline.expire(monotonic() + 1, 100)
    assert first.given == last.given
    names = [given[0] for given in first.given]
    assert names == ["add", "rename", "take", "take", "take", "take", "take", "forget", "add"]
    shown = page(app)
    failures = shown["qmp_exporter_sink_errors_total", {"sink": "page"}]
    assert failures == float(len(names))
    assert shown["qmp_exporter_sink_errors_total", {"sink": "metrics"}] == 0.0
    assert shown["qmp_exporter_fleet_events_total", {"event": "STOP"}] == 1.0
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {record.getMessage() for record in records} == {"the sink page failed"}
    assert all(record.exc_info for record in records)


def test_a_vm_goes_on_to_be_counted_under_a_sink_that_fails(
    sinks: tuple[App, Sound, Sound],
) -> None:
    """No event is lost to the metrics, and what is to be asked is asked."""
    app, _, _ = sinks
    watch(app, 0)
    asks = app.pipeline.feed("/run/0.sock", event("STOP"))
    assert asks == ("query-status",)
    for _ in range(9):
        app.pipeline.feed("/run/0.sock", event("RTC_CHANGE", '{"offset": 1, "qom-path": "/rtc"}'))
    assert sum(page(app).rows("qemu_events_total", vm="vm0").values()) == 10.0


def test_where_a_sink_puts_a_step_is_told_to_the_sinks_after_it() -> None:
    """Until another puts it elsewhere; one that says nothing, or fails, leaves it as it is."""
    app = made(0)
    a, b = Trace("a" * 32, "a" * 16), Trace("b" * 32, "b" * 16)
    sinks = Sound(), Sound(a), Sound(), Broken(), Sound(b), Broken(), Sound()
    app.pipeline._sinks = sinks
    watch(app, 0)
    told = [set(sink.traces) for sink in sinks if isinstance(sink, Sound)]
    assert told == [{None}, {None}, {a}, {a}, {b}]


# ---- targets


def test_a_target_is_shown_before_it_is_reached() -> None:
    """Down, and connecting."""
    app = made(0)
    app.pipeline.add(Target("/run/web01.sock"))
    shown = page(app)
    assert shown["qemu_up", {"vm": "web01"}] == 0.0
    assert shown.state("web01") == "connecting"
    assert shown.rows("qmp_exporter_targets") == {("connecting",): 1.0}


def test_targets_are_counted_by_state_through_everything() -> None:
    """The sum is always their number."""
    app = made(5)
    for at, state in enumerate(TargetState):
        app.pipeline.feed(f"/run/{at % 5}.sock", Link(state, time(), monotonic()))
        assert sum(page(app).rows("qmp_exporter_targets").values()) == 5.0
    app.pipeline.expire(monotonic() + 1000, 100)
    assert sum(page(app).rows("qmp_exporter_targets").values()) == 5.0


def test_a_line_that_is_no_event_is_counted_for_its_vm() -> None:
    """By the event that it claims to be."""
    app = made(2)
    app.pipeline.decode_error("/run/0.sock", "STOP")
    app.pipeline.decode_error("/run/0.sock", "other")
    rows = page(app).rows("qmp_exporter_decode_errors_total")
    assert rows == {("STOP", "vm0"): 1.0, ("other", "vm0"): 1.0}


def test_rows_beyond_the_limit_are_counted() -> None:
    """They share one row, and the metric says how often."""
    app = made(1, label_sets=3)
    for at in range(10):
        app.pipeline.feed(
            "/run/0.sock", event("MEM_UNPLUG_ERROR", f'{{"device": "d{at}", "msg": ""}}')
        )
    shown = page(app)
    rows = shown.rows("qemu_memory_unplug_errors_total", vm="vm0")
    assert sum(rows.values()) == 10.0
    assert len(rows) <= 4
    assert rows[("other",)] >= 6.0
    name = "qemu_memory_unplug_errors_total"
    assert shown["qmp_exporter_label_overflows_total", {"metric": name}] == rows[("other",)]


def test_how_late_an_event_was_is_never_negative() -> None:
    """A stamp of the future is one of now; QEMU's own delay is seen."""
    app = made(1)
    ahead = decode(
        b'{"timestamp": {"seconds": %d, "microseconds": 0}, "event": "STOP"}' % (time() + 100),
        time(),
        monotonic(),
    )
    late = decode(
        b'{"timestamp": {"seconds": %d, "microseconds": 0}, "event": "STOP"}' % (time() - 10),
        time(),
        monotonic(),
    )
    for one in (ahead, late):
        app.pipeline.feed("/run/0.sock", one)
    shown = page(app)
    assert shown["qmp_exporter_event_delay_seconds_count"] == 2.0
    assert shown["qmp_exporter_event_delay_seconds_bucket", {"le": "0.001"}] == 1.0
    assert 9 < (shown["qmp_exporter_event_delay_seconds_sum"] or 0) < 12


async def test_a_page_that_is_off_looks_at_no_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: of the rows that are not shown none is made."""
    rows: list[object] = []
    monkeypatch.setattr(View, "_row", lambda *given: rows.append(given))
    async with exporting(Target("/run/none.sock"), page=False) as it, it.client.get("/") as answer:
        assert answer.status == 200
        assert "switched off" in await answer.text()
    assert rows == []


def test_the_page_for_people_shows_every_vm() -> None:
    """With what happened to it; one whose name another has now is not shown twice."""
    app = made(2)
    app.pipeline.feed("/run/0.sock", event("GUEST_PANICKED", '{"action": "pause"}'))
    app.pipeline.feed("/run/0.sock", event("STOP"))
    rows = {row.vm: row for row in app.view.overview().rows}
    assert set(rows) == {"vm0", "vm1"}
    assert (rows["vm0"].panics, rows["vm0"].events, rows["vm0"].last_event) == (1, 2, "STOP")
    assert rows["vm0"].stopped_seconds is not None
    assert (rows["vm1"].events, rows["vm1"].stopped_seconds) == (0, None)
    app.pipeline.feed("/run/0.sock", Link(TargetState.GONE, time(), monotonic()))
    identity = Identity("vm0", monitor="/run/1.sock", pid=1)
    app.pipeline.feed("/run/1.sock", Link(TargetState.GONE, time(), monotonic()))
    app.pipeline.feed("/run/1.sock", Link(TargetState.CONNECTED, time(), monotonic(), identity))
    app.pipeline.feed("/run/0.sock", Link(TargetState.GONE, time(), monotonic()))
    names = [row.vm for row in app.view.overview().rows]
    assert len(set(names)) == len(names)
    assert "vm0" in names
    assert page(app).rows("qmp_exporter_sink_errors_total") == {}


# ---- rendering


async def test_the_loop_goes_on_while_a_thread_renders() -> None:
    """The rendering waits here until the loop has turned, which it could not if it were in it."""
    async with exporting() as it:
        watch(it.app, 0)
        began, turned = asyncio.Event(), threading.Event()
        pieces, loop = it.app.metrics.pieces, asyncio.get_running_loop()

        def observed(*args: Any, **kwargs: Any) -> list[Piece]:
            loop.call_soon_threadsafe(began.set)
            assert turned.wait(PATIENCE)
            return pieces(*args, **kwargs)

        it.app.metrics.pieces = observed  # type: ignore[method-assign]
        scrape = asyncio.create_task(it.scrape())
        await asyncio.wait_for(began.wait(), PATIENCE)
        it.app.pipeline.feed("/run/0.sock", event("RESUME"))
        async with it.client.get("/-/healthy") as response:
            assert response.status == 200
        assert not scrape.done()
        turned.set()
        assert (await scrape)["qemu_events_total", {"vm": "vm0", "event": "RESUME"}] == 1.0


async def test_a_storm_does_not_keep_a_large_page_from_being_rendered() -> None:
    """What changes while a page is rendered is for the next one."""
    async with exporting() as it:
        for at in range(100):
            watch(it.app, at)
        scrape = asyncio.create_task(it.client.get("/metrics"))
        while not scrape.done():
            it.app.pipeline.feed("/run/5.sock", event("RESUME"))
            await asyncio.sleep(0)
        async with await scrape as response:
            text = await response.text()
    assert text.count("\nqemu_up{") == 100
    assert text.count("\n") > 10_000


def test_counting_goes_on_while_a_thread_renders() -> None:
    """No count is lost, no page is broken, and the last one says it all."""
    app = made(20)
    rendered: list[float] = []
    stop = threading.Event()

    def render() -> None:
        while not stop.is_set():
            text = plain(app.render(None, EVERYTHING)[0]).decode()
            found = [
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "qemu_events_total"
            ]
            rendered.append(sum(found))

    thread = threading.Thread(target=render)
    thread.start()
    try:
        for at in range(4000):
            data = f'{{"device": "d{at % 300}", "operation": "read", "action": "report"}}'
            data = data.replace("}", ', "reason": ""}')
            app.pipeline.feed(f"/run/{at % 20}.sock", event("BLOCK_IO_ERROR", data))
    finally:
        stop.set()
        thread.join()
    assert rendered == sorted(rendered)
    shown = page(app)
    assert sum(shown.rows("qemu_events_total").values()) == 4000.0
    assert sum(shown.rows("qemu_block_io_errors_total").values()) == 4000.0


# ---- its own life


async def test_it_is_ready_once_everything_is_watched_and_never_after() -> None:
    """Ready does not wait for a VM; healthy means that the loop turns."""
    async with exporting(Target("/nonexistent/vm.sock")) as it:
        async with it.client.get("/-/ready") as response:
            assert response.status == 200
        async with it.client.get("/-/healthy") as response:
            assert response.status == 200
        it.app._turned_at -= 100
        assert it.app._unhealthy() is not None
        await asyncio.sleep(0.1)
        assert it.app._unhealthy() is None
        app = it.app
    assert app._not_ready == "it is stopping"


async def test_the_lag_of_the_loop_is_measured() -> None:
    """What holds it up is seen."""
    async with exporting(tick=0.01) as it:
        await it.until(lambda page: page["qmp_exporter_event_loop_lag_seconds_count"], "a tick")
        time_.sleep(0.2)  # noqa: ASYNC251 - this is what holds it up
        page = await it.until(
            lambda page: (page["qmp_exporter_event_loop_lag_seconds_sum"] or 0) > 0.15, "the lag"
        )
        assert (
            page["qmp_exporter_event_loop_lag_seconds_bucket", {"le": "+Inf"}]
            != (page["qmp_exporter_event_loop_lag_seconds_bucket", {"le": "0.1"}])
        )


async def test_no_fault_of_a_tick_ends_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next tick comes."""
    async with exporting() as it:
        tick, faults = it.app.supervisor.tick, [ValueError("a fault")]

        def failing(now: float) -> None:
            if faults:
                raise faults.pop()
            tick(now)

        monkeypatch.setattr(it.app.supervisor, "tick", failing)
        await it.until(lambda _: not faults, "the fault")
        before = it.app._turned_at
        await it.until(lambda _: it.app._turned_at > before, "the next tick")
    assert "a fault of the exporter" in caplog.text


async def test_an_address_that_cannot_be_bound_ends_it_and_leaves_nothing() -> None:
    """The error names it; no session is begun."""
    async with exporting() as it:
        taken = it.app.server.bound[0].removeprefix("http://")
        app = App(Settings((Target("/nonexistent/vm"),), (taken,)))
        with pytest.raises(ListenError, match="Address already in use"):
            await app.run()
        assert app._not_ready is not None


@pytest.mark.parametrize("settings", [{"listen_addresses": ("x",)}, {"telemetry_path": "x"}])
def test_settings_that_cannot_be_are_refused_before_anything_runs(settings: Any) -> None:
    """Not once it is up."""
    with pytest.raises(ConfigError):
        App(Settings(**settings))


async def test_it_says_so_if_it_is_root(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It needs no root; who is not, is told nothing."""
    caplog.set_level(logging.INFO)
    for user, number in ((0, 1), (1000, 0)):
        caplog.clear()
        monkeypatch.setattr(module.os, "geteuid", lambda user=user: user)
        async with exporting():
            pass
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert warnings == ["qmp-exporter runs as root, which it does not need"] * number


async def test_a_request_cannot_change_anything() -> None:
    """Only GET and HEAD; whatever is sent reaches no VM."""
    async with exporting() as it:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with it.client.request(method, "/metrics", data=b'{"execute": "quit"}') as r:
                assert r.status in {400, 405, 413}
        async with it.client.get("/nonsense") as response:
            assert response.status == 404


def test_a_page_shows_of_the_vms_what_the_exporter_says_it_has_done() -> None:
    """Events go on while a page is made: its own part is made first."""
    app = made(1)
    collect = app.own.collect

    def meanwhile() -> Any:
        yield from collect()
        app.pipeline.feed("/run/0.sock", event("RESUME"))

    app.own.collect = meanwhile  # type: ignore[method-assign]
    shown = page(app)
    assert shown["qemu_events_total", {"vm": "vm0", "event": "RESUME"}] == 1.0
    assert shown["qmp_exporter_event_delay_seconds_count"] == 0.0
