"""benchmarks.simulation.consumers: the models correct a clock as their originals do."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.consumers import CONSUMERS
from benchmarks.simulation.consumers.chrony import MAX_SLEW, Chrony, Filter
from benchmarks.simulation.consumers.ntpd import MAX_RATE, Ntpd, trimmed
from benchmarks.simulation.consumers.wall import Wall

PPM = 1e-6
US = 1e-6
MS = 1e-3
INTERVAL = 16.0
FREQUENCY = -50 * PPM
"""The rate at which X = true time - RAW gains on RAW, s/s."""


def x_of(raw: float) -> float:
    return FREQUENCY * raw


def steer(wall: Wall, seconds: float, start: float = 0.0) -> None:
    """Publish perfect offsets every INTERVAL."""
    for number in range(1, int(seconds / INTERVAL) + 1):
        raw = start + number * INTERVAL
        wall.take(raw, x_of(raw) - (wall.read(raw) - raw))


def error(wall: Wall, raw: float) -> float:
    return wall.read(raw) - raw - x_of(raw)


def rates(wall: Wall, start: float, end: float) -> list[float]:
    """How fast the wall clock gains on RAW, second by second."""
    readings = [wall.read(raw) - raw for raw in range(int(start), int(end) + 1)]
    return [later - earlier for earlier, later in pairwise(readings)]


@pytest.mark.parametrize("poll", [4, 6])
def test_chrony_finds_offset_and_frequency(poll: int) -> None:
    wall = Chrony(20 * MS, poll)
    steer(wall, 3600)
    assert abs(error(wall, 3700)) < 1 * US
    assert rates(wall, 3700, 3710) == pytest.approx([FREQUENCY] * 10, abs=0.01 * PPM)


def test_chrony_corrects_the_whole_offset_at_its_third_poll() -> None:
    wall = Chrony(20 * MS, 4)
    steer(wall, 2 * INTERVAL)
    assert error(wall, 3 * INTERVAL - 1) > 20 * MS
    steer(wall, INTERVAL, start=2 * INTERVAL)
    wall.take(3 * INTERVAL + 1, x_of(3 * INTERVAL + 1) - wall.ahead)
    assert abs(error(wall, 5 * INTERVAL)) < 1 * MS


def test_chrony_slews_at_no_more_than_its_maximum() -> None:
    wall = Chrony(0.5, 4)
    fastest = 0.0
    for number in range(1, 20):
        raw = number * INTERVAL
        found = rates(wall, raw - INTERVAL, raw)
        fastest = max(fastest, *map(abs, found))
        wall.take(raw, x_of(raw) - (wall.read(raw) - raw))
    assert 0.9 * MAX_SLEW < fastest <= MAX_SLEW + abs(FREQUENCY) + 1 * PPM
    assert abs(error(wall, raw)) < 1 * MS


def test_chrony_does_not_notice_a_step_and_slews_it_away() -> None:
    wall = Chrony(0.0, 4)
    steer(wall, 1600)
    wall.step(1605, 0.3)
    assert error(wall, 1605) == pytest.approx(0.3, abs=1 * MS)
    steer(wall, 640, start=1605)
    assert abs(error(wall, 2250)) < 1 * MS


def test_chrony_drops_its_samples_after_a_suspend_and_keeps_the_frequency() -> None:
    wall = Chrony(0.0, 4)
    steer(wall, 1600)
    wall.resume(1600, 3600.0)
    assert wall.ahead == pytest.approx(3600 + x_of(1600), abs=1 * US)
    assert rates(wall, 1600, 1610) == pytest.approx([FREQUENCY] * 10, abs=0.1 * PPM)


def test_chronys_filter_ignores_a_lone_spike() -> None:
    samples = Filter()
    samples.samples = [(float(raw), 1 * MS) for raw in range(9)] + [(9.0, 1.0)]
    taken = samples.take()
    assert taken is not None
    assert taken.x == pytest.approx(1 * MS)
    assert samples.take() is None


def test_ntpd_finds_offset_and_frequency() -> None:
    wall = Ntpd(20 * MS, 4)
    steer(wall, 4 * 3600)
    assert abs(error(wall, 4 * 3600)) < 100 * US
    assert rates(wall, 14_400, 14_410) == pytest.approx([FREQUENCY] * 10, abs=1 * PPM)


@given(st.floats(-0.1, 0.1))  # farther off it steps: the frequency adds its part
def test_ntpd_never_exceeds_500_ppm(ahead: float) -> None:
    wall = Ntpd(ahead, 4)
    for number in range(1, 60):
        raw = number * INTERVAL
        assert all(abs(rate) <= MAX_RATE + 1e-12 for rate in rates(wall, raw - INTERVAL, raw))
        wall.take(raw, x_of(raw) - (wall.read(raw) - raw))


def test_ntpd_steps_an_offset_that_stays_above_its_threshold() -> None:
    wall = Ntpd(0.3, 4)
    steer(wall, 250)
    assert error(wall, 250) > 0.29
    steer(wall, 400, start=250)
    assert abs(error(wall, 650)) < 30 * MS


def test_ntpds_median_filter_keeps_the_middle() -> None:
    mean, deviation = trimmed([1.0, 1.0, 1.0, 1.0, 9.0])
    assert (mean, deviation) == (1.0, 0.0)


def test_without_a_consumer_the_clock_runs_free() -> None:
    wall = CONSUMERS["none"](20 * MS, 4)
    steer(wall, 3600)
    assert wall.read(3600) == pytest.approx(3600 + 20 * MS)


@pytest.mark.parametrize("name", sorted(CONSUMERS))
def test_a_reading_depends_on_no_other_reading(name: str) -> None:
    often, seldom = (CONSUMERS[name](20 * MS, 4) for _ in range(2))
    for raw in range(1, 500):
        often.read(float(raw))
        if raw % 16 == 0:
            for wall in (often, seldom):
                wall.take(float(raw), 5 * MS * math.sin(raw))
    assert often.read(500.0) == pytest.approx(seldom.read(500.0), abs=1e-9)
