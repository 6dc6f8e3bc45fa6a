import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import STEADY, WALL_NS, estimate, ns, reading, report, x_ns
from webntpd.ntp.types import (
    NS_PER_S,
    Estimate,
    Formula,
    Frequency,
    Leap,
    NoEstimate,
    Provenance,
    Reading,
    Rejection,
    StampSource,
    Tally,
    Verdict,
)

small_ns = st.integers(0, 10 * NS_PER_S)
MIXED = Provenance(Formula.INTERLEAVED, StampSource.KERNEL, StampSource.USER)


@given(there_ns=small_ns, server_ns=small_ns, back_ns=small_ns, step_ns=st.integers(-(10**15)))
def test_the_delay_is_of_both_ways_even_if_the_wall_clock_is_set(
    there_ns: int, server_ns: int, back_ns: int, step_ns: int
) -> None:
    t2_ns = WALL_NS + there_ns
    elapsed_ns = there_ns + server_ns + back_ns
    made = Reading(
        t1_ns=WALL_NS,
        t2_ns=t2_ns,
        t3_ns=t2_ns + server_ns,
        t4_ns=WALL_NS + elapsed_ns + step_ns,
        r1_ns=7,
        r4_ns=7 + elapsed_ns,
        precision=2e-6,
        provenance=MIXED,
    )
    assert made.delay == (there_ns + back_ns) / NS_PER_S
    assert made.at_ns == 7 + elapsed_ns


def test_a_provenance_names_the_stamps_once_if_they_are_alike() -> None:
    assert str(reading(0).provenance) == "four-stamp user"
    assert str(MIXED) == "interleaved kernel/user"


# -- a peer's estimate -----------------------------------------------------------------------

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


# -- reports, and words ----------------------------------------------------------------------


def test_samples_are_counted_whatever_they_were_made_of() -> None:
    user, kernel = (Provenance(Formula.TWO_STAMP, each, each) for each in StampSource)
    assert report("a").samples == 0
    assert report("a", stamps={user: 2, kernel: 3}).samples == 5


def test_leap_warnings_have_the_values_of_shm() -> None:
    assert [Leap.NONE, Leap.INSERT, Leap.DELETE] == [0, 1, 2]


def test_tallies_are_the_characters_of_ntpq() -> None:
    assert "".join(Tally) == " x-+*"


def test_rejections_read_as_words() -> None:
    assert all(name.replace("-", "").isalpha() for name in Rejection)
