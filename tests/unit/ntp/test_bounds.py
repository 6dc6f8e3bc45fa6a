"""Bounds that hold on any path, with any oscillator and any slew of the wall clock."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import PROVENANCE, STEADY, WALL_NS, estimate, ns, reading, track, x_ns
from webntpd.ntp.bounds import (
    ENTRY_PAUSE,
    HORIZON_ENTRIES,
    MAX_ENTRY,
    MAX_GUESS_RATE,
    MAX_UNKNOWN_RATE,
    MIN_ENTRIES,
    MIN_GUESS_RATE,
    MIN_HALF_WIDTH,
    PROOF_RATE,
    WINDOW,
    Settled,
    Window,
    bounds_of,
    contradict,
    estimate_of,
    guess_rate,
)
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Entry, Frequency, PeerEstimate
from webntpd.ntp.readings import NS_PER_S, Reading

MS = 1e-3
PPM = 1e-6


def entry(ceiling: float, bottom: float, at: float = 0.0, delay: float = 0.01) -> Entry:
    """Bounds of the offset, s, both of RAW `at`."""
    return Entry(x_ns(ceiling), ns(at), x_ns(bottom), ns(at), delay)


def offset(x: int) -> float:
    return (x - WALL_NS) / NS_PER_S


def evaluated(*entries: Entry, now: float = 0.0, **fields: Any) -> PeerEstimate:
    return estimate_of(track(entries=entries, **fields), ns(now))


# One exchange


def test_an_exchange_bounds_x_by_its_two_ways() -> None:
    made = Reading(
        t1_ns=0, t2_ns=1000, t3_ns=1100, t4_ns=0, r1_ns=300, r4_ns=700, precision=1e-6,
        provenance=PROVENANCE,
    )  # fmt: skip
    bounds = bounds_of(made, 10)
    assert bounds.ceiling_ns == 1000 + 10 - 300
    assert bounds.floor_ns == 1100 - 700
    assert bounds.delay == pytest.approx(made.delay + 10e-9)


# The window


def fill(window: Window, *times: float, **fields: Any) -> list[bool]:
    """Take an exchange at each of the times; True for each that began an entry."""
    began = []
    for at in times:
        made = reading(at, delay=0.01, **fields)
        began.append(window.add(made, bounds_of(made, 0), STEADY))
    return began


def test_the_exchanges_of_a_burst_are_one_entry() -> None:
    window = Window()
    assert fill(window, 0, 2, 4, 6, 16, 18) == [True, False, False, False, True, False]
    assert len(window.entries) == 2


def test_an_entry_lasts_until_a_pause() -> None:
    assert fill(Window(), 0, ENTRY_PAUSE) == [True, False]
    assert fill(Window(), 0, ENTRY_PAUSE + 0.02) == [True, True]


def test_polls_without_a_pause_begin_an_entry_now_and_then() -> None:
    began = fill(Window(), *range(0, 60, 2))
    assert sum(began) == 3
    assert began.index(True, 1) == MAX_ENTRY / 2


def test_an_entry_keeps_its_least_ceiling_and_its_greatest_floor() -> None:
    window = Window()
    for at, skew, delay in ((0, 0.002, 0.01), (2, -0.002, 0.012), (4, 0.0, 0.02)):
        made = reading(at, skew, delay)
        window.add(made, bounds_of(made, 0), STEADY)
    (kept,) = window.entries
    assert offset(kept.ceiling_ns) == pytest.approx(0.004)
    assert offset(kept.floor_ns) == pytest.approx(-0.003)
    assert kept.floor_at_ns == ns(0)
    assert kept.ceiling_at_ns == ns(2 - 0.012)
    assert kept.delay == pytest.approx(0.01)


def test_bounds_of_a_burst_are_compared_at_the_same_instant() -> None:
    fast = Frequency(100 * PPM, 0.0, 0.0)
    window = Window()
    for at in (0.0, 4.0):  # X gains 400 us meanwhile, so the later ceiling is as good
        made = reading(at, 100 * PPM * at, 0.01)
        window.add(made, bounds_of(made, 0), fast)
    assert window.entries[0].ceiling_at_ns == ns(4 - 0.01)


def test_while_the_frequency_is_unknown_the_bounds_of_a_burst_age() -> None:
    window = Window()
    for at, delay in ((0.0, 0.01), (4.0, 0.011)):  # 510 ppm of 4 s are 2 ms
        made = reading(at, 0.0, delay)
        window.add(made, bounds_of(made, 0), UNKNOWN_FREQUENCY)
    (kept,) = window.entries
    assert kept.floor_at_ns == ns(4)
    assert kept.ceiling_at_ns == ns(4 - 0.011)
    assert kept.delay == pytest.approx(0.01)


def test_an_exchange_that_contradicts_its_burst_begins_an_entry() -> None:
    window = Window()
    made = reading(0, 0.0, 0.01), reading(2, 1.0, 0.01)
    assert [window.add(each, bounds_of(each, 0), STEADY) for each in made] == [True, True]


def test_old_entries_go_but_a_few_stay() -> None:
    window = Window()
    fill(window, *range(0, 4000, 16))
    assert len(window.entries) == WINDOW / 16 + 1
    seldom = Window()
    fill(seldom, *range(0, 100_000, 1024))
    assert len(seldom.entries) == MIN_ENTRIES


def test_a_cleared_window_is_empty() -> None:
    window = Window()
    fill(window, 0)
    window.clear()
    assert window.entries == ()
    assert window.settle(STEADY) is Settled.NOTHING


# Contradictions


def settled(*entries: Entry, frequency: Frequency = STEADY) -> tuple[Settled, tuple[Entry, ...]]:
    window = Window()
    window.entries = entries
    return window.settle(frequency), window.entries


def test_bounds_that_agree_are_kept() -> None:
    entries = tuple(entry(0.01, -0.01, at) for at in range(0, 160, 16))
    assert settled(*entries) == (Settled.NOTHING, entries)


def test_a_contradiction_forgets_the_older_half() -> None:
    old = [entry(0.01, -0.01, at) for at in range(0, 64, 16)]
    new = [entry(0.06, 0.04, at) for at in range(64, 128, 16)]
    assert settled(*old, *new) == (Settled.HALVED, tuple(new))


def test_when_the_last_two_contradict_each_other_only_the_newest_stays() -> None:
    old = [entry(0.01, -0.01, at) for at in range(0, 160, 16)]
    new = entry(0.06, 0.04, 160)
    assert settled(*old, new) == (Settled.CLEARED, (new,))


def test_an_error_of_the_frequency_may_explain_crossed_bounds() -> None:
    pair = entry(0.0, 0.0, 0), entry(0.03, 0.03, 64)
    assert contradict(pair, STEADY)
    assert not contradict(pair, UNKNOWN_FREQUENCY)
    assert not contradict(pair, STEADY, slew=0.1)


# The estimate


def test_a_fresh_estimate_is_as_wide_as_its_delay() -> None:
    made = evaluated(entry(0.006, -0.004))
    assert offset(made.mid_ns) == pytest.approx(0.001)
    assert made.half_width == pytest.approx(0.005 + MIN_HALF_WIDTH, abs=1e-8)
    assert made.error_bound(0) == pytest.approx(made.half_width, abs=1e-8)
    assert made.delay == 0.01
    assert made.dispersion == pytest.approx(MIN_HALF_WIDTH, abs=1e-8)


def test_the_lucky_packets_of_both_directions_meet() -> None:
    made = evaluated(entry(0.001, -0.02, 0), entry(0.02, -0.001, 16), now=16)
    assert offset(made.mid_ns) == pytest.approx(0.0)
    assert made.half_width < 0.0012


def test_it_widens_by_root_error_and_half_of_the_root_delay() -> None:
    made = evaluated(entry(0.001, -0.001), root_error=0.002, root_delay=0.006)
    assert made.half_width == pytest.approx(0.001 + 0.002 + 0.003 + MIN_HALF_WIDTH)


def test_it_is_carried_by_the_frequency() -> None:
    moving = Frequency(50 * PPM, 0.0, 0.0)
    made = estimate_of(track(entries=(entry(0.001, -0.001),), frequency=moving), ns(100), moving)
    assert offset(made.mid_ns) == pytest.approx(0.005)
    assert made.offset(ns(200), WALL_NS + ns(200)) == pytest.approx(0.010)


def test_its_bounds_widen_with_age() -> None:
    known = Frequency(0.0, 1 * PPM, 1e-9)
    young = estimate_of(track(entries=(entry(0.001, -0.001),), frequency=known), ns(0))
    old = estimate_of(track(entries=(entry(0.001, -0.001),), frequency=known), ns(100))
    assert old.half_width - young.half_width == pytest.approx(100 * (3 * PPM + PROOF_RATE) + 1e-5)
    assert young.error_bound(ns(100)) == pytest.approx(old.half_width, abs=1e-8)


def test_the_guess_never_leaves_the_bounds() -> None:
    """The common frequency may be a lie; the bounds follow the peer's own."""
    lie = Frequency(500 * PPM, 0.02 * PPM, 0.0)
    made = estimate_of(track(entries=(entry(0.001, -0.001),)), ns(1000), lie)
    assert 0 <= made.high_ns - made.mid_ns <= 1  # the bound is rounded away from it


