"""A configuration that is read again while monitors are watched."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from fake_dialler import FakeDialler
from fake_qmp import FakeMonitor
from integration.exporter import Exporter, Page, exporting, target
from qmp_exporter.config.settings import Settings
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError, ListenError
from qmp_exporter.model.target import Listening, Target
from qmp_exporter.qmp import transport
from qmp_exporter.qmp.connection import Connection
from qmp_exporter.qmp.transport import DialledIn
from unit.qmp.watching import until


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qmp_exporter.errors import LostError

SUCCESSFUL = "qmp_exporter_config_last_reload_successful"
TIMESTAMP = "qmp_exporter_config_last_reload_success_timestamp_seconds"


async def reload(it: Exporter, **changed: Any) -> None:
    """Let an exporter find other settings."""
    settings = msgspec.structs.replace(it.app.settings, **changed)
    it.app._reread = lambda: settings
    await it.app.reload()


def connects(page: Page, vm: str) -> float | None:
    """How often a VM was connected."""
    return page["qmp_exporter_connects_total", {"vm": vm}]


async def test_what_both_name_stays_connected(tmp_path: Path) -> None:
    """Other monitors come and go beside it; those that go are forgotten at once."""
    async with (
        FakeMonitor(tmp_path / "a.sock", name="a") as first,
        FakeMonitor(tmp_path / "b.sock", name="b") as second,
        FakeMonitor(tmp_path / "c.sock", name="c") as third,
        exporting(first, second) as it,
    ):
        for vm in "ab":
            await it.until_state(vm, "connected")
        await reload(it, targets=(target(second), target(third)))
        await it.until_state("c", "connected")
        page = await it.until(lambda page: page.vms() == {"b", "c"}, "a to be forgotten")
        assert connects(page, "b") == 1
        assert page.rows("qmp_exporter_targets") == {("connected",): 2}
        await first.wait_disconnected()
        await reload(it, targets=(target(first), target(second)))
        await it.until_state("a", "connected")
        assert connects(await it.scrape(), "b") == 1


async def test_the_same_settings_change_nothing(tmp_path: Path) -> None:
    """However often; neither for a monitor that is named nor one found nor one that dialled in."""
    path = tmp_path / "named.sock"
    hub = Listening(str(tmp_path / "hub"))
    pattern = Pattern(str(tmp_path / "found-*"))
    async with (
        FakeMonitor(path, name="a") as named,
        FakeMonitor(tmp_path / "found-1", name="b"),
        FakeDialler(tmp_path / "hub", name="c"),
        exporting(named, patterns=(pattern,), listeners=(hub,)) as it,
    ):
        for vm in "abc":
            await it.until_state(vm, "connected")
        for _ in range(10):
            await reload(it)
        scans: list[object] = []
        discovered = it.app.supervisor._settle
        it.app.supervisor._settle = lambda found: (  # type: ignore[method-assign]
            scans.append(found),
            discovered(found),
        )[1]
        await reload(it)
        await until(lambda: scans, "a scan")
        page = await it.scrape()
        assert [connects(page, vm) for vm in "abc"] == [1, 1, 1]
        assert (page[SUCCESSFUL], page.vms()) == (1, {"a", "b", "c"})


async def test_patterns_are_read_anew(tmp_path: Path) -> None:
    """What no pattern matches any more is left, what another one matches too is kept."""
    glob = Pattern(str(tmp_path / "*.sock"))
    async with (
        FakeMonitor(tmp_path / "a.sock", name="a"),
        FakeMonitor(tmp_path / "b.sock", name="b"),
        FakeMonitor(tmp_path / "c.qmp", name="c"),
        exporting(patterns=(glob,)) as it,
    ):
        for vm in "ab":
            await it.until_state(vm, "connected")
        others = (Pattern(str(tmp_path / "a*")), Pattern(str(tmp_path / "*.qmp")))
        await reload(it, patterns=others)
        await it.until(lambda page: page.vms() == {"a", "c"}, "b to go, c to come")
        page = await it.until_state("c", "connected")
        assert connects(page, "a") == 1
        await reload(it, patterns=(), targets=(Target(str(tmp_path / "a.sock")),))
        page = await it.until(lambda page: page.vms() == {"a"}, "c to go")


async def test_other_labels_or_another_name_take_a_new_connection(tmp_path: Path) -> None:
    """Counters go on, under the new name; the loss is told as a reload."""
    async with FakeMonitor(tmp_path / "a.sock", name="a") as monitor, exporting(monitor) as it:
        await monitor.send_event("POWERDOWN")
        await it.until_events("a", 1)
        labels = (("rack", "r1"),)
        await reload(
            it, targets=(msgspec.structs.replace(target(monitor), name="web", labels=labels),)
        )
        await it.until(lambda page: page.rows("qemu_vm_info", vm="web", rack="r1"), "its label")
        await monitor.send_event("POWERDOWN")
        page = await it.until_events("web", 2)
        assert page.vms() == {"web"}
        assert page.rows("qmp_exporter_disconnects_total", vm="web") == {("reload",): 1}
        assert not page.rows("qemu_vm_exits_total", vm="web")


async def test_a_target_that_was_never_reached_takes_its_new_name(tmp_path: Path) -> None:
    """At once."""
    where = Target(str(tmp_path / "a.sock"))
    async with exporting(where) as it:
        await it.until_state("a", "gone")
        await reload(it, targets=(msgspec.structs.replace(where, name="web"),))
        await it.until_state("web", "gone")
        assert (await it.scrape()).vms() == {"web"}


async def test_sockets_to_dial_in_come_and_go(tmp_path: Path) -> None:
    """With their VMs; another mode is set at once, and disturbs nobody."""
    first, second = Listening(str(tmp_path / "1")), Listening(str(tmp_path / "2"))
    async with (
        FakeDialler(tmp_path / "1", name="a"),
        FakeDialler(tmp_path / "2", name="b"),
        exporting(listeners=(first,)) as it,
    ):
        await it.until_state("a", "connected")
        await reload(it, listeners=(msgspec.structs.replace(first, mode=0o660), second))
        page = await it.until_state("b", "connected")
        assert connects(page, "a") == 1
        assert os.stat(tmp_path / "1").st_mode & 0o777 == 0o660  # noqa: PTH116 - of a moment
        await reload(it, listeners=(second,))
        page = await it.until(lambda page: page.vms() == {"b"}, "a to go")
        assert connects(page, "b") == 1
        assert set(os.listdir(tmp_path)) == {"2"}  # noqa: PTH208 - names


def taken(path: Path) -> Callable[[], Settings]:
    """Settings with a socket that cannot be bound."""
    return lambda: Settings(listeners=(Listening(str(path)),))


async def test_a_bad_configuration_changes_nothing_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a file that is wrong nor a socket that cannot be bound; a good one mends it."""
    caplog.set_level(logging.INFO)
    good, bad = Listening(str(tmp_path / "good")), Listening(str(tmp_path / "no" / "such"))
    async with FakeMonitor(tmp_path / "a.sock", name="a") as monitor, exporting(monitor) as it:
        before = (await it.until_state("a", "connected"))[TIMESTAMP]
        settings = it.app.settings

        def wrong() -> Settings:
            raise ConfigError("file.yml:3: qmp.socket: found nonsense")

        it.app._reread = wrong
        with pytest.raises(ConfigError):
            await it.app.reload()
        with pytest.raises(ListenError):
            await reload(it, targets=(), listeners=(good, bad))
        it.app._reread = wrong
        os.kill(os.getpid(), signal.SIGHUP)
        page = await it.until(lambda _: "file.yml:3" in caplog.text, "the message")
        assert (page[SUCCESSFUL], page[TIMESTAMP]) == (0, before)
        assert connects(page, "a") == 1
        assert it.app.settings is settings
        assert set(os.listdir(tmp_path)) == {"a.sock"}  # noqa: PTH208 - names
        it.app._reread = lambda: settings
        os.kill(os.getpid(), signal.SIGHUP)
        page = await it.until(lambda page: page[SUCCESSFUL] == 1, "success")
        assert (page[TIMESTAMP] or 0) > (before or 0)


