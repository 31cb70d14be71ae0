"""The metrics sink between two threads: one counts, others make pages."""

from __future__ import annotations

import sys
import threading
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import pytest

from builders import Watch, connected, event, link, samples, status
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


ERRORS = "qemu_block_io_errors_total"
POWERDOWN = "qemu_vm_powerdown_requests_total"
LOOKING = {"_refresh", "_refresh_series", "_read", "renewed", "put"}
ROUNDS = 400
LIMIT = 50


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Let threads take turns much more often than they do."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Scrapers:
    """Threads that make pages until they are told to stop, as a context manager.

    Attributes:
        pages: how many there were.
        failures: what was raised meanwhile.
    """

    def __init__(self, watch: Watch, count: int) -> None:
        self.pages = 0
        self.failures: list[Exception] = []
        self._watch = watch
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._scrape) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)

    def _scrape(self) -> None:
        try:
            while not self._done.is_set():
                page = self._watch.page(1, openmetrics=bool(self.pages % 2))
                self.pages += 1
                if self.pages % 10 == 1 and not page.endswith("# EOF\n"):
                    samples(page)
        except Exception as err:  # noqa: BLE001 - whatever it is, the test tells it
            self.failures.append(err)


def happen(watch: Watch, number: int) -> None:
    """Let something be counted, a row be new, a gauge be set."""
    data = {"device": f"disk{number}", "operation": "read", "action": "report"}
    watch.all(
        event("POWERDOWN", at=number),
        event("BLOCK_IO_ERROR", data, number),
        event("RTC_CHANGE", {"offset": number}, number),
    )


def shown(watch: Watch, number: int) -> bool:
    """Whether the page shows all that happened up to that number."""
    page = watch.page(number)
    return (
        f'\n{POWERDOWN}{{vm="web"}} {number + 1}\n' in page
        and f'\nqemu_rtc_offset_seconds{{vm="web"}} {number}\n' in page
        and (number >= LIMIT or f'"disk{number}"' in page)
    )


def test_what_was_counted_is_on_the_next_page() -> None:
    """To the last event, however many pages are made at the same time; nothing is raised."""
    watch = Watch(label_sets=LIMIT)
    watch.all(connected(), status("running"))
    with Scrapers(watch, 2) as scrapers:
        for number in range(ROUNDS):
            happen(watch, number)
            assert shown(watch, number)
    assert scrapers.failures == []
    assert scrapers.pages > 0
    assert sum(watch.rows(ERRORS).values()) == ROUNDS


def interrupted(render: Callable[[], object], line: int, act: Callable[[], None]) -> bool:
    """Render, and act just before that line of it, as another thread may; return whether it came.

    Only lines that look at what changed count.
    """
    left = line

    def trace(frame: FrameType, what: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_name not in LOOKING:
            return None
        if what == "line":
            left -= 1
            if left == -1:
                sys.settrace(None)
                act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        render()
    finally:
        sys.settrace(before)
    return left < 0


def test_a_change_in_the_middle_of_a_page_is_on_the_next() -> None:
    """At whatever line of the rendering it comes: no change is lost for good."""
    for line in count():
        watch = Watch()
        watch.all(connected(), status("running"))
        happen(watch, 0)
        page, act = partial(watch.page, 0), partial(happen, watch, 1)
        if not interrupted(page, line, act):
            break
        assert shown(watch, 1), f"lost at line {line}"
    assert line > 200


def test_vms_come_and_go_while_pages_are_made() -> None:
    """Added, renamed and forgotten: the next page shows those that are there, and no others."""
    watch = Watch()
    addresses = [f"/run/guest{n}.sock" for n in range(5)]
    with Scrapers(watch, 2) as scrapers:
        for number in range(ROUNDS // 5):
            for address in addresses:
                watch.watch(Target(address, named=False))
                watch.feed(connected(number, name=f"g{number}", pid=number), address)
                watch.feed(event("STOP", at=number), address)
                watch.feed(link(TargetState.GONE, number), address)
            names = {member.name for member in watch.fleet}
            shown = {v[0] for (name, v) in samples(watch.page(number)) if name == "qemu_up"}
            assert shown == names
            watch.expire(number + 1)
    assert scrapers.failures == []
    shown = {values[0] for name, values in samples(watch.page(99)) if name == "qemu_up"}
    assert shown == {"web"}
    stops = samples(watch.page(99))["qmp_exporter_fleet_stops_total", ("other",)]
    assert stops == ROUNDS
