import pytest

from webntpd.ntp.student import NORMAL, t_quantile

TABLE = {3: 12.924, 4: 8.610, 5: 6.869, 7: 5.408, 10: 4.587, 15: 4.073, 30: 3.646, 60: 3.460}
"""Two-sided 99.9 % quantiles by degrees of freedom, as statistical tables print them."""


@pytest.mark.parametrize(("degrees", "expected"), TABLE.items())
def test_it_agrees_with_the_tables(degrees: float, expected: float) -> None:
    assert t_quantile(degrees) == pytest.approx(expected, rel=2e-4)


def test_fractional_degrees_lie_between_whole_ones() -> None:
    assert t_quantile(5) < t_quantile(4.5) < t_quantile(4)


def test_with_many_degrees_it_is_the_normal_distribution() -> None:
    assert t_quantile(1e4) == pytest.approx(NORMAL, rel=1e-3)
    assert t_quantile(1e6) == pytest.approx(NORMAL, rel=1e-4)


def test_below_three_degrees_it_stays_that_of_three() -> None:
    assert t_quantile(0.1) == t_quantile(3)