async def test_what_takes_a_restart_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is done."""
    async with exporting() as it:
        await reload(it, listen_addresses=(":1",), telemetry_path="/m", vm_grace=1.0, label_sets=7)
        assert "takes a restart: web.listen_address, web.telemetry_path" in caplog.text
        assert it.app.metrics.label_sets == 7
        assert it.app.supervisor._settings.vm_grace == 1.0


async def test_a_fault_while_reading_ends_nothing(tmp_path: Path) -> None:
    """Whatever it is that fails, the VMs stay watched, and the metric tells."""

    def fail() -> Settings:
        raise OSError("what nobody thought of")

    async with FakeMonitor(tmp_path / "a.sock", name="a") as monitor, exporting(monitor) as it:
        await it.until_state("a", "connected")
        it.app._reread = fail
        os.kill(os.getpid(), signal.SIGHUP)
        page = await it.until(lambda page: page[SUCCESSFUL] == 0, "the metric")
        assert page.state("a") == "connected"


async def test_what_takes_a_restart_is_told_until_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The page links to what is served; what is as at the start again is not told."""
    caplog.set_level(logging.WARNING)
    told = "changed, and takes a restart: web.telemetry_path"
    async with FakeMonitor(tmp_path / "a.sock") as monitor, exporting(monitor) as it:
        for path, times in (("/other", 1), ("/other", 2), ("/metrics", 2)):
            await reload(it, telemetry_path=path)
            assert [record.message for record in caplog.records].count(told) == times
            assert ("/metrics", "Metrics") in it.app.view.overview().links


