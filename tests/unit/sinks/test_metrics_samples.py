"""What the metrics sink shows, with its structure: the same as its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from builders import BOOT, SOME, Watch, blocks, connected, drive, event, lost, samples, status
from otlp_fleet import SECOND, machines
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS


if TYPE_CHECKING:
    from qmp_exporter.telemetry.samples import Samples


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
KEYS = st.from_regex(r"[a-z]{1,5}", fullmatch=True).filter(
    lambda name: name not in {"vm", "name", "uuid", "arch"}
)


def test_all_that_a_page_shows_is_there() -> None:
    """Of machines to which everything has happened: each series once, with its number."""
    watch = machines()
    assert watch.structured(SECOND) == samples(watch.page(SECOND))
    groups = list(watch.sink.samples(lambda: BOOT + SECOND))
    names = {one.about.name for group in groups for one in group}
    assert names == {metric.name for metric in ALL_VM_METRICS} | FLEET_METRICS.keys()


def test_families_are_those_of_the_page() -> None:
    """Type, HELP and the names of labels."""
    watch = machines()
    page = {}
    for family in text_string_to_metric_families(watch.page(SECOND)):
        total = "_total" if family.type == "counter" else ""
        labels = {tuple(sample.labels) for sample in family.samples}
        page[f"{family.name}{total}", family.type, family.documentation] = labels
    for group in watch.sink.samples(lambda: BOOT + SECOND):
        for one in group:
            about = one.about
            assert one.labels in page[about.name, about.kind, about.help]


@SOME
@given(
    st.lists(NAMES, max_size=4, unique=True),
    st.lists(NAMES, max_size=4, unique=True),
    st.dictionaries(KEYS, NAMES, max_size=3),
)
def test_whatever_vms_and_disks_are_called(
    vms: list[str], disks: list[str], labels: dict[str, str]
) -> None:
    """The page, read back, is the same."""
    watch = Watch(*(f"/run/{n}" for n in range(len(vms))))
    for n, name in enumerate(vms):
        watch.feed(connected(name=name, labels=tuple(labels.items())), f"/run/{n}")
        watch.feed(blocks(*map(drive, disks)), f"/run/{n}")
    assert watch.structured() == samples(watch.page())


def test_seconds_fall_neither_here_nor_on_the_page() -> None:
    """A stop may end a little before it was looked at last, be it by the other."""
    watch = Watch()
    watch.all(connected(), event("STOP", at=1), status("paused", 1))
    series = ("qemu_vm_stopped_seconds_total", ("web", "host"))
    assert watch.structured(6)[series] == 5
    watch.feed(event("RESUME", at=5.5))
    assert samples(watch.page(6))[series] == 5
    assert watch.structured(6)[series] == 5


def by_vm(found: list[Samples]) -> set[tuple[str, tuple[str, ...]]]:
    """Return the series of samples."""
    return {(one.about.name, values) for one in found for values, _ in one.rows}


def test_a_vm_is_read_when_its_turn_comes() -> None:
    """What happens meanwhile is in the samples of those that are still to come; time goes on."""
    watch = Watch("/run/a.sock", "/run/b.sock")
    for address in ("/run/a.sock", "/run/b.sock"):
        watch.feed(connected(name=address[5]), address)
    watch.feed(lost(1), "/run/b.sock")
    clock = iter((BOOT + 2, BOOT + 5))
    groups = watch.sink.samples(lambda: next(clock))
    next(groups)
    for address in ("/run/a.sock", "/run/b.sock"):
        watch.feed(event("POWERDOWN", at=4), address)
    found = {(s.about.name, v): n for s in next(groups) for v, n in s.rows}
    assert found["qemu_vm_powerdown_requests_total", ("b",)] == 1
    assert found["qmp_exporter_unobserved_seconds_total", ("b",)] == 4


def test_a_vm_that_goes_before_its_turn_is_left_out() -> None:
    """Its end is told by its absence, and nothing is shown twice if its name comes back."""
    watch = Watch("/run/a.sock", "/run/b.sock")
    for address in ("/run/a.sock", "/run/b.sock"):
        watch.feed(connected(name=address[5]), address)
    groups = watch.sink.samples(lambda: BOOT)
    next(groups)
    watch.sink.forget("b")
    watch.sink.add("b")
    rest = [series for group in groups for series in by_vm(group)]
    assert not [series for series in rest if "b" in series[1]]


def test_the_owner_is_the_life_of_a_name() -> None:
    """The same as long as a VM is there; another when the name comes back; one for the sums."""
    watch = Watch()
    watch.feed(connected())

    def owners() -> list[object]:
        groups = list(watch.sink.samples(lambda: BOOT))
        assert all(len({id(one.owner) for one in group}) == 1 for group in groups)
        return [group[0].owner for group in groups if group]

    vm, fleet = owners()
    assert owners() == [vm, fleet]
    watch.sink.forget("web")
    watch.sink.add("web")
    assert owners()[0] is not vm
    assert owners()[1] is fleet


def test_what_a_vm_that_is_gone_had() -> None:
    """All its series, and those of who has its name now, if anybody has."""
    watch = Watch()
    watch.all(connected(), blocks(drive("disk0")), event("POWERDOWN", at=1))
    owner = next(iter(watch.sink.samples(lambda: BOOT)))[0].owner
    had = {series for series in samples(watch.page()) if series[1][0] == "web"}
    watch.sink.forget("web")
    assert tuple(map(by_vm, watch.sink.last(owner, BOOT))) == (had, set())
    watch.sink.add("web")
    old, new = map(by_vm, watch.sink.last(owner, BOOT))
    assert old == had
    assert new == {series for series in samples(watch.page()) if series[1][0] == "web"}
    assert new < old


def test_without_pages_nothing_heaps_up() -> None:
    """Where samples are taken and no page is made, what is kept of VMs goes with them."""
    watch = Watch()
    watch.feed(connected())
    for number in range(50):
        watch.sink.add(f"vm{number}")
        watch.sink.decode_error("web", "STOP")
        list(watch.sink.samples(lambda: BOOT))
        watch.sink.forget(f"vm{number}")
    list(watch.sink.samples(lambda: BOOT))
    assert len(watch.sink._queue) == 1
    assert {values[0] for name, values in samples(watch.page()) if name == "qemu_up"} == {"web"}
    assert watch.structured() == samples(watch.page())
