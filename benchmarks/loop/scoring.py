"""From samples of the guest's clock to figures, all in seconds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.loop.truth import Truth

SETTLING = 300.0
"""Scoring begins so long after chronyd's start, s."""
SWING = 2.0
"""A swing reaches to so many times the mark on either side."""
FEWEST_TURNS = 3
"""Passes from one side to the other that make a swing: there, back, and there again."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The instrument with the clock running free: the residuals from a straight line.

    `rms` and `worst` are of the residuals, `frequency` is the line's slope in s/s. An asymmetry of
    the clean port is in neither; `bound`, half of the median delay, limits it.
    """

    rms: float
    worst: float
    frequency: float
    bound: float


@dataclass(frozen=True, slots=True)
class Score:
    """The clock's error once it has settled. `turns` are its passes from side to side."""

    samples: int
    rms: float
    worst: float
    mean: float
    turns: int

    @property
    def swings(self) -> bool:
        return self.turns >= FEWEST_TURNS


def floor_of(samples: Sequence[Truth]) -> Floor:
    """The floor from samples of a free clock. Raises ValueError for fewer than three."""
    if len(samples) < 3:
        raise ValueError("too few samples for a line")
    slope, residuals = straightened([(each.at, each.error) for each in samples])
    delays = sorted(each.delay for each in samples)
    return Floor(rms(residuals), worst(residuals), slope, delays[len(delays) // 2] / 2)


def score_of(samples: Iterable[Truth], begin: float, mark: float) -> Score:
    """The score of the samples from `begin` on. Raises ValueError if there are none."""
    errors = [each.error for each in samples if each.at >= begin]
    return Score(
        samples=len(errors),
        rms=rms(errors),
        worst=worst(errors),
        mean=math.fsum(errors) / len(errors),
        turns=turns(errors, SWING * mark),
    )


def settled_from(seconds: float) -> float:
    """When scoring begins in a run of that length: short ones give a third to the settling."""
    return min(SETTLING, seconds / 3)


def rms(values: Sequence[float]) -> float:
    """The root of the mean square. Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no values")
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


def worst(values: Sequence[float]) -> float:
    """The greatest magnitude."""
    return max(map(abs, values))


def straightened(points: Sequence[tuple[float, float]]) -> tuple[float, Sequence[float]]:
    """The slope of the least-squares line through the points, and their residuals."""
    count = len(points)
    mean_x = math.fsum(x for x, _ in points) / count
    mean_y = math.fsum(y for _, y in points) / count
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope, [y - mean_y - slope * (x - mean_x) for x, y in points]


def without_floor(measured: float, floor: float) -> float:
    """The RMS of the clock alone: the instrument's noise, uncorrelated, adds its square."""
    return math.sqrt(max(0.0, measured**2 - floor**2))


def turns(errors: Iterable[float], reach: float) -> int:
    """How often the error passes from beyond `reach` on one side to beyond it on the other."""
    count, side = 0, 0
    for error in errors:
        if abs(error) > reach:
            now = 1 if error > 0 else -1
            count += side == -now
            side = now
    return count
