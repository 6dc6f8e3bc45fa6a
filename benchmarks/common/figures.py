"""Figures from samples."""

import math
from collections.abc import Sequence


def quantile(values: Sequence[float], fraction: float) -> float:
    """The least value that at least that fraction of the values does not exceed (nearest rank).

    It is one of the values, never between two. Raises ValueError if there are none.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


def median(values: Sequence[float]) -> float:
    """The quantile of one half."""
    return quantile(values, 0.5)
