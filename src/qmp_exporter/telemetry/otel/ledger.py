"""What was sent: since when something counts, what its last number was, what has gone since.

OpenTelemetry's instruments are not used: there would be hundreds of thousands of series behind
them, there is no histogram among them that is read when it is exported, and all that they keep is
kept by us already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from qmp_exporter.telemetry.otel import encode
from qmp_exporter.telemetry.samples import Distribution


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qmp_exporter.telemetry.samples import About, Kind, Samples


Preference: TypeAlias = Literal["cumulative", "delta", "lowmemory"]
"""The values of ``OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE``."""

DELTA: Final[dict[Preference, frozenset[Kind]]] = {
    "cumulative": frozenset(),
    "delta": frozenset({"counter", "histogram"}),
    # Counters that are read when they are exported, as ours are, stay cumulative. Source:
    # OpenTelemetry specification, metrics/sdk_exporters/otlp.md.
    "lowmemory": frozenset({"histogram"}),
}
"""What is sent as the difference to what was sent before."""

Last: TypeAlias = "Callable[[object], tuple[list[Samples], list[Samples]]]"


class Account:
    """What is kept of an owner of samples; of bytes and numbers, which the garbage collector skips.

    Attributes:
        start: Unix nanoseconds since when its counters count.
        round: in which it was seen last.
        sent: of a metric sent as differences, when something of it last arrived.
        told: of such a metric, what the numbers were then, by attributes.
        shown: of a gauge, the attributes of its points.
    """

    __slots__ = ("round", "sent", "shown", "start", "told")

    def __init__(self, start: int) -> None:
        self.start = start
        self.round = 0
        self.sent: dict[str, int] = {}
        self.told: dict[str, dict[bytes, float | Distribution]] = {}
        self.shown: dict[About, tuple[bytes, ...]] = {}


class Receipt(NamedTuple):
    """What is true once points have arrived.

    Attributes:
        account: of their owner.
        metric: of which they are.
        at: Unix nanoseconds of their numbers.
        news: numbers that are not what they were.
    """

    account: Account
    metric: str
    at: int
    news: dict[bytes, float | Distribution]

    def keep(self) -> None:
        """From now on send the difference to this."""
        self.account.sent[self.metric] = self.at
        self.account.told.setdefault(self.metric, {}).update(self.news)


class Entry(NamedTuple):
    """What is to be sent of a metric of one owner.

    Attributes:
        about: the metric.
        points: it has.
        gone: points for those that it no longer has.
        receipt: to keep when they have arrived, if they are differences.
    """

    about: About
    points: list[bytes]
    gone: list[bytes]
    receipt: Receipt | None = None


class Ledger:
    """Makes points of samples, and keeps what the next ones take, as long as their owner is there.

    A counter counts since the exporter's start, that of an owner who came later since the points
    before. A difference is one to what has arrived: what is lost is in the next one.

    Args:
        began: Unix nanoseconds of the exporter's start.
        preference: what is sent as differences.
    """

    def __init__(self, began: int, preference: Preference) -> None:
        self.delta = DELTA[preference]
        self._accounts: dict[object, Account] = {}
        self._round = 0
        self._newest = began - 1
        self._free = began

    def begin(self) -> None:
        """Begin a round, in which each owner has its turn."""
        self._round += 1
        self._free = self._newest + 1  # of points of a series of that name, if there were any

    def enter(self, samples: Samples, now: int) -> Entry:
        """Return what is to be sent of samples read at ``now``, in Unix nanoseconds."""
        self._newest = now
        account = self._account(samples.owner)
        about, attributes = _attributes(samples)
        numbers = [number for _, number in samples.rows]
        start = account.start
        receipt = None
        if about.kind in self.delta:
            start = account.sent.get(about.name, start)
            told = account.told.get(about.name, {})
            pairs = list(zip(attributes, numbers, strict=True))
            news = {key: number for key, number in pairs if told.get(key) != number}
            receipt = Receipt(account, about.name, now, news)
            numbers = [_risen(number, told.get(key)) for key, number in pairs]
        gone: Iterable[bytes] = ()
        if about.kind == "gauge":  # counters stay
            before = account.shown.get(about, ())
            if attributes != before:
                account.shown[about] = attributes
                gone = set(before).difference(attributes)
        start = min(start, now)  # the clock may have been set back
        return Entry(
            about,
            [encode.point(a, start, now, n) for a, n in zip(attributes, numbers, strict=True)],
            [encode.gone(found, now) for found in gone],
            receipt,
        )

    def skip(self, samples: Samples) -> None:
        """Take that the owner of samples is still there."""
        account = self._accounts.get(samples.owner)
        if account is not None:
            account.round = self._round

    def part(self, last: Last, now: int) -> Iterator[Entry]:
        """End a round: yield what is to be said of owners that did not have their turn.

        Args:
            last: returns the last samples of an owner, and those of who took its place.
            now: Unix nanoseconds.
        """
        left = [o for o, account in self._accounts.items() if account.round != self._round]
        for owner in left:
            shown = self._accounts.pop(owner).shown
            old, new = (dict(map(_attributes, found)) for found in last(owner))
            for about, attributes in (old | shown).items():
                gone = set(attributes).difference(new.get(about, ()))
                yield Entry(about, [], [encode.gone(found, now) for found in gone])

    def _account(self, owner: object) -> Account:
        account = self._accounts.get(owner)
        if account is None:
            account = self._accounts[owner] = Account(self._free)
        account.round = self._round
        return account


def _attributes(samples: Samples) -> tuple[About, tuple[bytes, ...]]:
    """Return a metric, and the attributes of its points."""
    return samples.about, tuple([encode.attributes(samples.labels, v) for v, _ in samples.rows])


def _risen(now: float | Distribution, then: float | Distribution | None) -> float | Distribution:
    """Return by how much a number has risen; all of it if it fell, and so began anew."""
    if then is None:
        return now
    if isinstance(now, Distribution) and isinstance(then, Distribution):
        counts = tuple(new - old for new, old in zip(now.counts, then.counts, strict=True))
        return Distribution(now.bounds, counts, now.total - then.total)
    assert not isinstance(now, Distribution)  # noqa: S101 - a metric is one or the other
    assert not isinstance(then, Distribution)  # noqa: S101 - as above
    return now - then if now >= then else now
