"""benchmarks.common.figures"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common.figures import median, quantile

VALUES = st.lists(st.floats(allow_nan=False), min_size=1)


def test_quantiles_are_by_nearest_rank() -> None:
    hundred = list(range(100, 0, -1))
    assert quantile(hundred, 0.99) == 99
    assert quantile(hundred, 0.5) == median(hundred) == 50
    assert quantile(hundred, 0.0) == 1
    assert quantile(hundred, 1.0) == 100


def test_nothing_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_the_least_value_that_enough_values_do_not_exceed(
    values: list[float], fraction: float
) -> None:
    found = quantile(values, fraction)
    assert found in values
    assert sum(value <= found for value in values) >= fraction * len(values) * (1 - 1e-12)
    assert found == min(values) or sum(value < found for value in values) < fraction * len(values)
