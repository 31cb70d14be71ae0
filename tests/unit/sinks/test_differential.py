"""Pages of random fleets, and prometheus-client's of the same numbers, counted a second time.

Equal byte for byte, in the text format 0.0.4 and in OpenMetrics 1.0: HELP, TYPE and the order of
families, names, labels and their escaping, ids and times of exemplars, NaN and infinities, spaces
and line feeds. Equal once they are read: what `alike` levels.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Final

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from builders import BOOT, EVERYTHING, connected
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.model.target import Target
from unit.sinks.lives import NUMBERS, Life


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric


STARTED: Final = "qemu_process_start_time_seconds"
SAMPLES: Final = (*(metric.name for metric in ALL_VM_METRICS), *FLEET_METRICS)
NAME: Final = "[a-z_][a-z0-9_]*"
LABELS: Final = rf'\{{({NAME}="(?:[^"\\\n]|\\[\\n"])*"(?:,{NAME}="(?:[^"\\\n]|\\[\\n"])*")*)\}}'
SAMPLE: Final = re.compile(rf"({NAME})(?:{LABELS})? (\S+)(?: # {LABELS} (\S+) (\S+))?")
PAIR: Final = re.compile(rf'{NAME}="(?:[^"\\]|\\.)*"')
FINITE: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?")


def alike(page: str) -> list[str]:
    """Return the lines of a page without that in which it may differ from prometheus-client's.

    - Finite numbers: ours are whole without a fraction and never lose a digit, which is shorter and
      more exact than `1.0` and `9.007199254740992e+15`; and zero has no sign.
    - The order of labels: ours is that of the catalog, with ``vm`` first; theirs that of names.
    - The order of the samples in a family: ours depends on what was rendered before.
    """
    lines = page.split("\n")
    assert lines.pop() == ""
    found: list[str] = []
    for comments, some in groupby(lines, key=lambda text: text.startswith("#")):
        texts = list(some)
        found += texts if comments else sorted(map(_alike, texts))
    return found


@lru_cache(1 << 15)
def _alike(sample: str) -> str:
    match = SAMPLE.fullmatch(sample)
    assert match, f"no sample: {sample!r}"
    name, labels, value, ids, amount, time = match.groups()
    more = f" # {_sorted(ids)} {_spelt(amount)} {time}" if ids else ""
    return f"{name}{_sorted(labels)} {_spelt(value)}{more}"


def _sorted(labels: str | None) -> str:
    return "{" + ",".join(sorted(PAIR.findall(labels))) + "}" if labels else ""


def _spelt(number: str) -> str:
    if not FINITE.fullmatch(number):
        return number
    return str(floatToGoString(float(number) + 0.0))  # type: ignore[no-untyped-call]


class Families(Collector):
    """A collector of families that are there."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._found


def compare(life: Life, names: frozenset[str] = EVERYTHING, *, openmetrics: bool = False) -> None:
    """Hold a page, or what of it has these names, to prometheus-client's."""
    now = BOOT + life.at + life.chance.choice((0.0, 0.0, 0.125, 2.0))
    registry = CollectorRegistry(auto_describe=True)  # else it finds no names
    registry.register(Families(life.tally.families(now)))
    shown = registry.restricted_registry(names) if names else registry
    generate: Callable[..., bytes] = generate_openmetrics if openmetrics else generate_latest
    ours = life.metrics.render(now, openmetrics=openmetrics, names=names)
    pairs = zip_longest(alike(ours + "# EOF\n" * openmetrics), alike(generate(shown).decode()))
    assert next((pair for pair in pairs if pair[0] != pair[1]), None) is None


def look(life: Life) -> None:
    """Compare some page, or let somebody take the samples with their structure."""
    chance = life.chance
    if chance.random() < 0.2:
        now = BOOT + life.at
        list(life.metrics.samples(lambda: now))
        life.tally.families(now)  # which seconds must not fall below
        return
    names = frozenset(chance.sample(SAMPLES, chance.choice((1, 5, 20)))) | {"nonsense"}
    names = chance.choice((names, names, EVERYTHING))
    compare(life, names, openmetrics=chance.random() < 0.5)


@pytest.mark.parametrize("seed", range(20))
def test_pages_are_those_of_prometheus_client(seed: int) -> None:
    """Whatever happens to VMs, and whatever was looked at between: nothing is stale or missing."""
    life = Life(seed)
    for _ in range(100):
        life.step()
        if life.chance.random() < 0.2:
            look(life)
    for openmetrics_too in (False, True, False):
        compare(life, openmetrics=openmetrics_too)
    assert not any(life.own.rows("qmp_exporter_sink_errors_total").values())


def test_each_number_is_that_of_prometheus_client() -> None:
    """However large, small or exact it is, and whatever was shown in its place before."""
    life = Life(0)
    life.pipeline.add(Target("/run/web.sock"))
    for pid, number in enumerate(NUMBERS):
        life.feed("/run/web.sock", connected(pid=pid, started=number))
        for openmetrics_too in (False, True):
            compare(life, frozenset({STARTED}), openmetrics=openmetrics_too)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ('m{vm="1",a="2"} 1', 'm{a="2",vm="1"} 1.0', True),
        ("m 9007199254740993", "m 9.007199254740992e+15", True),
        ("m 10000000000000000", "m 1e+16", True),
        ("m 0", "m -0.0", True),
        ('m 1 # {b="1",a="2"} 1 5.0', 'm 1.0 # {a="2",b="1"} 1.0 5.0', True),
        ('m{a="1"} 1\nm{a="2"} 1', 'm{a="2"} 1.0\nm{a="1"} 1.0', True),
        ("m 1", "m 1.5", False),
        ("m nan", "m NaN", False),
        ("m inf", "m +Inf", False),
        ('m{a="1"} 1', 'm{b="1"} 1.0', False),
        ('m{a="1"} 1', "m 1.0", False),
        ('m{a="\\\\n"} 1', 'm{a="\\n"} 1.0', False),
        ('m 1 # {a="1"} 1 5.0', "m 1.0", False),
        ('m 1 # {a="1"} 1 5.0', 'm 1.0 # {a="1"} 1.0 5', False),
        ("m 1\nm 1", "m 1.0", False),
        ("# TYPE m gauge\nm 1", "# TYPE m counter\nm 1.0", False),
        ("# TYPE m gauge\nm 1\n# TYPE m gauge\nm 2", "# TYPE m gauge\nm 1.0\nm 2.0", False),
    ],
)
def test_no_other_difference_is_levelled(ours: str, theirs: str, *, same: bool) -> None:
    """Spelling of finite numbers, order of labels and of samples; all else tells pages apart."""
    assert (alike(f"{ours}\n") == alike(f"{theirs}\n")) is same


@pytest.mark.parametrize("label", ['a"b', "a\\b", "a\nb", "a\\"])
def test_what_is_not_escaped_is_no_sample(label: str) -> None:
    """It is not levelled, nor left out: the comparison fails."""
    with pytest.raises(AssertionError):
        alike(f'm{{a="{label}"}} 1\n')
