"""ntpd, as far as a refclock concerns it: a median filter and the PLL/FLL of RFC 5905.

The offset decays second by second at no more than 500 ppm; an offset above 128 ms that stays for
300 s makes it step. Without a drift file the first 300 s measure the frequency.
"""

import math
from collections import deque

from benchmarks.simulation.consumers.wall import Wall

MAX_RATE = 500e-6
"""Frequency and slew together stay within this, s/s."""
STEP_THRESHOLD = 0.128
STEP_OUT = 300.0
"""An offset above the threshold makes it step after this time, s; the first measurement of the
frequency takes as long."""
PLL = 16.0
FLL = 4.0
"""The loop gains of RFC 5905 A.5.5.6."""
ALLAN = 1500.0
KEPT = 0.6
"""The share of a poll's samples that the median filter keeps."""
STAGES = 8
SLICE = 16.0
"""The offset decays exponentially; the wall clock's rate is constant within so many s."""


class Ntpd(Wall):
    """A wall clock in ntpd's hands."""

    def __init__(self, ahead: float, poll: int) -> None:
        super().__init__(ahead, poll)
        self._samples: list[float] = []
        self._stages: deque[tuple[float, float, float]] = deque(maxlen=STAGES)
        self._used = -math.inf
        self._frequency = 0.0
        self._remaining = 0.0  # of the offset, still to be corrected
        self._slewing = 0.0  # d(remaining)/d(RAW), negated
        self._began: tuple[float, float] | None = None  # RAW and offset while FREQ lasts
        self._measured = False  # whether the frequency was measured
        self._updated = 0.0
        self._spiked: float | None = None
        self._changes_at = SLICE

    @property
    def slew(self) -> float:
        """The present rate against RAW, s/s."""
        return self._rate

    def take(self, raw: float, offset: float) -> None:
        self.advance(raw)
        self._samples.append(offset)

    def resume(self, raw: float, slept: float) -> None:
        super().resume(raw, slept)
        self._samples.clear()
        self._stages.clear()

    def _move(self, raw: float) -> None:
        self._remaining -= self._slewing * (raw - self._at)
        super()._move(raw)

    def _slew_ended(self) -> None:
        self._changes_at = self._at + SLICE
        self._steer()

    def _steer(self) -> None:
        """The rate of the next slice: RFC 5905 A.5.6.1 spends a share of the offset each second."""
        time_constant = PLL * min(self._interval, ALLAN)
        wanted = self._remaining / time_constant
        self._rate = min(max(self._frequency + wanted, -MAX_RATE), MAX_RATE)
        self._slewing = self._rate - self._frequency

    def _poll(self) -> None:
        if not self._samples:
            return
        offset, jitter = trimmed(self._samples)
        self._samples.clear()
        self._stages.append((self._at, offset, jitter))
        at, offset, _ = min(
            self._stages, key=lambda stage: stage[2] + 15e-6 * (self._at - stage[0])
        )
        if at > self._used:
            self._used = at
            self._update(offset)

    def _update(self, offset: float) -> None:
        if abs(offset) > STEP_THRESHOLD:
            if self._spiked is None:
                self._spiked = self._at
            if self._at - self._spiked < STEP_OUT:
                return
            self.ahead += offset
            self._spiked = None
            self._remaining = 0.0
            self._stages.clear()
            self._updated = self._at
            self._steer()
            return
        self._spiked = None
        interval, self._updated = self._at - self._updated, self._at
        if not self._measured:
            if self._began is None:
                self._began = self._at, offset
            elif self._at - self._began[0] >= STEP_OUT:
                since = self._at - self._began[0]
                self._change_frequency((offset - self._began[1]) / since)
                self._measured = True
                self._remaining = offset
        else:
            if self._interval > ALLAN / 2:
                self._change_frequency((offset - self._remaining) / (FLL * max(interval, ALLAN)))
            spent = min(interval, self._interval)
            self._change_frequency(offset * spent / (4 * PLL * self._interval) ** 2)
            self._remaining = offset
        self._steer()

    def _change_frequency(self, by: float) -> None:
        self._frequency = min(max(self._frequency + by, -MAX_RATE), MAX_RATE)


def trimmed(samples: list[float]) -> tuple[float, float]:
    """The mean and the deviation of the samples nearest to the median, KEPT of them."""
    ordered = sorted(samples)
    first, last = 0, len(ordered)
    while last - first > max(1, math.ceil(KEPT * len(ordered))):
        middle = ordered[(first + last) // 2]
        if ordered[last - 1] - middle < middle - ordered[first]:
            first += 1
        else:
            last -= 1
    kept = ordered[first:last]
    mean = sum(kept) / len(kept)
    return mean, math.sqrt(sum((each - mean) ** 2 for each in kept) / len(kept))