def test_ceilings_below_floors_leave_the_newer_half_to_guess() -> None:
    """A change that the proof still allows."""
    known = Frequency(0.0, 20 * PPM, 0.0)
    entries = [entry(0.0, -0.001, at) for at in range(0, 64, 16)]
    entries += [entry(0.003, 0.001, at) for at in range(64, 128, 16)]
    made = estimate_of(track(entries=tuple(entries), frequency=known), ns(112), STEADY)
    assert offset(made.mid_ns) == pytest.approx(0.002)


def test_one_entry_alone_makes_a_guess_even_if_it_contradicts_itself() -> None:
    made = evaluated(entry(-0.001, 0.001))
    assert offset(made.mid_ns) == pytest.approx(0.0)
    assert made.half_width >= 0.001


def test_a_horizon_leaves_a_few_older_entries() -> None:
    entries = tuple(entry(0.01 - at * PPM, -0.01, at) for at in range(0, 320, 16))
    cut = estimate_of(track(entries=entries), ns(320), horizon_ns=ns(160))
    assert cut == estimate_of(track(entries=entries[10:]), ns(320))
    cut = estimate_of(track(entries=entries), ns(320), horizon_ns=ns(10_000))
    assert cut == estimate_of(track(entries=entries[-HORIZON_ENTRIES:]), ns(320))


