"""One vote: from the candidates to their agreement, and from there to one estimate.

selection.py has the steps of RFC 5905 §11.2, and this module puts them together. The system process
votes on the reports of its peers; `webntpd query` votes on a few samples of each server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from webntpd.ntp.estimates import Estimate, Frequency, PeerEstimate
from webntpd.ntp.readings import NS_PER_S, Leap
from webntpd.ntp.selection import Candidate, Combination, combine, gate, select

JITTER_SHARE = 3.0
"""A peer's distance contains its jitter this many times."""
INCUMBENT_BONUS = 0.5
"""The system peer stays until another has less than this share of its distance. Otherwise two
equally good peers would take turns."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The candidates whose interval meets the intersection, and the average of the speakers."""

    truechimers: tuple[Candidate, ...]
    combination: Combination

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the truechimers, in the order of the candidates."""
        return tuple(each.name for each in self.truechimers)


def candidate(
    name: str, estimate: PeerEstimate, base_ns: int, *, aged: float = 0.0, prefer: bool = False
) -> Candidate:
    """A peer's estimate as the selection sees it: in seconds, relative to X = `base_ns`.

    `aged` is added to the distance, s: the error of a guess grows while its peer is silent.
    """
    return Candidate(
        name,
        mid=(estimate.mid_ns - base_ns) / NS_PER_S,
        low=(estimate.low_ns - base_ns) / NS_PER_S,
        high=(estimate.high_ns - base_ns) / NS_PER_S,
        jitter=estimate.jitter,
        distance=estimate.spread + aged + JITTER_SHARE * estimate.jitter,
        prefer=prefer,
    )


def agree(candidates: Sequence[Candidate], electorate: int) -> Agreement | None:
    """The agreement of a majority of the electorate, None without a majority.

    The electorate is the number of candidates and of undecided peers together.
    """
    intersection = select(candidates, electorate)
    if intersection is None:
        return None
    truechimers = tuple(each for each in candidates if intersection.meets(each))
    return Agreement(truechimers, combine(gate(truechimers), intersection))


def conclude(
    agreement: Agreement,
    estimates: Mapping[str, PeerEstimate],
    base_ns: int,
    at_ns: int,
    *,
    leaps: Mapping[str, Leap],
    common: Frequency | None = None,
    incumbent: str | None = None,
) -> Estimate:
    """The system's estimate at RAW `at_ns`.

    `estimates` has each truechimer's, by name; the candidates were relative to X = `base_ns`.
    `leaps` has the warning of each peer that can know of leap seconds. X moves by the `common`
    frequency, or else by the system peer's. `incumbent` is the system peer of the last vote.
    """
    combination = agreement.combination
    speakers = [each for each in agreement.truechimers if each.name in combination.weights]
    system_peer = elect(speakers, incumbent)
    moving = common or estimates[system_peer].frequency
    wander = max(estimates[name].frequency.wander for name in agreement.names)
    return Estimate(
        at_ns=at_ns,
        x_ns=base_ns + round(combination.mid * NS_PER_S),
        error=combination.error,
        growth=max(growth_beside(estimates[name], moving) for name in agreement.names),
        jitter=combination.jitter,
        frequency=replace(moving, wander=wander),
        system_peer=system_peer,
        leap=majority_warning([leaps[name] for name in agreement.names if name in leaps]),
    )


def elect(speakers: Sequence[Candidate], incumbent: str | None) -> str:
    """The name of the system peer: the speaker of least distance, with a bonus for staying."""

    def standing(speaker: Candidate) -> float:
        bonus = INCUMBENT_BONUS if speaker.name == incumbent else 1.0
        return speaker.distance * bonus

    return min(speakers, key=standing).name


def growth_beside(estimate: PeerEstimate, moving: Frequency) -> float:
    """How fast a peer's bounds leave a guess that moves by the frequency `moving`, s/s."""
    return estimate.growth + abs(moving.value - estimate.frequency.value)


def majority_warning(warnings: Sequence[Leap]) -> Leap:
    """The leap warning that more than half of the peers give, else none."""
    for warning in (Leap.INSERT, Leap.DELETE):
        if 2 * warnings.count(warning) > len(warnings):
            return warning
    return Leap.NONE
