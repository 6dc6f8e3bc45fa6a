"""Which peers to believe, and what they say together (RFC 5905 §11.2.1 to §11.2.3).

Each candidate claims that the truth lies in its correctness interval, offset plus or minus root
distance. What a majority of the intervals cover is the only place where the truth can be, as long
as the majority does not lie. From there on three pure steps: select() finds that place and whom
it rules out, cluster() drops the outliers of the rest, combine() averages the survivors.

Deviations from the RFC, which buy what can be proved and is tested:

- The RFC takes the smallest number f of falsetickers that gives an intersection with no more than
  f midpoints outside. A liar whose interval cuts into the honest ones can then shrink the
  intersection until the truth is outside. Here f is always the most that leaves a majority,
  which is where the RFC's own loop ends: whatever a minority does, the truth stays inside, and
  the ends stay inside honest intervals.
- Midpoints are not counted. Two honest peers, one near and one far, have the far one's midpoint
  outside the near one's interval as a rule, and the RFC would then have no majority; ntpd and
  chrony dropped the rule too. Instead a survivor whose offset is outside the intersection counts
  with the nearest point that is inside: its offset is known to be wrong, the point is not.
- Intervals that merely touch agree, so that f < m/2 decides alone and not the last bit of a float.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

NMIN = 3
"""The cluster algorithm keeps at least this many survivors (RFC 5905 §11.2.2)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fit peer: offset, root distance (positive) and jitter, s."""

    name: str
    offset: float
    distance: float
    jitter: float
    prefer: bool = False

    @property
    def low(self) -> float:
        return self.offset - self.distance

    @property
    def high(self) -> float:
        return self.offset + self.distance


@dataclass(frozen=True, slots=True)
class Intersection:
    """From the lowest to the highest offset that a majority of the intervals cover, s."""

    low: float
    high: float

    def meets(self, candidate: Candidate) -> bool:
        """Whether a candidate's interval has a point in common with it."""
        return candidate.low <= self.high and candidate.high >= self.low

    def nearest(self, offset: float) -> float:
        """The point of the intersection that is nearest to an offset."""
        return min(max(offset, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Combination:
    """What the survivors say together, s; `distance` bounds the error of `offset`.

    `weights` are the shares, by name, of those who speak; they sum to 1.
    """

    offset: float
    jitter: float
    distance: float
    weights: Mapping[str, float]


def select(candidates: Iterable[Candidate], electorate: int) -> Intersection | None:
    """The intersection of RFC 5905 §11.2.1, or None if no majority of the electorate agrees.

    The electorate is the number of peers that a majority is a majority of: the candidates and
    those who have no opinion yet. Candidates that the intersection does not meet are falsetickers.
    """
    quorum = electorate // 2 + 1
    candidates = tuple(candidates)
    lows = sorted(candidate.low for candidate in candidates)
    highs = sorted(candidate.high for candidate in candidates)

    def is_covered(point: float) -> bool:
        return bisect_right(lows, point) - bisect_left(highs, point) >= quorum

    low = next(filter(is_covered, lows), None)
    high = next(filter(is_covered, reversed(highs)), None)
    return None if low is None or high is None else Intersection(low, high)


def cluster(truechimers: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The survivors of RFC 5905 §11.2.2, by increasing root distance.

    The worst is dropped as long as its distance to the others, the selection jitter, is more than
    the jitter of the best: only then does dropping it make the outcome better. A preferred peer
    is never dropped; as in ntpd the algorithm ends where it would be.
    """
    survivors = sorted(truechimers, key=lambda candidate: (candidate.distance, candidate.name))
    while len(survivors) > NMIN:
        jitters = selection_jitters(survivors)
        worst = max(survivors, key=lambda candidate: jitters[candidate.name] * candidate.distance)
        least = min(candidate.jitter for candidate in survivors)
        if jitters[worst.name] <= least or worst.prefer:
            break
        survivors.remove(worst)
    return tuple(survivors)


def selection_jitters(candidates: Sequence[Candidate]) -> dict[str, float]:
    """By name, the RMS of the differences of each of two or more candidates to the others, s.

    By way of the mean: the sum of (x_j - x_k)^2 over k is n (x_j - mean)^2 plus the sum of
    (x_k - mean)^2, which spares the squares of the squares.
    """
    count = len(candidates)
    mean = sum(candidate.offset for candidate in candidates) / count
    squares = {candidate.name: (candidate.offset - mean) ** 2 for candidate in candidates}
    total = sum(squares.values())
    return {name: sqrt((count * square + total) / (count - 1)) for name, square in squares.items()}


def combine(survivors: Sequence[Candidate], intersection: Intersection) -> Combination:
    """The average of one or more survivors, weighted by 1/distance (RFC 5905 §11.2.3).

    Preferred survivors speak for all, as in ntpd. The distance reaches to the farther end of the
    intersection: the truth is not beyond. It is never less than the jitter, for intervals that
    barely touch make an intersection of almost nothing.
    """
    speakers = [candidate for candidate in survivors if candidate.prefer] or survivors
    total = sum(1 / speaker.distance for speaker in speakers)
    weights = {speaker.name: 1 / speaker.distance / total for speaker in speakers}

    offset = sum(weights[s.name] * intersection.nearest(s.offset) for s in speakers)
    jitter = sqrt(sum(weights[s.name] * (s.jitter**2 + (s.offset - offset) ** 2) for s in speakers))
    distance = max(offset - intersection.low, intersection.high - offset, jitter)
    return Combination(offset, jitter, distance, weights)
