"""QEMUs that dial in, as the page shows them."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import msgspec
import pytest

from fake_dialler import FakeDialler
from integration.exporter import exporting
from qmp_exporter.model.target import Listening
from qmp_exporter.qmp import connection as connection_module
from qmp_exporter.qmp import transport as transport_module
from unit.qmp.watching import QUICK


if TYPE_CHECKING:
    from pathlib import Path

REJECTED = "qmp_exporter_listen_rejected_total"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where they dial in."""
    return tmp_path / "hub.sock"


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pid is seen, as of processes of other pid namespaces."""
    monkeypatch.setattr(connection_module, "peer_pid", lambda _: None)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is of a process of its own that lives for ever."""
    numbers = count(1)
    monkeypatch.setattr(connection_module, "peer_pid", lambda _: next(numbers))

    def refused(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(transport_module.os, "pidfd_open", refused)


async def test_it_is_watched_from_the_moment_it_dials_in(path: Path) -> None:
    """Whichever of both was there first; every event counts."""
    async with (
        FakeDialler(path, name="web01") as qemu,
        exporting(listeners=(Listening(str(path), labels=(("rack", "r1"),)),)) as it,
    ):
        page = await it.until_state("web01", "connected")
        assert page["qemu_up", {"vm": "web01"}] == 1
        assert page.rows("qemu_vm_info", monitor=str(path), rack="r1")
        for _ in range(10):
            await qemu.send_event("POWERDOWN")
        await it.until_events("web01", 10)
        assert not page.rows(REJECTED)


async def test_a_connection_that_is_lost_comes_back_and_counters_go_on(path: Path) -> None:
    """The same process: no end of QEMU, some unobserved time."""
    async with exporting(listeners=(Listening(str(path)),)) as it, FakeDialler(path) as qemu:
        await qemu.send_event("POWERDOWN")
        await it.until_events("vm", 1)
        await qemu.wait_command("migrate-set-capabilities")
        await qemu.drop()
        await it.until(lambda p: p["qmp_exporter_connects_total", {"vm": "vm"}] == 2, "it")
        await qemu.send_event("POWERDOWN")
        page = await it.until_events("vm", 2)
        assert not page.rows("qemu_vm_exits_total", vm="vm")
        assert sum(page.rows("qmp_exporter_disconnects_total", vm="vm").values()) == 1
        assert page.vms() == {"vm"}


@pytest.mark.usefixtures("processes")
async def test_any_number_dials_in_at_one_socket(path: Path) -> None:
    """Each under its own name."""
    async with exporting(listeners=(Listening(str(path)),)) as it:
        qemus = [FakeDialler(path, name=f"vm{number}") for number in range(20)]
        for qemu in qemus:
            await qemu.__aenter__()
        try:
            names = {f"vm{number}" for number in range(20)}
            await it.until(lambda page: page.vms() == names, "all of them")
            for number, qemu in enumerate(qemus):
                for _ in range(number):
                    await qemu.send_event("POWERDOWN")
            for number in range(1, 20):
                await it.until_events(f"vm{number}", number)
        finally:
            for qemu in qemus:
                await qemu.__aexit__(None, None, None)


@pytest.mark.usefixtures("unseen")
async def test_of_a_process_that_is_not_seen_the_end_is_guessed(path: Path) -> None:
    """It has some time to dial in again, then it is gone, and after the grace forgotten."""
    timing = msgspec.structs.replace(QUICK, redial=0.5)
    settings = {"listeners": (Listening(str(path)),), "vm_grace": 0.5}
    async with exporting(timing=timing, **settings) as it:
        async with FakeDialler(path, uuid="11111111-2222-3333-4444-555555555555") as qemu:
            await it.until_state("vm", "connected")
            await qemu.drop()
            await it.until(lambda p: p["qmp_exporter_connects_total", {"vm": "vm"}] == 2, "it")
        page = await it.until_state("vm", "gone")
        assert page.rows("qemu_vm_exits_total", vm="vm") == {("crash",): 1}
        await it.until(lambda page: page.vms() == set(), "nothing to be left")
        assert it.app.supervisor._watches == {}


@pytest.mark.usefixtures("unseen")
async def test_two_of_one_name_that_are_not_seen_are_told_apart(path: Path) -> None:
    """Nothing but that they are there at the same time says that they are two."""
    async with (
        exporting(listeners=(Listening(str(path)),)) as it,
        FakeDialler(path),
        FakeDialler(path),
    ):
        page = await it.until(lambda page: len(page.vms()) == 2, "both")
        assert "vm" in page.vms()
        assert all(page.state(vm) == "connected" for vm in page.vms())


async def test_a_second_connection_of_one_qemu_is_refused(path: Path) -> None:
    """Events would count twice."""
    async with (
        exporting(listeners=(Listening(str(path)),)) as it,
        FakeDialler(path) as first,
    ):
        await first.wait_negotiated()
        await it.until_state("vm", "connected")
        async with FakeDialler(path):
            await it.until(lambda page: page[REJECTED, {"reason": "duplicate"}], "a refusal")
        page = await it.scrape()
        assert page.vms() == {"vm"}
        assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 1


@pytest.mark.usefixtures("processes")
async def test_the_number_of_those_who_dial_in_is_limited(path: Path) -> None:
    """By the limit of targets; those that are there stay."""
    settings = {"listeners": (Listening(str(path)),), "max_targets": 2}
    async with (
        exporting(**settings) as it,
        FakeDialler(path, name="a"),
        FakeDialler(path, name="b"),
    ):
        await it.until(lambda page: page.vms() == {"a", "b"}, "two")
        async with FakeDialler(path, name="c") as third:
            await third.wait_disconnected()
            await it.until(lambda page: page[REJECTED, {"reason": "too-many"}], "a refusal")
        assert (await it.scrape()).vms() == {"a", "b"}


async def test_its_own_socket_is_not_a_monitor(path: Path) -> None:
    """A glob that matches it does not make the exporter dial itself."""
    from qmp_exporter.discovery.pattern import Pattern  # noqa: PLC0415

    pattern = Pattern(str(path.with_name("*.sock")))
    async with (
        exporting(listeners=(Listening(str(path)),), patterns=(pattern,)) as it,
        FakeDialler(path),
    ):
        await it.until_state("vm", "connected")
        page = await it.scrape()
        assert page.vms() == {"vm"}
        assert not page.rows(REJECTED)


async def test_the_next_exporter_takes_over(path: Path) -> None:
    """The VM dials in again; the path is made anew, and gone when no exporter is there."""
    async with FakeDialler(path) as qemu:
        for _ in range(3):
            async with exporting(listeners=(Listening(str(path)),)) as it:
                await it.until_state("vm", "connected")
            await qemu.wait_disconnected()
            assert "hub.sock" not in set(os.listdir(path.parent))  # noqa: PTH208 - names


async def test_a_socket_that_was_taken_away_is_made_again(path: Path) -> None:
    """By somebody who cleans up: those who are connected stay, others can dial in again."""
    async with exporting(listeners=(Listening(str(path)),)) as it, FakeDialler(path) as qemu:
        await it.until_state("vm", "connected")
        path.unlink()  # noqa: ASYNC240 - it takes no time
        await it.until(lambda _: path.exists(), "the socket")
        page = await it.scrape()
        assert page["qmp_exporter_connects_total", {"vm": "vm"}] == 1
        await qemu.drop()
        await it.until(lambda p: p["qmp_exporter_connects_total", {"vm": "vm"}] == 2, "it")


async def test_a_path_that_somebody_else_took_is_left_to_them(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once; when it is free again, it is ours again."""
    async with exporting(listeners=(Listening(str(path)),)) as it:
        path.unlink()  # noqa: ASYNC240 - it takes no time
        path.touch()  # noqa: ASYNC240 - as above
        await it.until(lambda _: "taken away" in caplog.text, "the warning")
        before = it.app._turned_at
        await it.until(lambda _: it.app._turned_at > before + 0.1, "some ticks")
        assert caplog.text.count("taken away") == 1
        assert path.read_text() == ""  # noqa: ASYNC240 - as above
        path.unlink()  # noqa: ASYNC240 - as above
        async with FakeDialler(path):
            await it.until_state("vm", "connected")
