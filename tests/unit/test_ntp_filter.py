from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import ns, reading
from webntpd.ntp.filter import (
    DRIFT,
    STAGES,
    ClockFilter,
    Filtered,
    Outcome,
    best_of,
    distance,
    estimate_of,
    evaluate,
)
from webntpd.ntp.types import PHI, PeerParameters, Reading

POLL = 6


class Driver:
    """A filter to which samples come one second apart, unless told otherwise."""

    def __init__(self) -> None:
        self.filter = ClockFilter()
        self.now = 0.0

    def insert(self, offset: float = 0.0, delay: float = 0.001, after: float = 1.0) -> Outcome:
        self.now += after
        return self.filter.insert(reading(self.now, offset, delay), ns(self.now), POLL)

    def settle(self, jitter: float = 1e-4) -> None:
        """Fill the register with samples that swing by `jitter` around 0, the best one at 0."""
        for place in range(STAGES - 1):
            self.insert((-1) ** place * jitter, delay=0.003)
        self.insert(0.0)

    @property
    def current(self) -> Filtered:
        assert self.filter.current is not None
        return self.filter.current

    @property
    def offset(self) -> float:
        return self.current.best.offset


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_an_empty_filter_holds_nothing_to_be_true() -> None:
    assert ClockFilter().current is None


def test_a_single_sample_is_the_best_and_its_jitter_is_its_precision(driver: Driver) -> None:
    assert driver.insert(0.5, 0.02) is Outcome.FRESH
    assert driver.offset == pytest.approx(0.5)
    assert driver.current.jitter == driver.current.best.precision
    assert driver.current.dispersion == pytest.approx(driver.current.best.dispersion)
    assert driver.current.stages == 1


def test_the_sample_of_least_delay_is_the_best(driver: Driver) -> None:
    driver.insert(0.1, 0.030)
    driver.insert(0.2, 0.010)
    assert driver.insert(0.3, 0.020) is Outcome.STALE
    assert driver.offset == pytest.approx(0.2)


def test_a_sample_is_used_once_only(driver: Driver) -> None:
    assert driver.insert(delay=0.01) is Outcome.FRESH
    assert [driver.insert(delay=0.02) for _ in range(7)] == [Outcome.STALE] * 7


def test_the_ninth_sample_pushes_the_first_out_and_the_next_best_takes_its_place(
    driver: Driver,
) -> None:
    driver.insert(0.0, 0.01)
    for place in range(7):
        driver.insert(place * 1e-6, 0.02 if place == 3 else 0.03)
    assert driver.insert(0.0, 0.04) is Outcome.FRESH
    assert driver.offset == pytest.approx(3e-6)
    assert driver.current.stages == STAGES


def test_age_outweighs_delay_in_the_end(driver: Driver) -> None:
    driver.insert(delay=0.010)
    gain = 0.002 / 2 / DRIFT
    assert driver.insert(delay=0.012, after=gain * 0.99) is Outcome.STALE
    assert driver.insert(delay=0.012, after=gain * 0.02) is Outcome.FRESH


def test_the_order_can_be_chosen() -> None:
    chosen = ClockFilter(key=lambda sample, _now_ns: sample.delay)
    chosen.insert(reading(0, 0.1, 0.010), 0, POLL)
    assert chosen.insert(reading(1e6, 0.2, 0.011), ns(1e6), POLL) is Outcome.STALE


def test_of_samples_taken_together_the_one_of_least_distance_is_believed() -> None:
    early, late, slow = reading(0, delay=0.01), reading(2, delay=0.01), reading(4, delay=0.02)
    assert best_of([early, late, slow], ns(6)) is late
    assert best_of([slow, early], ns(6), key=lambda sample, _: -sample.delay) is slow


def test_the_dispersion_weighs_each_place_half_as_much_as_the_one_before() -> None:
    samples = [reading(0, delay=d, precision=p) for d, p in [(0.02, 2.0), (0.04, 4.0)]]
    near, far = (sample.dispersion for sample in samples)
    assert evaluate(samples, 0).dispersion == pytest.approx((2 * near + far) / 3)


def test_the_dispersion_of_older_samples_has_grown_until_the_best_one() -> None:
    old, best = reading(0, delay=0.5), reading(1000, delay=0.1)
    expected = (2 * best.dispersion + old.dispersion + PHI * 1000) / 3
    assert evaluate([old, best], ns(2000)).dispersion == pytest.approx(expected)


def test_the_dispersion_of_newer_samples_is_their_own() -> None:
    best, newer = reading(0, delay=0.1), reading(10, delay=0.5)
    expected = (2 * best.dispersion + newer.dispersion) / 3
    assert evaluate([best, newer], ns(10)).dispersion == pytest.approx(expected)


def test_the_jitter_is_the_rms_of_the_differences_to_the_best() -> None:
    samples = [reading(0, o, d) for o, d in [(1.0, 0.1), (1.003, 0.2), (0.996, 0.3)]]
    assert evaluate(samples, 0).jitter == pytest.approx(sqrt((0.003**2 + 0.004**2) / 2))


