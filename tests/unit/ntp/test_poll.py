from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.poll import SPREAD, PollAdaptation, interval_ns
from webntpd.ntp.readings import NS_PER_S

STEADY = (0.0, 1e-3)
RESTLESS = (1.0, 1e-3)


def after(adaptation: PollAdaptation, *updates: tuple[float, float]) -> int:
    for change, jitter in updates:
        adaptation.update(change, jitter)
    return adaptation.poll


def test_it_begins_with_the_shortest_interval() -> None:
    assert PollAdaptation(4, 10).poll == 4


def test_a_steady_clock_is_asked_less_often_once_the_count_is_above_the_limit() -> None:
    adaptation = PollAdaptation(4, 10)
    assert after(adaptation, *repeat(STEADY, 7)) == 4  # 7 * 4 = 28
    assert after(adaptation, STEADY) == 5  # 32


def test_a_restless_clock_is_asked_more_often_twice_as_fast() -> None:
    adaptation = PollAdaptation(6, 10)
    assert after(adaptation, *repeat(STEADY, 6)) == 7  # 36
    assert after(adaptation, *repeat(RESTLESS, 2)) == 7  # -28
    assert after(adaptation, RESTLESS) == 6  # -42


def test_a_change_of_four_jitters_is_no_longer_steady() -> None:
    below, at = PollAdaptation(16, 17), PollAdaptation(16, 17)
    assert after(below, *repeat((-3.999, 1.0), 2)) == 17
    assert after(at, *repeat((-4.0, 1.0), 2)) == 16


def test_the_bounds_hold_and_the_count_does_not_wind_up_behind_them() -> None:
    adaptation = PollAdaptation(6, 7)
    assert after(adaptation, *repeat(STEADY, 100)) == 7
    # From 30 at the bound, 14 an update: the fifth goes below -30.
    assert after(adaptation, *repeat(RESTLESS, 4)) == 7
    assert after(adaptation, RESTLESS) == 6
    assert after(adaptation, *repeat(RESTLESS, 100)) == 6
    assert after(adaptation, *repeat(STEADY, 10)) == 6
    assert after(adaptation, STEADY) == 7


def test_a_reset_forgets_the_interval_and_the_count() -> None:
    adaptation = PollAdaptation(4, 10)
    after(adaptation, *repeat(STEADY, 15))
    adaptation.reset()
    assert adaptation.poll == 4
    assert after(adaptation, *repeat(STEADY, 7)) == 4


@given(
    st.integers(1, 10),
    st.integers(0, 7),
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), max_size=200),
)
def test_the_interval_stays_in_its_bounds_and_moves_by_single_steps(
    minpoll: int, width: int, updates: list[tuple[float, float]]
) -> None:
    adaptation = PollAdaptation(minpoll, minpoll + width)
    for update in updates:
        before = adaptation.poll
        assert abs(after(adaptation, update) - before) <= 1
        assert minpoll <= adaptation.poll <= minpoll + width


@given(st.integers(0, 17), st.floats(0, 1, exclude_max=True))
def test_an_interval_is_within_the_spread_of_its_power_of_two(poll: int, chance: float) -> None:
    seconds = interval_ns(poll, lambda: chance) / NS_PER_S
    assert abs(seconds - 2**poll) <= SPREAD * 2**poll + 1e-9


def test_the_spread_goes_both_ways() -> None:
    assert interval_ns(6, lambda: 0.0) == pytest.approx(60.8 * NS_PER_S)
    assert interval_ns(6, lambda: 0.5) == 64 * NS_PER_S
    assert interval_ns(6, lambda: 1.0) == pytest.approx(67.2 * NS_PER_S)
