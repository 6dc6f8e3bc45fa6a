"""True time, and local clocks that wander from it and are disciplined by what is published."""

import math
from dataclasses import dataclass, field
from random import Random

import trio

from webntpd.ntp.types import NS_PER_S

EPOCH_NS = 1_700_000_000 * NS_PER_S
"""True time at the start."""
CONSUMER_POLL = 16.0
"""The consumer takes at most one sample in this time, s."""
PHASE_GAIN = 0.1
FREQUENCY_GAIN = PHASE_GAIN**2 / 4
"""Shares of an offset that the consumer's loop corrects a poll: a critically damped PI loop."""


def true_ns() -> int:
    """True time: the virtual clock's, from EPOCH_NS on."""
    return EPOCH_NS + round(trio.current_time() * NS_PER_S)


@dataclass
class Oscillator:
    """A quartz: a frequency error, s/s, that walks at random; `wander` per root of a second."""

    rng: Random
    drift: float = 8e-6
    wander: float = 2e-9
    phase: float = 0.0
    _updated: float = 0.0

    def error(self) -> float:
        """What has come together since the start, s."""
        now = trio.current_time()
        elapsed = now - self._updated
        if elapsed > 0:
            self.phase += self.drift * elapsed
            self.drift += self.rng.gauss(0, self.wander * math.sqrt(elapsed))
            self._updated = now
        return self.phase


@dataclass
class DisciplinedClock:
    """A webntpd Clock: an oscillator, and what a consumer of refclock samples makes of it."""

    oscillator: Oscillator
    precision: float = 1e-6
    _corrected: float = 0.0
    _frequency: float = 0.0
    _updated: float = 0.0
    _sampled: float = field(default=-math.inf)

    def error(self) -> float:
        """Local minus true time, s: the negative of the offset that a perfect client finds."""
        now = trio.current_time()
        self._corrected += self._frequency * (now - self._updated)
        self._updated = now
        return self.oscillator.error() + self._corrected

    def discipline(self, offset: float) -> None:
        """Take a published offset, s, as a consumer does at each of its polls."""
        self.error()
        now = trio.current_time()
        if now - self._sampled < CONSUMER_POLL:
            return
        interval = min(now - self._sampled, 4 * CONSUMER_POLL)
        self._sampled = now
        self._corrected += PHASE_GAIN * offset
        self._frequency += FREQUENCY_GAIN * offset / interval

    def realtime_ns(self) -> int:
        return true_ns() + round(self.error() * NS_PER_S)

    @property
    def shift_ns(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        # A real one is slewed as well. Without it no task's schedule depends on whether it runs
        # before or after the consumer at the same instant, and a seed gives the same day again.
        return true_ns() - EPOCH_NS + round(self.oscillator.error() * NS_PER_S)

    def boottime_ns(self) -> int:
        return self.monotonic_ns()