def test_a_spike_is_dropped_and_leaves_no_trace(driver: Driver) -> None:
    driver.settle()
    before = driver.current
    assert driver.insert(0.1, delay=0.0001) is Outcome.POPCORN
    assert driver.current.best is before.best
    assert driver.current.stages == STAGES - 1
    assert driver.current.jitter < 2e-4


def test_a_change_of_three_jitters_is_no_spike(driver: Driver) -> None:
    driver.settle()
    assert driver.insert(2.99 * driver.current.jitter, delay=0.0001) is Outcome.FRESH


def test_a_spike_of_long_delay_is_not_the_best_and_so_is_no_matter(driver: Driver) -> None:
    driver.settle()
    assert driver.insert(0.1, delay=0.2) is Outcome.STALE
    assert driver.offset == 0.0


def test_a_genuine_step_loses_one_sample_only(driver: Driver) -> None:
    driver.settle()
    assert driver.insert(0.1, delay=0.0001) is Outcome.POPCORN
    assert driver.insert(0.1, delay=0.0001) is Outcome.FRESH
    assert driver.offset == pytest.approx(0.1)


def test_the_next_spike_is_found_once_the_filter_has_settled_again(driver: Driver) -> None:
    driver.settle()
    assert driver.insert(0.1, delay=0.0001) is Outcome.POPCORN
    assert driver.insert(0.0, delay=0.0001) is Outcome.FRESH
    assert driver.insert(0.1, delay=0.00001) is Outcome.POPCORN


def test_with_fewer_than_four_samples_nothing_is_a_spike(driver: Driver) -> None:
    for place in range(4):
        assert driver.insert(place, delay=0.01 - place * 0.001) is Outcome.FRESH
    assert driver.insert(1000.0, delay=0.001) is Outcome.POPCORN


def test_after_two_poll_intervals_the_clock_may_have_moved_that_far(driver: Driver) -> None:
    driver.settle()
    assert driver.insert(0.1, delay=0.0001, after=2 * 2.0**POLL) is Outcome.FRESH


def test_a_miss_pushes_a_sample_out(driver: Driver) -> None:
    driver.settle()
    driver.filter.miss(ns(driver.now))
    assert driver.current.stages == STAGES - 1
    assert driver.offset == 0.0


def test_eight_misses_leave_nothing(driver: Driver) -> None:
    driver.settle()
    for _ in range(STAGES):
        driver.filter.miss(ns(driver.now))
    assert driver.filter.current is None
    assert driver.insert(5.0) is Outcome.FRESH


def test_a_flush_forgets_samples_and_spikes(driver: Driver) -> None:
    driver.settle()
    driver.insert(0.1, delay=0.0001)
    driver.filter.flush()
    assert driver.filter.current is None
    driver.settle()
    assert driver.insert(0.1, delay=0.0001) is Outcome.POPCORN


@given(st.lists(st.tuples(st.floats(0.001, 2000), st.floats(-1, 1), st.floats(0, 1))))
def test_whatever_comes_the_best_is_the_least_of_the_register_and_uses_only_go_forward(
    arrivals: list[tuple[float, float, float]],
) -> None:
    driver = Driver()
    offered: list[Reading] = []
    used_ns = -1
    spiked = False
    for after, offset, delay in arrivals:
        outcome = driver.insert(offset, delay, after)
        offered.append(reading(driver.now, offset, delay))
        current, now_ns = driver.current, ns(driver.now)

        assert current.jitter >= current.best.precision
        if outcome is Outcome.POPCORN:
            offered.pop()
        assert current.best in offered[-STAGES:]
        assert current.stages <= len(offered)
        newest = distance(offered[-1], now_ns)
        assert distance(current.best, now_ns) <= newest
        if outcome is Outcome.FRESH:
            assert current.best.at_ns > used_ns
            used_ns = current.best.at_ns
            spiked = False
        elif outcome is Outcome.STALE:
            assert current.best.at_ns <= used_ns
        else:
            assert not spiked
            spiked = True


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=2, max_size=STAGES))
def test_no_sample_is_as_far_as_three_jitters_from_the_best_it_is_counted_with(
    samples: list[tuple[float, float]],
) -> None:
    # This is why a spike is compared with the jitter before it, and the poll's gate likewise.
    result = evaluate([reading(0, *sample) for sample in samples], 0)
    bound = sqrt(len(samples) - 1) * result.jitter
    for offset, _ in samples:
        assert abs(offset - result.best.offset) <= bound * (1 + 1e-6) + 2e-9


# The estimate


def test_an_estimate_takes_the_servers_word_for_its_error_before_the_configured_one() -> None:
    parameters = PeerParameters("peer", root_delay=0.01, root_dispersion=0.002)
    told = reading(1.0, 0.5, 0.1, max_error=0.25)
    untold = reading(1.0, 0.5, 0.1)
    for sample, expected in ((told, 0.25), (untold, 0.002)):
        estimate = estimate_of(evaluate([sample], sample.at_ns), parameters, None)
        assert estimate.root_dispersion == expected
        assert estimate.root_delay == 0.01
        assert estimate.offset == pytest.approx(0.5)
        assert estimate.stages == 1
