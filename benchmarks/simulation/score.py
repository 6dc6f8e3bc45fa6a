"""From the errors of a day, or of several, to figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.common.figures import quantile

OURS = "webntpd"
FIRST = "first version"
CHRONY = "chrony's estimator"
CHRONY_POLLS = "chrony, 1 a poll"
REFERENCE = "mean of four"
BEST = "best sample"
RIVALS = (FIRST, CHRONY, CHRONY_POLLS, REFERENCE, BEST)


def rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of absolute errors, s."""

    count: int
    rms: float
    p95: float
    p99: float
    max: float


def figures(errors: Sequence[float]) -> Figures | None:
    """The figures of these errors; None of none."""
    if not errors:
        return None
    sizes = sorted(map(abs, errors))
    return Figures(len(sizes), rms(sizes), quantile(sizes, 0.95), quantile(sizes, 0.99), sizes[-1])


@dataclass(frozen=True, slots=True)
class Miss:
    """A publication whose bound did not hold, s."""

    seed: int
    true: float
    error: float
    bound: float


@dataclass
class Record:
    """The errors of one estimator over a day, s, from the first sample on.

    `clock` are the errors of the wall clock that its consumer steers, if it has one.
    """

    published: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """A scenario's day, or several seeds of it.

    `gap` is the longest time without a publication after the first, by RAW; `first` the RAW at
    which the first was made, both the worst of the seeds. `lies` counts the publications while a
    server lied, `believed` the ones among them that a liar had a weight in.
    """

    scenario: str
    records: dict[str, Record]
    misses: list[Miss] = field(default_factory=list)
    gap: float = 0.0
    first: float | None = None
    lies: int = 0
    believed: int = 0

    @property
    def ours(self) -> Record:
        return self.records[OURS]

    @property
    def coverage(self) -> float | None:
        """The share of publications whose bound held."""
        count = len(self.ours.published)
        return 1 - len(self.misses) / count if count else None

    @property
    def liar_share(self) -> float | None:
        return self.believed / self.lies if self.lies else None

    def published(self, who: str) -> Figures | None:
        return figures(self.records[who].published)

    def clock(self, who: str) -> Figures | None:
        return figures(self.records[who].clock)

    def ratio(self, rival: str) -> float | None:
        """Our RMS over a rival's; None if one of them published nothing."""
        ours, theirs = self.published(OURS), self.published(rival)
        return ours.rms / theirs.rms if ours and theirs and theirs.rms else None


def pooled(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of all seeds of a scenario: at least one."""
    records = {name: Record() for name in outcomes[0].records}
    for outcome in outcomes:
        for name, record in outcome.records.items():
            records[name].published.extend(record.published)
            records[name].clock.extend(record.clock)
    firsts = [outcome.first for outcome in outcomes]
    return Outcome(
        scenario=outcomes[0].scenario,
        records=records,
        misses=[miss for outcome in outcomes for miss in outcome.misses],
        gap=max(outcome.gap for outcome in outcomes),
        first=None if None in firsts else max(first for first in firsts if first is not None),
        lies=sum(outcome.lies for outcome in outcomes),
        believed=sum(outcome.believed for outcome in outcomes),
    )