async def test_all_sockets_to_dial_in_are_changed_or_none(tmp_path: Path) -> None:
    """One that cannot be as it is wanted leaves those before it as they were."""
    first, second = Listening(str(tmp_path / "1")), Listening(str(tmp_path / "2"))
    async with exporting(listeners=(first, second)) as it:
        wanted = (
            msgspec.structs.replace(first, mode=0o666),
            msgspec.structs.replace(second, group="no-such-group"),
        )
        with pytest.raises(ListenError):
            await reload(it, listeners=wanted)
        assert (tmp_path / "1").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("between", ["renamed", "removed"])
async def test_a_monitor_is_not_dialled_before_it_was_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    """However fast the configurations follow one another: it would wait behind ourselves."""
    gate, closing = asyncio.Event(), asyncio.Event()
    close = Connection.close

    async def slow(connection: Connection) -> LostError:
        closing.set()
        await gate.wait()
        return await close(connection)

    async with (
        FakeMonitor(tmp_path / "a.sock", name="a") as monitor,
        FakeMonitor(tmp_path / "z.sock", name="z") as other,
        exporting(monitor, other) as it,
    ):
        where = target(monitor)
        await it.until_state("a", "connected")
        await it.until_state("z", "connected")
        monkeypatch.setattr(Connection, "close", slow)
        dialled: list[Target] = []
        dial = transport.dial

        async def noted(target: Target, *rest: Any) -> Any:
            dialled.append(target)
            return await dial(target, *rest)

        monkeypatch.setattr(transport, "dial", noted)
        if between == "renamed":
            named = msgspec.structs.replace(where, name="b")
            await reload(it, targets=(named, target(other)))
        else:
            await reload(it, targets=(target(other),))
            await it.until(lambda page: page.vms() == {"z"}, "a to be forgotten")
        await closing.wait()
        for name in "cd":
            named = msgspec.structs.replace(where, name=name)
            await reload(it, targets=(named, target(other)))
            for _ in range(20):  # turns of the loop, in which one that does not wait dials
                await asyncio.sleep(0)
        assert not dialled
        gate.set()
        page = await it.until_state("d", "connected")
        assert page.vms() == {"d", "z"}
        assert not it.app.supervisor._ending


async def test_what_dialled_in_as_its_socket_went_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ends before it began lets go of the connection that it was handed."""
    hub = Listening(str(tmp_path / "hub"))
    async with exporting(listeners=(hub,)) as it:
        supervisor = it.app.supervisor
        take = DialledIn.take

        def last(transport: DialledIn, connection: Connection) -> None:
            take(transport, connection)
            it.app.supervisor.apply(
                msgspec.structs.replace(it.app.settings, listeners=()), supervisor._context
            )

        monkeypatch.setattr(DialledIn, "take", last)
        async with FakeDialler(tmp_path / "hub") as qemu:
            await qemu.wait_negotiated()
            await until(lambda: not supervisor._watches and not supervisor._listeners, "it to go")
            await qemu.wait_disconnected()


async def test_who_asks_when_it_stops_is_told(tmp_path: Path) -> None:
    """Nothing is begun any more: what was asked before the end, and read after it, too."""
    async with FakeMonitor(tmp_path / "a.sock", name="a") as monitor:
        async with exporting(monitor) as it:
            await it.until_state("a", "connected")
        with pytest.raises(ConfigError, match="it is stopping"):
            await reload(it, targets=())
