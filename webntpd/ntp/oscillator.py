"""The frequency of the local oscillator: what a peer knows of it, and what all peers know together.

There is one oscillator, so all lines must agree.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from webntpd.ntp.types import Frequency

MEMORY = 4096.0
"""A peer that was not heard for longer, s, does not count."""
MEDIAN_PEERS = 3
"""From this number on, frequencies far from the median are left out."""
AGREEMENT = 3.0
"""Far is more than so many of a peer's own uncertainties."""
SHOCK = 5e-6
"""A change of the common frequency by more than this, s/s, and by more than its uncertainty, is a
change of the oscillator: a temperature shock."""


YOUNG_SIGMAS = 3.0
"""The uncertainty of a line is about so many standard deviations of its frequency while it has few
points: twice Student's t."""


def blended(prior: Frequency, line: Frequency) -> Frequency:
    """A peer's own frequency: its line's, and the prior's as long as the line is worth less.

    A line through three points on a bad path is uncertain by 1000 ppm, and no oscillator is off by
    so much. Both shares count by the inverse of their variance. The uncertainty is the mean of
    both by the same shares, so that three of it hold if three of either do.
    """
    own, other = (line.uncertainty / YOUNG_SIGMAS) ** 2, prior.uncertainty**2
    share = other / (own + other)
    return Frequency(
        prior.value + share * (line.value - prior.value),
        prior.uncertainty + share * (line.uncertainty - prior.uncertainty),
        line.wander,
    )


def common_frequency(frequencies: Sequence[Frequency]) -> Frequency | None:
    """The weighted mean of the frequencies that peers' lines have, None if there are none.

    With three or more, those that agree with the weighted median count alone. The variance is
    larger when they scatter more than their uncertainties say.
    """
    if not frequencies:
        return None
    kept = frequencies
    if len(frequencies) >= MEDIAN_PEERS:
        centre = weighted_median(frequencies)
        kept = [f for f in frequencies if abs(f.value - centre) <= AGREEMENT * f.uncertainty]
    weights = [1 / each.uncertainty**2 for each in kept]
    total = sum(weights)
    value = sum(weight * each.value for weight, each in zip(weights, kept, strict=True)) / total
    squares = sum(w * (each.value - value) ** 2 for w, each in zip(weights, kept, strict=True))
    scatter = max(1.0, squares / (len(kept) - 1)) if len(kept) > 1 else 1.0
    return Frequency(value, (scatter / total) ** 0.5, max(each.wander for each in kept))


def weighted_median(frequencies: Sequence[Frequency]) -> float:
    """The value that half of the weight, 1/uncertainty, is at or below, s/s."""
    ordered = sorted(frequencies, key=lambda each: each.value)
    reached = list(accumulate(1 / each.uncertainty for each in ordered))
    return ordered[bisect_left(reached, reached[-1] / 2)].value


def is_shock(before: Frequency | None, after: Frequency | None) -> bool:
    """Whether the oscillator changed its frequency between two votes."""
    if before is None or after is None:
        return False
    return abs(after.value - before.value) > max(before.uncertainty, SHOCK)
