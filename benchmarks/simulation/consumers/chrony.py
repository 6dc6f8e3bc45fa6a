"""chrony, as far as a refclock concerns it: it corrects the whole offset and frequency at once.

chrony keeps its samples on the scale of the clock as it will be after all corrections, and moves
the old ones with each correction. That is a line through X = true time - RAW, and this model has it
in that form: the samples are X, and the target is a line in RAW that the wall clock slews to.
"""

import math

from benchmarks.simulation.consumers.wall import Wall
from benchmarks.simulation.regression import Sample, Statistics, fit

MAX_SLEW = 83_333e-6
"""chrony's maxslewrate, s/s."""
CORRECTION_TIME = 3.0
"""chrony's corrtimeratio: how long a correction takes, in updates."""
SHORTEST_SLEW = 1.0
MAX_UPDATE_SKEW = 1000e-6
"""A frequency with a larger skew than this is not taken, s/s."""
COMBINED = 0.6
"""The share of a poll's samples that count: those nearest to the median."""
PRECISION = 1e-6
"""The `precision` of the refclock, s."""
DELAY = 1e-3
"""The `delay` of the refclock, s."""
MEMORY = 50.0
"""Degrees of freedom over which the variance of a poll's samples is averaged."""
CHI_SQUARE = (
    2.706, 4.605, 6.251, 7.779, 9.236, 10.645, 12.017, 13.362, 14.684, 15.987,
    17.275, 18.549, 19.812, 21.064, 22.307, 23.542, 24.769, 25.989, 27.204, 28.412,
)  # fmt: skip
"""The 90 % quantiles of chi-square for 1, 2, ... degrees of freedom."""


class Filter:
    """Makes one sample of all samples of a poll (chrony's samplefilt.c)."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []  # RAW, X
        self._variance = PRECISION**2
        self._freedom = 0

    def take(self) -> Sample | None:
        """The mean of the samples near the median, if any; begin the next poll."""
        if not self.samples:
            return None
        kept = self._near_the_median()
        self.samples.clear()
        count = len(kept)
        raw = sum(at for at, _ in kept) / count
        x = kept[0][1] + sum(value - kept[0][1] for _, value in kept) / count
        return Sample(raw, x, DELAY, max(PRECISION, self._deviation(kept, raw, x)))

    def _near_the_median(self) -> list[tuple[float, float]]:
        ordered = sorted(self.samples, key=lambda sample: sample[1])
        count = len(ordered)
        if count <= 2:
            return sorted(ordered)
        cut = min(max(1, int(count * (1 - COMBINED) / 2)), (count - 1) // 2)
        return sorted(ordered[cut : count - cut])

    def _deviation(self, kept: list[tuple[float, float]], raw: float, x: float) -> float:
        """The deviation of the mean, s, by the samples of this poll and of earlier ones."""
        count = len(kept)
        freedom = 1
        if count >= 4:
            ats, values = [at - raw for at, _ in kept], [value - x for _, value in kept]
            line = fit(ats, values, [1.0] * count)
            assert line is not None
            variance, deviation, freedom = line.deviation**2, line.intercept_sd, count - 2
        elif count >= 2:
            freedom = count - 1
            variance = sum((value - x) ** 2 for _, value in kept) / freedom
            deviation = math.sqrt(variance)
        else:
            variance, deviation = self._variance, math.sqrt(self._variance)
        variance = max(variance, 1e-20)
        deviation = max(deviation, 1e-10)
        before = self._variance
        if self._freedom > MEMORY:
            self._variance += freedom / (freedom + MEMORY) * (variance - self._variance)
        else:
            known = self._freedom + freedom
            self._variance = (self._variance * self._freedom + variance * freedom) / known
            if not self._freedom:
                before = self._variance
            self._freedom = known
        if variance * freedom / chi_square(freedom) < before:
            deviation *= math.sqrt(self._variance / variance)
        return deviation


def chi_square(freedom: int) -> float:
    return CHI_SQUARE[freedom - 1] if freedom <= len(CHI_SQUARE) else 1.35 * freedom


class Chrony(Wall):
    """A wall clock in chrony's hands. `makestep` is not in reach of the offsets here."""

    def __init__(self, ahead: float, poll: int) -> None:
        super().__init__(ahead, poll)
        self._filter = Filter()
        self._statistics = Statistics(PRECISION)
        self._target = ahead  # wall - RAW at _at, once the slew is through
        self._frequency = 0.0  # d(target)/d(RAW)
        self._skew: float | None = None
        self._updated: float | None = None

    @property
    def slew(self) -> float:
        """The present slew, s/s, without the correction of the frequency."""
        return self._rate - self._frequency

    def take(self, raw: float, offset: float) -> None:
        self.advance(raw)
        self._filter.samples.append((raw, offset + self.ahead))

    def step(self, raw: float, by: float) -> None:
        # chrony has no clock but the wall clock: its old samples keep their distance to it.
        super().step(raw, by)
        self._target += by
        self._statistics.shift(by)
        self._filter.samples = [(at, x + by) for at, x in self._filter.samples]

    def resume(self, raw: float, slept: float) -> None:
        # chrony notices that time jumped, drops its samples, and keeps the frequency.
        super().resume(raw, slept)
        self._statistics.clear()
        self._filter.samples.clear()

    def _move(self, raw: float) -> None:
        self._target += self._frequency * (raw - self._at)
        super()._move(raw)

    def _slew_ended(self) -> None:
        super()._slew_ended()
        self.ahead = self._target
        self._rate = self._frequency

    def _poll(self) -> None:
        sample = self._filter.take()
        if sample is None:
            return
        self._statistics.add(sample)
        line = self._statistics.line
        if line is None:
            return
        interval = 0.0 if self._updated is None else self._at - self._updated
        self._updated = self._at
        if line.skew < MAX_UPDATE_SKEW:
            self._adjust_frequency(line.slope - self._frequency, line.skew)
        self._target = self._statistics.at(self._at)
        self._start_slew(CORRECTION_TIME * 0.5 * line.intercept_sd * interval)

    def _adjust_frequency(self, change: float, skew: float) -> None:
        """Take the mean of the old and the new frequency, weighted by their skews."""
        new_weight = 3 / skew**2
        old_weight = 0.0 if self._skew is None else 1 / self._skew**2
        total = old_weight + new_weight
        taken = change * new_weight / total
        apart = math.sqrt((taken**2 * old_weight + (change - taken) ** 2 * new_weight) / total)
        mean = ((self._skew or 0.0) * old_weight + skew * new_weight) / total
        self._skew = apart + mean
        self._frequency += taken

    def _start_slew(self, correction_rate: float) -> None:
        """Slew to the target; small offsets take their time, none exceeds MAX_SLEW."""
        pending = self._target - self.ahead
        if abs(pending) < 1e-9:
            self._slew_ended()
            return
        duration = max(SHORTEST_SLEW, correction_rate / abs(pending))
        rate = min(max(pending / duration, -MAX_SLEW), MAX_SLEW)
        self._rate = self._frequency + rate
        self._changes_at = self._at + pending / rate
