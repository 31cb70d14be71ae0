"""Samples with their structure, for those who send them on: what a scrape shows as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

    from qmp_exporter.catalog.spec import Values


Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class About(NamedTuple):
    """A metric.

    Attributes:
        name: as a scrape shows it: a counter's ends in ``_total``.
        kind: its type.
        help: HELP.
    """

    name: str
    kind: Kind
    help: str


class Distribution(NamedTuple):
    """The value of a histogram.

    Attributes:
        bounds: upper bounds of the buckets, ascending, without +Inf.
        counts: how many observations each bucket has for itself, that of +Inf included.
        total: their sum.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


Row: TypeAlias = tuple["Values", "float | Distribution"]


class Samples(NamedTuple):
    """The samples of a metric that belong to one owner.

    Attributes:
        about: the metric.
        owner: what counts them: with another owner the same counter begins anew.
        labels: names of the labels.
        rows: their values in that order, and the number; no values twice.
    """

    about: About
    owner: object
    labels: tuple[str, ...]
    rows: Sequence[Row]


def of_families(families: Iterable[Metric], owner: object) -> list[Samples]:
    """Return the samples of prometheus-client's families that are counters, gauges or histograms.

    Families of other types do not occur. Empty ones, and ``_created``, are left out.
    """
    found = []
    for family in families:
        if not family.samples:
            continue
        labels = tuple(n for n in family.samples[0].labels if n != "le")
        if family.type == "histogram":
            rows = _distributions(family.samples)
            found.append(
                Samples(About(family.name, "histogram", family.documentation), owner, labels, rows)
            )
            continue
        kind: Kind = "counter" if family.type == "counter" else "gauge"
        name = f"{family.name}_total" if kind == "counter" else family.name
        single: list[Row] = [
            (tuple(s.labels.values()), s.value) for s in family.samples if s.name == name
        ]
        found.append(Samples(About(name, kind, family.documentation), owner, labels, single))
    return found


def _distributions(samples: Iterable[Sample]) -> list[Row]:
    """Put the samples of a histogram together: its buckets, which add up, and its sum."""
    buckets: dict[Values, dict[str, float]] = {}
    sums: dict[Values, float] = {}
    for sample in samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        values = tuple(labels.values())
        if bound is not None:
            buckets.setdefault(values, {})[bound] = sample.value
        elif sample.name.endswith("_sum"):
            sums[values] = sample.value
    return [(v, _distribution(found, sums.get(v, 0.0))) for v, found in buckets.items()]


def _distribution(buckets: dict[str, float], total: float) -> Distribution:
    cumulative = [int(count) for count in buckets.values()]
    each = [new - old for new, old in zip(cumulative, [0, *cumulative], strict=False)]
    bounds = tuple(float(bound) for bound in buckets if bound != "+Inf")
    return Distribution(bounds, tuple(each), total)