def test_the_jitter_is_the_sigma_of_the_line_or_half_of_the_distance_of_the_bounds() -> None:
    assert evaluated(entry(0.006, -0.004)).jitter == pytest.approx(0.005)
    assert evaluated(entry(0.006, -0.004), sigma=0.002).jitter == 0.002


def test_the_guess_ages_by_the_uncertainty_within_limits() -> None:
    assert guess_rate(Frequency(0, 1 * PPM, 0), STEADY) == 1 * PPM
    assert guess_rate(Frequency(0, 1e-12, 0), STEADY) == MIN_GUESS_RATE
    assert guess_rate(Frequency(0, 1.0, 0), STEADY) == MAX_GUESS_RATE
    assert guess_rate(None, UNKNOWN_FREQUENCY) == MAX_UNKNOWN_RATE
    assert guess_rate(None, Frequency(0, 2 * PPM, 0)) == pytest.approx(6 * PPM)


def test_a_raw_that_is_steered_widens_the_bounds() -> None:
    one = track(entries=(entry(0.001, -0.001),))
    plain, slewed = estimate_of(one, ns(10)), estimate_of(one, ns(10), slew=0.1)
    assert slewed.half_width - plain.half_width == pytest.approx(1.0)
    assert slewed.growth - plain.growth == pytest.approx(0.1)


# What must always hold


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    skew=st.floats(-500, 500),
    known=st.floats(-1, 1),
    count=st.integers(1, 60),
    jitter=st.sampled_from([1e-5, 1e-3, 0.1]),
    poll=st.sampled_from([16, 64, 1024]),
)
def test_the_truth_is_inside_on_any_path(
    seed: int, skew: float, known: float, count: int, jitter: float, poll: int
) -> None:
    """The oscillator is off by `skew` ppm and wanders; the prior is right within 3 s."""
    rng = Random(seed)
    uncertainty = 10 * PPM
    own = Frequency(skew * PPM - known * 3 * uncertainty, uncertainty, 1e-10)
    window, x, rate, now = Window(), 0.0, skew * PPM, 0.0
    for _ in range(count):
        step = poll * rng.uniform(0.9, 1.1)
        x, now = x + rate * step, now + step
        rate += rng.uniform(-1e-9, 1e-9) * step * 0.5
        out, back = rng.expovariate(1 / jitter), rng.expovariate(1 / jitter)
        made = Reading(
            t1_ns=0,
            t2_ns=WALL_NS + ns(now) + ns(x),
            t3_ns=WALL_NS + ns(now) + ns(x),
            t4_ns=0,
            r1_ns=ns(now - out),
            r4_ns=ns(now + back),
            precision=1e-6,
            provenance=PROVENANCE,
        )
        window.add(made, bounds_of(made, 1), own)
        assert window.settle(own) is Settled.NOTHING
        found = estimate_of(track(entries=window.entries, frequency=own), made.r4_ns, own)
        truth_ns = WALL_NS + ns(x + rate * back)
        assert found.low_ns <= truth_ns <= found.high_ns
        assert found.low_ns <= found.mid_ns <= found.high_ns
        assert abs(found.mid_ns - truth_ns) / NS_PER_S <= found.error_bound(made.r4_ns)


@given(
    drawn=st.lists(
        st.tuples(st.floats(0, 0.1), st.floats(0, 0.1), st.floats(0, 1000)), min_size=1, max_size=9
    ),
    later=st.floats(0, 5000),
)
def test_an_old_estimate_is_never_narrower_than_a_new_one(
    drawn: list[tuple[float, float, float]], later: float
) -> None:
    entries = tuple(entry(up, -down, at) for up, down, at in sorted(drawn, key=lambda d: d[2]))
    one = track(entries=entries)
    first = estimate_of(one, ns(1000))
    second = estimate_of(one, ns(1000 + later))
    assert first.half_width + first.growth * later + 1e-9 * later**2 >= second.half_width - 1e-8
    assert second.half_width >= first.half_width - 1e-8


def test_an_estimate_knows_its_error_to_the_farther_end() -> None:
    made = replace(estimate(), mid_ns=x_ns(0.0004))
    assert made.error_bound(0) == pytest.approx(0.0014)
