"""Weighted lines with chrony's runs test, for the models of chrony as a consumer and as a rival.

Written from the description of chrony's regress.c and sourcestats.c. It shares no code with the
daemon's own line, so that no fault is in both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

POINTS = 64
"""The most samples that are fitted; as many older ones are kept for the runs test."""
FEWEST = 3
"""Through fewer points there is no line."""
FEWEST_KEPT = 6
"""chrony's minsamples: the runs test drops none of the last few."""
TRIED_WITHOUT_TEST = 8
"""Below this number of residuals the runs test says nothing."""
T_QUANTILES = (
    636.6, 31.6, 12.92, 8.61, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587,
    4.437, 4.318, 4.221, 4.140, 4.073, 4.015, 3.965, 3.922, 3.883, 3.850,
    3.819, 3.792, 3.768, 3.745, 3.725, 3.707, 3.690, 3.674, 3.659, 3.646,
    3.633, 3.622, 3.611, 3.601, 3.591, 3.582, 3.574, 3.566, 3.558, 3.551,
)  # fmt: skip
"""The two-sided 99.9 % quantiles of Student's t for 1, 2, ... degrees of freedom."""
MIN_SKEW, MAX_SKEW = 1e-12, 1e2
WORST_FREQUENCY = 2000e-6
MIN_DEVIATION = 1e-9
SD_TO_DISTANCE = 0.7
"""chrony's ratio of the samples' deviation to the spread of their distances."""
MIN_ASYMMETRY, MAX_ASYMMETRY = 0.45, 0.5
MIN_ASYMMETRY_RUN, MAX_ASYMMETRY_RUN = 10, 1000


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope * x, with its deviations; `start` is the first fitted point."""

    intercept: float
    slope: float
    deviation: float
    intercept_sd: float
    slope_sd: float
    start: int
    freedom: int

    @property
    def skew(self) -> float:
        """The bound of the slope's error."""
        return min(max(self.slope_sd * t_quantile(self.freedom), MIN_SKEW), MAX_SKEW)


def t_quantile(freedom: int) -> float:
    return T_QUANTILES[freedom - 1] if freedom <= len(T_QUANTILES) else 3.5


def fewest_runs(count: int) -> int:
    """The runs test fails with so few runs of equal sign among `count` residuals."""
    if count < TRIED_WITHOUT_TEST:
        return 0
    return math.floor(count / 2 - 0.83 * math.sqrt(count) + 1.1)


def runs(residuals: Sequence[float]) -> int:
    """The number of runs of equal sign."""
    return 1 + sum((earlier < 0) is not (later < 0) for earlier, later in pairwise(residuals))


def fit(
    xs: Sequence[float], ys: Sequence[float], variances: Sequence[float], older: int = 0
) -> Line | None:
    """The line through the newest points whose residuals pass the runs test.

    The first `older` points serve the runs test alone. None with fewer than three others.
    """
    count = len(xs)
    start = older
    if count - start < FEWEST:
        return None
    while True:
        weights = [1 / variance for variance in variances[start:]]
        x, y = xs[start:], ys[start:]
        total = sum(weights)
        mean = sum(w * a for w, a in zip(weights, x, strict=True)) / total
        spread = slope = level = 0.0
        for w, a, b in zip(weights, x, y, strict=True):
            d = a - mean
            level += w * b
            slope += w * b * d
            spread += w * d * d
        slope /= spread
        intercept = level / total - slope * mean
        fitted = count - start
        first = max(0, start - fitted)
        residuals = [b - intercept - slope * a for a, b in zip(xs[first:], ys[first:], strict=True)]
        if runs(residuals) > fewest_runs(len(residuals)) or fitted <= FEWEST_KEPT:
            break
        start += 1
    tail = residuals[start - first :]
    squares = sum(w * r * r for w, r in zip(weights, tail, strict=True)) / (fitted - 2)
    slope_sd = math.sqrt(squares / spread)
    return Line(
        intercept=intercept,
        slope=slope,
        deviation=max(MIN_DEVIATION, math.sqrt(squares * fitted / total)),
        intercept_sd=math.sqrt(squares / total + (mean * slope_sd) ** 2),
        slope_sd=slope_sd,
        start=start,
        freedom=fitted - 2,
    )


