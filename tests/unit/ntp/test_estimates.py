import pytest

from tests.unit.builders import STEADY, WALL_NS, estimate, ns, x_ns
from webntpd.ntp.estimates import Estimate, Frequency, NoEstimate, Tally, Verdict

FREE = Frequency(20e-6, 1e-6, 0.0)


def test_an_offset_is_positive_when_the_wall_clock_is_behind() -> None:
    assert estimate(0.25).offset(0, WALL_NS) == 0.25
    assert estimate(0.25).offset(0, WALL_NS + ns(1)) == -0.75


def test_an_offset_is_carried_by_the_frequency() -> None:
    made = estimate(0.25, frequency=FREE)
    assert made.offset(ns(100), WALL_NS + ns(100)) == pytest.approx(0.252)
    # A wall clock that was slewed meanwhile has another offset, and X is the same.
    assert made.offset(ns(100), WALL_NS + ns(100.1)) == pytest.approx(0.152)


def test_the_error_bound_reaches_to_the_farther_end_and_grows() -> None:
    made = estimate(0.0, 0.003, mid_ns=x_ns(0.001), growth=1e-5, frequency=FREE)
    assert made.error_bound(0) == pytest.approx(0.004)
    assert made.error_bound(ns(100)) == pytest.approx(0.005)


def test_a_bound_grows_faster_the_longer_the_frequency_may_wander() -> None:
    made = estimate(frequency=Frequency(0.0, 0.0, 1e-9), growth=1e-5)
    grown = [made.error_bound(ns(at)) - made.error_bound(0) for at in (1000, 2000)]
    assert grown == pytest.approx([0.01 + 0.0005, 0.02 + 0.002])


def test_the_dispersion_is_the_half_width_less_half_of_the_delay() -> None:
    made = estimate(half_width=0.003, delay=0.004)
    assert made.half_width == pytest.approx(0.003)
    assert made.dispersion == pytest.approx(0.001)
    assert estimate(half_width=0.001, delay=0.004).dispersion == 0.0


# -- the system's ----------------------------------------------------------------------------

TOGETHER = Estimate(
    at_ns=0,
    x_ns=x_ns(0.25),
    error=0.004,
    growth=1e-5,
    jitter=1e-4,
    frequency=FREE,
    system_peer="a",
)


def test_the_systems_offset_and_bound_are_carried_likewise() -> None:
    assert TOGETHER.offset(0, WALL_NS) == 0.25
    assert TOGETHER.offset(ns(100), WALL_NS + ns(100)) == pytest.approx(0.252)
    assert TOGETHER.error_bound(0) == 0.004
    assert TOGETHER.error_bound(ns(100)) == pytest.approx(0.005)


def test_the_heaviest_speaks_first() -> None:
    verdict = Verdict(TOGETHER, {}, weights={"b": 0.25, "a": 0.25, "c": 0.5}, frequency=STEADY)
    assert verdict.speakers == ("c", "a", "b")
    assert Verdict(NoEstimate.NO_PEER, {}).speakers == ()


def test_tallies_are_the_characters_of_ntpq() -> None:
    assert "".join(Tally) == " x-+*"
