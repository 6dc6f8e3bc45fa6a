"""Smeared clocks, and when a clock may be smeared."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import reading
from tests.unit.leap.days import DAY_NS, EPOCH, NEW_YEAR_2017_NS, days_of_years, utc
from tests.unit.leap.test_list import PUBLISHED
from webntpd.leap.list import LeapList, parse_leap_list
from webntpd.leap.smear import smear_is_possible, smear_ns, unsmeared
from webntpd.ntp.readings import NS_PER_S, LeapNotice

HALF_DAY_NS = DAY_NS // 2
INSERTED = LeapList(0, 20_000 * DAY_NS, (LeapNotice(36, NEW_YEAR_2017_NS, 1),))
DELETED = LeapList(0, 20_000 * DAY_NS, (LeapNotice(36, NEW_YEAR_2017_NS, -1),))


def clocks(passed_ns: Fraction, step: int) -> tuple[Fraction, Fraction]:
    """What a smeared and a POSIX clock show so long after the noon before NEW_YEAR_2017_NS."""
    noon_ns = NEW_YEAR_2017_NS - HALF_DAY_NS
    smeared = noon_ns + passed_ns * 86_400 / (86_400 + step)
    leap_ns = HALF_DAY_NS + min(step, 0) * NS_PER_S
    posix = noon_ns + passed_ns - (step * NS_PER_S if passed_ns >= leap_ns else 0)
    return smeared, posix


@given(st.integers(0, DAY_NS - NS_PER_S), st.sampled_from([(INSERTED, 1), (DELETED, -1)]))
def test_a_smeared_time_is_turned_into_the_time_that_a_posix_clock_shows(
    passed_ns: int, leap: tuple[LeapList, int]
) -> None:
    leap_list, step = leap
    # As far as the smeared clock shows whole nanoseconds: each of its own takes a bit more or less.
    shown_ns = int(clocks(Fraction(passed_ns), step)[0])
    passed = Fraction(shown_ns - (NEW_YEAR_2017_NS - HALF_DAY_NS)) * (86_400 + step) / 86_400
    smeared, posix = clocks(passed, step)
    assert smeared == shown_ns
    assert abs(shown_ns - smear_ns(leap_list, shown_ns) - posix) <= 1


@pytest.mark.parametrize(
    ("leap_list", "from_leap_ns", "smear"),
    [
        (INSERTED, -HALF_DAY_NS - 1, 0.0),
        (INSERTED, -HALF_DAY_NS, 0.0),
        (INSERTED, -HALF_DAY_NS // 2, -0.25),
        (INSERTED, -NS_PER_S, -0.5 + 1 / 86_400),
        (INSERTED, 0, 0.5),
        (INSERTED, HALF_DAY_NS // 2, 0.25),
        (INSERTED, HALF_DAY_NS, 0.0),
        (DELETED, -HALF_DAY_NS // 2, 0.25),
        (DELETED, -NS_PER_S, 0.5 - 1 / 86_400),
        (DELETED, 0, -0.5),
        (DELETED, HALF_DAY_NS // 2, -0.25),
        (DELETED, HALF_DAY_NS, 0.0),
    ],
)
def test_the_smear_is_half_a_second_at_the_leap_and_none_at_noon(
    leap_list: LeapList, from_leap_ns: int, smear: float
) -> None:
    at_ns = NEW_YEAR_2017_NS + from_leap_ns
    assert smear_ns(leap_list, at_ns) / NS_PER_S == pytest.approx(smear, abs=2e-9)


LEAPS = parse_leap_list(PUBLISHED)
near_leaps = st.builds(
    lambda leap, from_leap_ns: leap.next_ns + from_leap_ns,
    st.sampled_from(LEAPS.leaps),
    st.integers(-DAY_NS, DAY_NS),
)


@given(near_leaps | st.integers(0, 4_000_000_000 * NS_PER_S))
def test_there_is_no_smear_but_within_half_a_day_of_a_leap_second(at_ns: int) -> None:
    near = any(abs(at_ns - leap.next_ns) <= HALF_DAY_NS for leap in LEAPS.leaps)
    smear = smear_ns(LEAPS, at_ns)
    assert abs(smear) <= NS_PER_S * 86_401 // (2 * 86_400) + 1
    assert near or smear == 0


def test_a_smeared_servers_reading_becomes_one_of_utc_without_a_notice() -> None:
    notice = LeapNotice(36, NEW_YEAR_2017_NS, 1)
    smeared = reading(5.0, leap=notice)
    t2_ns, t3_ns = NEW_YEAR_2017_NS - HALF_DAY_NS // 2, NEW_YEAR_2017_NS + HALF_DAY_NS // 2
    made = unsmeared(replace(smeared, t2_ns=t2_ns, t3_ns=t3_ns), INSERTED)
    quarter_ns = NS_PER_S // 4
    assert made == replace(smeared, t2_ns=t2_ns + quarter_ns, t3_ns=t3_ns - quarter_ns, leap=None)


def test_far_from_a_leap_second_a_smeared_servers_times_stand() -> None:
    same = reading(5.0)
    assert unsmeared(same, INSERTED) == same


HOUR_NS = 3_600 * NS_PER_S
JUNE_NS = 1_782_864_000 * NS_PER_S  # 1 July 2026, the instant after the end of June
MARCH_NS = 1_774_915_200 * NS_PER_S  # 31 March 2026


@pytest.mark.parametrize("known", [[], [LeapNotice(0, 0, 0)]])
@pytest.mark.parametrize(
    ("at_ns", "possible"),
    [
        (NEW_YEAR_2017_NS, True),
        (JUNE_NS, True),
        (JUNE_NS - 12 * HOUR_NS, True),
        (JUNE_NS + 12 * HOUR_NS, True),
        (JUNE_NS - 13 * HOUR_NS, False),
        (JUNE_NS + 13 * HOUR_NS, False),
        (MARCH_NS + 24 * HOUR_NS, False),
    ],
)
def test_where_nothing_is_known_each_end_of_june_and_december_may_be_smeared(
    at_ns: int, known: list[LeapNotice], *, possible: bool
) -> None:
    assert smear_is_possible(at_ns, known) is possible


def test_where_a_leap_second_is_known_no_other_is_smeared() -> None:
    known = [LeapNotice(0, 0, 0), LeapNotice(37, MARCH_NS + DAY_NS, 1)]
    assert smear_is_possible(MARCH_NS + DAY_NS, known)
    assert smear_is_possible(MARCH_NS + HALF_DAY_NS, known)
    assert not smear_is_possible(MARCH_NS, known)
    assert not smear_is_possible(JUNE_NS, known)
    assert smear_is_possible(JUNE_NS, [*known, LeapNotice(37, JUNE_NS, -1)])


@pytest.mark.parametrize("known", [[], LEAPS.leaps])
@given(at_ns=near_leaps)
def test_wherever_there_is_a_smear_it_is_known_to_be_possible(
    at_ns: int, known: Sequence[LeapNotice]
) -> None:
    assert not smear_ns(LEAPS, at_ns) or smear_is_possible(at_ns, known)


@given(days_of_years, st.integers(-DAY_NS, DAY_NS))
def test_the_calendar_of_possible_smears_is_the_usual_one(day: int, from_day_ns: int) -> None:
    at_ns = day * DAY_NS + from_day_ns
    reach_ns = 13 * HOUR_NS
    midnights = [utc(each * DAY_NS) for each in range(day - 2, day + 3)]
    usual = [each for each in midnights if each.day == 1 and each.month in {1, 7}]
    expected = any(
        abs(at_ns - (each - EPOCH) // timedelta(seconds=1) * NS_PER_S) < reach_ns for each in usual
    )
    assert smear_is_possible(at_ns, []) is expected
