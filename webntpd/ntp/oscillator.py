"""The frequency of the local oscillator, as one peer knows it and as all peers know it together.

There is one oscillator, so all lines must agree.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from webntpd.ntp.estimates import Frequency

MEMORY = 4096.0
"""A peer counts for this time after its last answer, s."""
MEDIAN_PEERS = 3
"""From this number on, frequencies far from the median are left out."""
AGREEMENT = 3.0
"""Frequencies agree within so many uncertainties of the less certain one."""
MAX_SHARE = 0.9
"""In the median one peer weighs at most this share of all others together: a liar's line may be the
quietest of all."""
SHOCK = 5e-6
"""A change of the common frequency by more than this, s/s, and by more than its uncertainty, is a
change of the oscillator: a temperature shock."""
LINE_SIGMAS = 3.0
"""The uncertainty of a line through few points is about so many standard deviations of its slope:
twice the factor for Student's t in line.py."""


def blended(prior: Frequency, line: Frequency) -> Frequency:
    """A peer's own frequency: the mean of prior and line, weighted by 1/variance.

    A line through three points on a bad path is uncertain by 1000 ppm, and no oscillator is off by
    so much. The uncertainty is the mean of both by the same shares: three times it is a bound if
    three times each of the two is one.
    """
    own, other = (line.uncertainty / LINE_SIGMAS) ** 2, prior.uncertainty**2
    share = other / (own + other)
    return Frequency(
        prior.value + share * (line.value - prior.value),
        prior.uncertainty + share * (line.uncertainty - prior.uncertainty),
        line.wander,
    )


def is_refuted(prior: Frequency, line: Frequency) -> bool:
    """Whether a line excludes the prior, which may belong to another oscillator or be outdated."""
    apart = abs(line.value - prior.value)
    return apart > AGREEMENT * (line.uncertainty + prior.uncertainty)


def common_frequency(frequencies: Sequence[Frequency]) -> Frequency | None:
    """The mean of peers' frequencies, weighted by 1/uncertainty^2; None of none.

    With MEDIAN_PEERS or more, only those count that agree with the weighted median. The uncertainty
    grows where they scatter by more than their own uncertainties explain.
    """
    if not frequencies:
        return None
    kept = frequencies
    if len(frequencies) >= MEDIAN_PEERS:
        centre = weighted_median(frequencies)
        kept = [each for each in frequencies if agree(each, centre)]
    weights = [1 / each.uncertainty**2 for each in kept]
    total = sum(weights)
    value = sum(weight * each.value for weight, each in zip(weights, kept, strict=True)) / total
    squares = sum(w * (each.value - value) ** 2 for w, each in zip(weights, kept, strict=True))
    scatter = max(1.0, squares / (len(kept) - 1)) if len(kept) > 1 else 1.0
    return Frequency(value, (scatter / total) ** 0.5, max(each.wander for each in kept))


def agree(one: Frequency, other: Frequency) -> bool:
    """Whether two frequencies may be of the same oscillator."""
    return abs(one.value - other.value) <= AGREEMENT * max(one.uncertainty, other.uncertainty)


def weighted_median(frequencies: Sequence[Frequency]) -> Frequency:
    """The least frequency with half of the weight at or below it; the weight is 1/uncertainty."""
    ordered = sorted(frequencies, key=lambda each: each.value)
    weights = [1 / each.uncertainty for each in ordered]
    heaviest = max(weights)
    capped = min(heaviest, MAX_SHARE * (sum(weights) - heaviest))
    weights[weights.index(heaviest)] = capped if len(weights) > 1 else heaviest
    reached = list(accumulate(weights))
    return ordered[bisect_left(reached, reached[-1] / 2)]


def is_shock(before: Frequency | None, after: Frequency | None) -> bool:
    """Whether the oscillator changed its frequency between two votes."""
    if before is None or after is None:
        return False
    return abs(after.value - before.value) > max(before.uncertainty, SHOCK)
