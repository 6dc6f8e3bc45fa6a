"""The machine's clocks, and the one that takes RAW's place where the kernel has none."""

import logging
import time

import pytest

from webntpd.clock.clocks import (
    CLOSE_PAIR_NS,
    PAIR_ATTEMPTS,
    ShiftedClock,
    SystemClock,
    measured_precision,
    read_pair,
)
from webntpd.ntp.readings import MAX_SLEW


def test_raw_goes_on_and_is_not_steered() -> None:
    clock = SystemClock()
    assert clock.slew == 0.0
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    assert before <= clock.raw_ns() <= time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def test_monotonic_takes_the_place_of_a_missing_raw(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = time.clock_gettime_ns

    def without_raw(clock_id: int) -> int:
        if clock_id == time.CLOCK_MONOTONIC_RAW:
            raise OSError(22, "Invalid argument")
        return real(clock_id)

    monkeypatch.setattr(time, "clock_gettime_ns", without_raw)
    clock = SystemClock()
    before = real(time.CLOCK_MONOTONIC)
    assert before <= clock.raw_ns() <= real(time.CLOCK_MONOTONIC)
    assert clock.slew == MAX_SLEW
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "CLOCK_MONOTONIC_RAW cannot be read" in record.getMessage()


def test_a_shifted_clock_is_wrong_by_its_shift() -> None:
    clock = ShiftedClock(-2.5)
    ahead_ns = clock.realtime_ns() - time.time_ns()
    assert ahead_ns == pytest.approx(-2.5e9, abs=1e8)
    assert clock.shift_ns == -2_500_000_000


class ScriptedClock(SystemClock):
    """RAW advances by the scripted steps, ns, at each reading."""

    def __init__(self, *steps: int) -> None:
        super().__init__()
        self._steps = list(steps)
        self._now = 0
        self.readings = 0

    def raw_ns(self) -> int:
        self.readings += 1
        self._now += self._steps.pop(0)
        return self._now


def test_a_pair_is_read_again_until_it_is_close() -> None:
    clock = ScriptedClock(0, 5 * CLOSE_PAIR_NS, 100, 200)
    assert read_pair(clock).window_ns == 200
    assert clock.readings == 4


def test_of_pairs_that_are_never_close_the_tightest_counts() -> None:
    clock = ScriptedClock(0, 9000, 100, 3000, 100, 5000)
    pair = read_pair(clock)
    assert (pair.raw_ns, pair.window_ns) == (9100, 3000)
    assert clock.readings == 2 * PAIR_ATTEMPTS


def test_the_precision_is_the_least_difference_of_two_readings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter([10, 10, 10, 17, 20, 23, 30, 20])  # the last two: the clock was set back
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: next(readings))
    assert measured_precision(rounds=3) == 3e-9