def slope_by_delay(
    xs: Sequence[float], delays: Sequence[float], ys: Sequence[float]
) -> float | None:
    """The slope of y over the delay, beside that over x; None if they cannot be told apart."""
    count = len(xs)
    if count < 4:
        return None
    mean_x, mean_d, mean_y = sum(xs) / count, sum(delays) / count, sum(ys) / count
    xx = xd = dd = xy = dy = 0.0
    for x, d, y in zip(xs, delays, ys, strict=True):
        x, d, y = x - mean_x, d - mean_d, y - mean_y  # noqa: PLW2901 - centred
        xx += x * x
        xd += x * d
        dd += d * d
        xy += x * y
        dy += d * y
    determinant = xx * dd - xd * xd
    if determinant <= 1e-10 * xx * dd:
        return None
    return (xx * dy - xd * xy) / determinant


@dataclass(frozen=True, slots=True)
class Sample:
    """A measurement of X as chrony has it: RAW, value, round trip and dispersion, s."""

    raw: float
    x: float
    delay: float
    dispersion: float


class Statistics:
    """The samples of one source, and the line through them (chrony's sourcestats.c).

    `asymmetric` estimates the jitter's asymmetry as chrony does for NTP sources.
    """

    def __init__(self, precision: float, *, asymmetric: bool = False) -> None:
        self._precision = precision
        self._asymmetric = asymmetric
        self.clear()

    @property
    def fitted(self) -> Sequence[Sample]:
        """The samples that the line goes through."""
        return self.samples[self._older :]

    def clear(self) -> None:
        """Forget everything."""
        self.samples: list[Sample] = []
        self._older = 0  # the number of them that serve the runs test alone
        self._asymmetry_run = 0
        self.line: Line | None = None
        self.skew = WORST_FREQUENCY
        self.frequency = 0.0
        self.min_delay = math.inf

    def shift(self, by: float) -> None:
        """The scale itself was moved: all values change alike."""
        self.samples = [Sample(s.raw, s.x + by, s.delay, s.dispersion) for s in self.samples]

    def add(self, sample: Sample) -> None:
        """Take a sample and fit the line anew."""
        if len(self.samples) - self._older == POINTS:
            self._prune(self._older + 1)
        self.samples.append(sample)
        self.min_delay = min(self.min_delay, sample.delay)
        newest = sample
        xs = [each.raw - newest.raw for each in self.samples]
        ys = [each.x - newest.x for each in self.samples]
        if self._asymmetric:
            ys = self._corrected(xs, ys)
        self.line = fit(xs, ys, self._variances(), self._older)
        if self.line is None:
            self.skew, self.frequency = WORST_FREQUENCY, 0.0
            return
        self.skew, self.frequency = self.line.skew, self.line.slope
        self._prune(self.line.start)

    def at(self, raw: float) -> float:
        """X on the line at RAW `raw`, s. There must be a line."""
        assert self.line is not None
        newest = self.samples[-1]
        return newest.x + self.line.intercept + self.line.slope * (raw - newest.raw)

    def _prune(self, start: int) -> None:
        """Fit from the sample `start` on, and keep as many older ones as are fitted."""
        dropped = max(0, 2 * start - len(self.samples))
        self._older = start - dropped
        if dropped:
            self.samples = self.samples[dropped:]
            self.min_delay = min(sample.delay for sample in self.samples)

    def _variances(self) -> list[float]:
        """The relative variance of each sample: it grows with the distance beyond the nearest."""
        distances = [0.5 * each.delay + each.dispersion for each in self.samples]
        fitted = distances[self._older :]
        least = min(fitted)
        spread = (median(fitted) - least) / SD_TO_DISTANCE
        spread = min(max(spread, self._precision), max(least, self._precision))
        least += self._precision
        return [(1 + max(0.0, each - least) / spread) ** 2 for each in distances]

    def _corrected(self, xs: Sequence[float], ys: Sequence[float]) -> list[float]:
        """The values as they would be at the least delay, if the jitter is plainly one-sided."""
        delays = [each.delay - self.min_delay for each in self.samples]
        slope = slope_by_delay(xs, delays, ys)
        if slope is None or slope * self._asymmetry_run < 0:
            self._asymmetry_run = 0
            return list(ys)
        if slope <= -MIN_ASYMMETRY:
            self._asymmetry_run = max(self._asymmetry_run - 1, -MAX_ASYMMETRY_RUN)
        elif slope >= MIN_ASYMMETRY:
            self._asymmetry_run = min(self._asymmetry_run + 1, MAX_ASYMMETRY_RUN)
        if abs(self._asymmetry_run) < MIN_ASYMMETRY_RUN:
            return list(ys)
        slope = min(max(slope, -MAX_ASYMMETRY), MAX_ASYMMETRY)
        return [y - slope * delay for y, delay in zip(ys, delays, strict=True)]
