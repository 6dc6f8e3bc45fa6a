"""Quantiles of Student's t distribution, for a variance that few points gave."""

from math import exp, pi, sqrt
from statistics import NormalDist

TAIL = 0.001
"""The two-sided 99.9 % quantile leaves this share outside."""
NORMAL = -NormalDist().inv_cdf(TAIL / 2)
"""The same quantile of the normal distribution, 3.29."""
LEAST_DEGREES = 3.0


def t_quantile(degrees: float) -> float:
    """The two-sided 99.9 % quantile for at least LEAST_DEGREES degrees of freedom, whole or not.

    G. W. Hill, Algorithm 396: Student's t-quantiles, Communications of the ACM 13 (1970). Its
    error against tables is below 0.1 % from three degrees on. One of its corrections is left out:
    it is for larger tails with fewer than five degrees.
    """
    n = max(degrees, LEAST_DEGREES)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * pi / 2) * n
    y: float = (d * TAIL) ** (2 / n)
    if y > 0.05 + a:
        x = -NORMAL
        y = x * x
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = a * y * y
        y = exp(y) - 1 if y > 0.002 else 0.5 * y * y + y
    else:
        y = (
            (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
        ) * (n + 1) / (n + 2) + 1 / y
    return sqrt(n * y)
