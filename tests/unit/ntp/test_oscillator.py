import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.estimates import Frequency
from webntpd.ntp.oscillator import (
    SHOCK,
    blended,
    common_frequency,
    is_refuted,
    is_shock,
    weighted_median,
)

PPM = 1e-6


def f(value: float, uncertainty: float = 1.0, wander: float = 0.0) -> Frequency:
    """A frequency in ppm."""
    return Frequency(value * PPM, uncertainty * PPM, wander)


def test_a_good_line_is_believed_and_a_bad_one_is_not() -> None:
    prior = f(0, 170, 1e-9)
    good, bad = blended(prior, f(50, 0.1, 1e-10)), blended(prior, f(2000, 50_000, 1e-8))
    assert good.value == pytest.approx(50 * PPM, rel=1e-6)
    assert good.uncertainty == pytest.approx(0.1 * PPM, rel=1e-3)
    assert good.wander == 1e-10
    assert abs(bad.value) < 1 * PPM
    assert bad.uncertainty < 200 * PPM


def test_half_way_is_where_the_line_is_three_times_as_uncertain() -> None:
    assert blended(f(0, 10), f(100, 30)).value == pytest.approx(50 * PPM)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 170), st.floats(0.01, 5000))
def test_three_uncertainties_of_the_blend_hold_if_those_of_both_do(
    prior_error: float, line_error: float, prior: float, line: float
) -> None:
    made = blended(f(3 * prior * prior_error, prior), f(3 * line * line_error, line))
    assert abs(made.value) <= 3 * made.uncertainty * (1 + 1e-9)


def test_without_peers_there_is_none() -> None:
    assert common_frequency([]) is None


def test_one_peer_is_believed() -> None:
    assert common_frequency([f(7, 2, 1e-9)]) == f(7, 2, 1e-9)


def test_two_are_averaged_by_the_inverse_of_their_variance() -> None:
    common = common_frequency([f(0, 1), f(1, 2)])
    assert common is not None
    assert common.value == pytest.approx(0.2 * PPM)
    assert common.uncertainty == pytest.approx((4 / 5) ** 0.5 * PPM)


def test_two_that_disagree_are_less_certain() -> None:
    common = common_frequency([f(-10), f(10)])
    assert common is not None
    assert common.uncertainty == pytest.approx(10 * PPM)


def test_of_three_the_one_far_from_the_median_is_left_out() -> None:
    common = common_frequency([f(1), f(1.1), f(50)])
    assert common is not None
    assert common.value == pytest.approx(1.05 * PPM)


def test_the_quietest_line_of_all_does_not_outweigh_the_others() -> None:
    honest = [f(10 + place / 10, 1) for place in range(6)]
    common = common_frequency([*honest, f(60, 0.02)])
    assert common is not None
    assert common.value < 11 * PPM


def test_a_quiet_line_near_the_others_counts_most() -> None:
    common = common_frequency([f(10, 2), f(12, 2), f(10.5, 0.01)])
    assert common is not None
    assert common.value == pytest.approx(10.5 * PPM, rel=1e-3)


def test_a_prior_that_the_line_excludes_is_refuted() -> None:
    assert is_refuted(f(0, 2), f(100, 1))
    assert not is_refuted(f(0, 2), f(8.9, 1))
    assert not is_refuted(f(0, 2), f(100, 40))


def test_an_uncertain_one_cannot_be_far() -> None:
    common = common_frequency([f(1), f(1.1), f(50, 100)])
    assert common is not None
    assert common.value == pytest.approx(1.05 * PPM, rel=0.01)


def test_the_wander_is_the_largest() -> None:
    common = common_frequency([f(1, wander=1e-10), f(1, wander=1e-9)])
    assert common is not None
    assert common.wander == 1e-9


frequencies = st.builds(f, st.floats(-500, 500), st.floats(0.01, 170))


@given(st.lists(frequencies, min_size=1, max_size=9))
def test_it_lies_among_the_peers_and_the_median_splits_their_weight(
    several: list[Frequency],
) -> None:
    common = common_frequency(several)
    assert common is not None
    values = [each.value for each in several]
    assert min(values) - 1e-12 <= common.value <= max(values) + 1e-12
    centre = weighted_median(several).value
    assert centre in values
    heaviest = max(1 / each.uncertainty for each in several)
    total = sum(1 / each.uncertainty for each in several)
    if heaviest <= total - heaviest:
        below = sum(1 / each.uncertainty for each in several if each.value < centre)
        above = sum(1 / each.uncertainty for each in several if each.value > centre)
        assert max(below, above) <= total / 2 + heaviest / 10 + 1e-9 * total


def test_a_shock_is_a_change_beyond_doubt() -> None:
    assert is_shock(f(0, 1), f(6))
    assert is_shock(f(0, 1), f(-6))
    assert not is_shock(f(0, 1), f(SHOCK / PPM))
    assert not is_shock(f(0, 10), f(6))
    assert not is_shock(None, f(6))
    assert not is_shock(f(6), None)
