"""True time and RAW: an oscillator whose frequency is known at every instant.

True time is seconds since the start of the day, and RAW seconds since the same instant, by the
oscillator. The frequency is constant within a step of the table, so that both directions of the
conversion are exact and depend on nothing but the seed.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from webntpd.ntp.readings import NS_PER_S

EPOCH_NS = 1_700_000_000 * NS_PER_S
"""True time, and the right wall time, at the start."""
BOOT_NS = 1_000 * NS_PER_S
"""RAW at the start."""
STEP = 4.0
"""Length of a step of the table, s of true time."""


@dataclass(frozen=True, slots=True)
class Sine:
    """The temperature's part of the frequency: a sine of ± `amplitude` s/s and `period` s."""

    amplitude: float
    period: float

    def at(self, true: float) -> float:
        return self.amplitude * math.sin(2 * math.pi * true / self.period)


@dataclass(frozen=True, slots=True)
class Shocks:
    """At the end of each `period` s the frequency moves by `size` s/s within `length` s.

    It moves there at one end and back at the next.
    """

    size: float
    length: float
    period: float

    def at(self, true: float) -> float:
        number, into = divmod(true, self.period)
        share = min(1.0, into / self.length)
        if not number:
            return 0.0
        return self.size * (share if number % 2 else 1 - share)


@dataclass(frozen=True, slots=True)
class Quartz:
    """An oscillator's parameters. `frequency` is d(RAW - true)/d(true) at the start, s/s.

    `wander` is the random walk of the frequency, s/s per root of a second.
    """

    frequency: float = 50e-6
    wander: float = 1e-9
    temperature: Sine | Shocks | None = None


@dataclass(frozen=True, slots=True)
class Suspend:
    """The machine sleeps from `start` on for `length`, s of true time; both whole STEPs.

    RAW stands still. The kernel sets the wall clock on waking, wrong by `error` s.
    """

    start: float
    length: float
    error: float = 0.0

    @property
    def end(self) -> float:
        return self.start + self.length


class Oscillator:
    """A quartz over a day of `length` s of true time; the machine may sleep meanwhile."""

    def __init__(
        self, quartz: Quartz, rng: Random, length: float, suspends: Sequence[Suspend] = ()
    ) -> None:
        asleep = {
            step
            for each in suspends
            for step in range(round(each.start / STEP), round(each.end / STEP))
        }
        walk = quartz.frequency
        raw = 0.0
        self._raw: list[float] = []
        self._rate: list[float] = []
        for number in range(math.ceil(length / STEP) + 2):
            frequency = walk + (quartz.temperature.at(number * STEP) if quartz.temperature else 0.0)
            rate = 0.0 if number in asleep else 1.0 + frequency
            self._raw.append(raw)
            self._rate.append(rate)
            raw += rate * STEP
            walk += rng.gauss(0.0, quartz.wander * math.sqrt(STEP))

    def raw(self, true: float) -> float:
        """RAW at an instant of true time, s."""
        step = min(int(true / STEP), len(self._raw) - 1)
        return self._raw[step] + self._rate[step] * (true - step * STEP)

    def true(self, raw: float) -> float:
        """The last instant of true time at which RAW is `raw`, s."""
        step = max(0, bisect_right(self._raw, raw) - 1)
        return step * STEP + (raw - self._raw[step]) / (self._rate[step] or 1.0)

    def frequency(self, true: float) -> float:
        """d(RAW - true)/d(true) at an instant of true time, s/s."""
        return self._rate[min(int(true / STEP), len(self._rate) - 1)] - 1.0


def true_ns(true: float) -> int:
    return EPOCH_NS + round(true * NS_PER_S)


def raw_ns(raw: float) -> int:
    return BOOT_NS + round(raw * NS_PER_S)


def raw_of(instant_ns: int) -> float:
    """The inverse of raw_ns."""
    return (instant_ns - BOOT_NS) / NS_PER_S


X_BASE_NS = EPOCH_NS - BOOT_NS
"""True time less RAW at the start."""


def x_of(x_ns: int) -> float:
    """X beyond X_BASE_NS, s."""
    return (x_ns - X_BASE_NS) / NS_PER_S
