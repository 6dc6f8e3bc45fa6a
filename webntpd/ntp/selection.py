"""Selects the peers to believe, and combines them (RFC 5905 §11.2.1 and §11.2.3).

Each candidate claims that the truth lies in its correctness interval, and guesses where. As long as
a majority does not lie, the truth can only be where a majority of the intervals overlap. Three pure
steps: select() finds that place, gate() silences candidates whose guess is far from the others',
combine() averages the rest.

Deviations from the RFC, which buy what can be proved and is tested:

- The RFC takes the smallest number f of falsetickers that gives an intersection with no more than
  f midpoints outside. A liar whose interval cuts into the honest ones can then shrink the
  intersection until the truth is outside. Here f is always the most that leaves a majority,
  where the RFC's own loop ends: then no minority can put the truth outside.
- An undecided peer counts in the electorate but has no interval. It may be honest, and all liars
  that the electorate may have may be among the candidates: the ends allow for as many.
- Midpoints are not counted. Two honest peers, one near and one far, have the far one's midpoint
  outside the near one's interval as a rule, and the RFC would then have no majority; ntpd and
  chrony dropped the rule too. A guess outside the intersection counts with the nearest point
  inside: the guess is known to be wrong, the point is not.
- Intervals that merely touch agree, so that f < m/2 decides alone and not the last bit of a float.
- The gate takes the place of the cluster algorithm (§11.2.2): a liar within the bounds moves the
  outcome 16 to 40 times less, and honest peers lose nothing. It follows the path of the majority:
  when most peers share an asymmetry, the answer is theirs, though inside the bound.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

GATE_PEERS = 3
"""Fewest truechimers for the gate: fewer have no majority of guesses."""
GATE = 4.0
"""The gate, in median deviations from the median of the guesses."""
MAX_WEIGHT = 0.5
"""Largest weight of one peer among GATE_PEERS or more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fit peer: its guess, the ends of its interval, its jitter and its distance, s.

    The guess and the ends are relative to a base that the candidates share. The distance is the
    scale of the guess's error.
    """

    name: str
    mid: float
    low: float
    high: float
    jitter: float
    distance: float
    prefer: bool = False


@dataclass(frozen=True, slots=True)
class Intersection:
    """The range of points where the truth can be, s."""

    low: float
    high: float

    def meets(self, candidate: Candidate) -> bool:
        """Whether a candidate's interval has a point in common with it."""
        return candidate.low <= self.high and candidate.high >= self.low

    def nearest(self, guess: float) -> float:
        """The point of the intersection that is nearest to a guess."""
        return min(max(guess, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Combination:
    """The average of the speakers, s; `error` bounds the error of `mid`.

    `weights` are the speakers' shares, by name; they sum to 1.
    """

    mid: float
    jitter: float
    error: float
    weights: Mapping[str, float]


def select(candidates: Sequence[Candidate], electorate: int) -> Intersection | None:
    """The intersection of RFC 5905 §11.2.1, or None if no majority of the electorate agrees.

    The electorate is the number of candidates and undecided peers together. Candidates that the
    intersection does not meet are falsetickers.
    """
    quorum = electorate // 2 + 1
    liars = electorate - quorum
    lows = sorted(candidate.low for candidate in candidates)
    highs = sorted(candidate.high for candidate in candidates)

    def coverage(point: float) -> int:
        return bisect_right(lows, point) - bisect_left(highs, point)

    if not any(coverage(point) >= quorum for point in lows):
        return None
    # The truth is covered by all candidates but the liars; one of them at least is not a liar.
    covered = len(candidates) - liars
    low = next(point for point in lows if coverage(point) >= covered)
    high = next(point for point in reversed(highs) if coverage(point) >= covered)
    return Intersection(low, high)


def gate(truechimers: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The peers that may speak: their guesses are near the median of all.

    The measure is the median deviation, but not less than half of the median jitter: peers on one
    quiet network agree by chance better than they can know. A preferred peer always may speak.
    """
    if len(truechimers) < GATE_PEERS:
        return tuple(truechimers)
    centre = median(each.mid for each in truechimers)
    deviation = median(abs(each.mid - centre) for each in truechimers)
    jitter = median(each.jitter for each in truechimers)
    reach = GATE * max(deviation, jitter / 2)
    return tuple(each for each in truechimers if each.prefer or abs(each.mid - centre) <= reach)


def combine(speakers: Sequence[Candidate], intersection: Intersection) -> Combination:
    """The average of one or more speakers, weighted by 1/distance^2 (RFC 5905 §11.2.3: 1/distance).

    A distance is the scale of a guess's error, and inverse squares average such errors best: a peer
    ten times as far away moves the outcome by a hundredth of its error, not by a tenth.

    Preferred peers speak for all, as in ntpd. The error reaches to the farther end of the
    intersection: the truth is not beyond. It is never less than the jitter, for intervals that
    barely touch make an intersection of almost nothing.
    """
    speakers = [each for each in speakers if each.prefer] or speakers
    weights = weights_of(speakers)
    mid = sum(weights[each.name] * intersection.nearest(each.mid) for each in speakers)
    jitter = sqrt(sum(weights[s.name] * (s.jitter**2 + (s.mid - mid) ** 2) for s in speakers))
    error = max(mid - intersection.low, intersection.high - mid, jitter)
    return Combination(mid, jitter, error, weights)


def weights_of(speakers: Sequence[Candidate]) -> dict[str, float]:
    """The speakers' shares by name: of GATE_PEERS or more, none has more than MAX_WEIGHT."""
    total = sum(each.distance**-2 for each in speakers)
    weights = {each.name: each.distance**-2 / total for each in speakers}
    heaviest = max(weights, key=lambda name: weights[name])
    if len(speakers) >= GATE_PEERS and weights[heaviest] > MAX_WEIGHT:
        others = sum(share for name, share in weights.items() if name != heaviest)
        weights = {name: share * (1 - MAX_WEIGHT) / others for name, share in weights.items()}
        weights[heaviest] = MAX_WEIGHT
    return weights
