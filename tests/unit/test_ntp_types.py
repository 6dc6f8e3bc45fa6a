import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import WALL_NS, estimate, ns, reading, report
from webntpd.ntp.types import (
    NS_PER_S,
    PHI,
    Formula,
    Leap,
    Provenance,
    Reading,
    Rejection,
    StampSource,
    Tally,
)

small_ns = st.integers(0, 10 * NS_PER_S)


def exchange(there_ns: int, server_ns: int, back_ns: int, offset_ns: int) -> Reading:
    """A round trip as it would be stamped by a local clock that is behind by offset_ns."""
    t2_ns = WALL_NS + there_ns + offset_ns
    t3_ns = t2_ns + server_ns
    t4_ns = t3_ns - offset_ns + back_ns
    return Reading(WALL_NS, t2_ns, t3_ns, t4_ns, at_ns=0, precision=2e-6, provenance=MIXED)


MIXED = Provenance(Formula.INTERLEAVED, StampSource.KERNEL, StampSource.USER)


@given(there_ns=small_ns, server_ns=small_ns, back_ns=small_ns, offset_ns=st.integers(-(10**15)))
def test_the_offset_is_wrong_by_half_the_difference_of_the_two_ways(
    there_ns: int, server_ns: int, back_ns: int, offset_ns: int
) -> None:
    made = exchange(there_ns, server_ns, back_ns, offset_ns)
    assert made.delay == (there_ns + back_ns) / NS_PER_S
    error_ns = made.offset * NS_PER_S - offset_ns
    assert error_ns == pytest.approx((there_ns - back_ns) / 2, abs=1 + abs(offset_ns) * 1e-15)


def test_the_offset_is_positive_when_the_local_clock_is_behind() -> None:
    assert exchange(1000, 0, 1000, offset_ns=5 * NS_PER_S).offset == 5.0


def test_half_a_nanosecond_survives_in_the_offset() -> None:
    assert exchange(1, 0, 0, offset_ns=0).offset == 0.5e-9


def test_the_dispersion_is_the_precision_and_the_drift_during_the_exchange() -> None:
    made = exchange(ns(0.5), ns(1), ns(0.5), offset_ns=77)
    assert made.dispersion == pytest.approx(2e-6 + PHI * 2)


def test_a_provenance_names_the_stamps_once_if_they_are_alike() -> None:
    assert str(reading(0).provenance) == "four-stamp user"
    assert str(MIXED) == "interleaved kernel/user"


def test_the_root_distance_adds_every_share() -> None:
    made = estimate(
        delay=0.2, root_delay=0.1, root_dispersion=0.01, dispersion=0.02, jitter=0.03, at_ns=ns(5)
    )
    assert made.root_distance(ns(5)) == pytest.approx(0.15 + 0.01 + 0.02 + 0.03)


def test_the_root_distance_grows_with_age() -> None:
    made = estimate()
    assert made.root_distance(ns(100)) - made.root_distance(0) == pytest.approx(100 * PHI)


def test_the_root_distance_has_at_least_half_the_minimum_dispersion() -> None:
    made = estimate(delay=1e-9)
    assert made.root_distance(0) == pytest.approx(2.5e-6)
    assert made.root_distance(0, min_dispersion=0.005) == pytest.approx(0.0025)


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
