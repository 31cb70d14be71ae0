"""The metrics sink between two threads: one counts, others make pages."""

from __future__ import annotations

import sys
import threading
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import pytest

from builders import START, Watch, connected, event, link, samples, status, trace
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.target import Target
from qmp_exporter.sinks.series import Exemplar


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


ERRORS = "qemu_block_io_errors_total"
POWERDOWN = "qemu_vm_powerdown_requests_total"
LOOKING = {"_refresh", "_refresh_series", "text", "read", "renewed", "put"}
TAKING = {"samples", "_let_go", "read", "numbers"}
COUNTING = {"take", "_count_event", "_count", "_bump", "_row", "row", "mark", "_enqueue"}
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
                assert self._watch.structured(1)
                self.pages += 1
                if self.pages % 10 == 1 and not page.endswith("# EOF\n"):
                    samples(page)
        except Exception as err:  # noqa: BLE001 - whatever it is, the test tells it
            self.failures.append(err)


def happen(watch: Watch, number: int) -> None:
    """Let something be counted, a row be new, a gauge be set."""
    data = {"device": f"disk{number}", "operation": "read", "action": "report"}
    watch.feed(event("POWERDOWN", at=number), trace=trace(number))
    watch.feed(event("BLOCK_IO_ERROR", data, number), trace=trace(number))
    watch.feed(event("RTC_CHANGE", {"offset": number}, number))


def shown(watch: Watch, number: int) -> bool:
    """Whether the pages show all that happened up to that number, and the trace of the last."""
    page = watch.page(number)
    last = Exemplar(trace(number), START + number)
    return (
        f'\n{POWERDOWN}{{vm="web"}} {number + 1}\n' in page
        and f'\n{POWERDOWN}{{vm="web"}} {number + 1}{last}\n' in watch.page(openmetrics=True)
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


def interrupted(
    do: Callable[[], object], among: set[str], line: int, act: Callable[[], object]
) -> bool:
    """Do, and act just before a line of it, as another thread may; return whether it came.

    Only the lines of the functions ``among`` which it is are numbered.
    """
    left = line

    def tracer(frame: FrameType, what: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_name not in among:
            return None
        if what == "line":
            left -= 1
            if left == -1:
                sys.settrace(None)
                act()
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        do()
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
        if not interrupted(page, LOOKING, line, act):
            break
        assert shown(watch, 1), f"lost at line {line}"
    assert line > 200


def test_a_page_in_the_middle_of_a_change_does_not_hide_it() -> None:
    """At whatever line of the counting it is made: the next one shows all of the change."""
    for line in count():
        watch = Watch()
        watch.all(connected(), status("running"))
        happen(watch, 0)
        page, act = partial(watch.page, 0), partial(happen, watch, 1)
        if not interrupted(act, COUNTING, line, page):
            break
        assert shown(watch, 1), f"lost at line {line}"
    assert line > 100


def test_a_change_while_samples_are_taken_is_in_the_next() -> None:
    """At whatever line of the taking it comes: no change is lost for them, nor for a page."""
    for line in count():
        watch = Watch()
        watch.all(connected(), status("running"))
        happen(watch, 0)
        take, act = partial(watch.structured, 0), partial(happen, watch, 1)
        if not interrupted(take, TAKING, line, act):
            break
        assert watch.structured(1)[POWERDOWN, ("web",)] == 2
        assert shown(watch, 1), f"lost at line {line}"
        assert watch.structured(1) == samples(watch.page(1))
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
