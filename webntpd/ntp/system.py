"""The system process (RFC 5905 §11): from the peers' reports to one estimate, or to none.

A vote is a pure function of the reports. No majority, no estimate: a wrong time is worse than no
time, and whoever disciplines the clock coasts well without us.

A peer that was not asked yet, or is reachable but has too few samples, has no vote, but counts as
one of those whose majority it takes. So the first of several to be ready, which may be the liar
among them, does not speak for all at the start. A dead peer counts for nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from webntpd.ntp.selection import Candidate, cluster, combine, select
from webntpd.ntp.types import (
    MAXDIST,
    MIN_SAMPLES,
    PHI,
    Estimate,
    Leap,
    NoEstimate,
    PeerReport,
    SystemParameters,
    Tally,
    Verdict,
)

INCUMBENT_BONUS = 0.5
"""The system peer stays so until another has less than this share of its distance: two peers that
are as good as each other would otherwise take turns."""
NO_LEAPS: Mapping[str, Leap] = MappingProxyType({})


def vote(
    reports: Iterable[PeerReport],
    parameters: SystemParameters,
    now_ns: int,
    *,
    leaps: Mapping[str, Leap] = NO_LEAPS,
    incumbent: str | None = None,
) -> Verdict:
    """The outcome of the latest reports of all peers at monotonic `now_ns`.

    `leaps` has the warning that each peer's notice amounts to, by name; `incumbent` is the system
    peer of the vote before.
    """
    reports = tuple(reports)
    candidates = [
        candidate
        for report in reports
        if (candidate := candidate_of(report, parameters, now_ns)) is not None
    ]
    undecided = sum(map(is_undecided, reports))
    tallies = {report.name: Tally.UNFIT for report in reports}
    tallies |= {candidate.name: Tally.FALSETICKER for candidate in candidates}

    intersection = select(candidates, len(candidates) + undecided)
    if intersection is None:
        return Verdict(why_none(candidates, undecided), tallies)
    truechimers = [candidate for candidate in candidates if intersection.meets(candidate)]
    survivors = cluster(truechimers)
    names = tuple(survivor.name for survivor in survivors)
    tallies |= {truechimer.name: Tally.OUTLIER for truechimer in truechimers}
    tallies |= dict.fromkeys(names, Tally.SURVIVOR)
    if len(truechimers) < parameters.minimum_agreeing:
        return Verdict(NoEstimate.TOO_FEW, tallies, names)

    combination = combine(survivors, intersection)
    system_peer = elect([s for s in survivors if s.name in combination.weights], incumbent)
    tallies[system_peer] = Tally.SYSTEM_PEER
    estimate = Estimate(
        offset=combination.offset,
        jitter=combination.jitter,
        root_distance=combination.distance,
        at_ns=now_ns,
        system_peer=system_peer,
        leap=majority_warning([leaps.get(name, Leap.NONE) for name in names]),
    )
    return Verdict(estimate, tallies, names, combination.weights)


def calls_for_publication(verdict: Verdict, report: PeerReport) -> bool:
    """Whether this report brought something new into the verdict's estimate.

    Nothing else may be published: a consumer would take an old measurement for a new one.
    """
    return report.fresh and report.name in verdict.weights


def candidate_of(report: PeerReport, parameters: SystemParameters, now_ns: int) -> Candidate | None:
    """A peer as the selection sees it, or None if it has no vote."""
    estimate = report.estimate
    if estimate is None or report.noselect or not is_fit(report, parameters, now_ns):
        return None
    distance = estimate.root_distance(now_ns, parameters.min_dispersion)
    return Candidate(report.name, estimate.offset, distance, estimate.jitter, report.prefer)


def is_fit(report: PeerReport, parameters: SystemParameters, now_ns: int) -> bool:
    """Whether a peer's estimate is good enough to be used at all (RFC 5905 A.5.5.3)."""
    estimate = report.estimate
    if estimate is None or not report.reach or estimate.stages < MIN_SAMPLES:
        return False
    distance = estimate.root_distance(now_ns, parameters.min_dispersion)
    return distance <= MAXDIST + PHI * 2.0**report.poll


def is_undecided(report: PeerReport) -> bool:
    """Whether a peer may have a vote soon: its first answer is due, or its next few samples."""
    few = report.estimate is None or report.estimate.stages < MIN_SAMPLES
    untried = report.last_reply_ns is None and report.last_failure is None
    return few and (report.reach != 0 or untried) and not report.noselect


def why_none(candidates: Sequence[Candidate], undecided: int) -> NoEstimate:
    """Why the selection found no intersection."""
    if undecided:
        return NoEstimate.WAITING
    return NoEstimate.NO_MAJORITY if candidates else NoEstimate.NO_PEER


def elect(speakers: Sequence[Candidate], incumbent: str | None) -> str:
    """The name of the system peer: the one of least root distance, with a bonus for staying."""

    def standing(candidate: Candidate) -> float:
        bonus = INCUMBENT_BONUS if candidate.name == incumbent else 1.0
        return candidate.distance * bonus

    return min(speakers, key=standing).name


def majority_warning(warnings: Sequence[Leap]) -> Leap:
    """The leap warning that more than half of the survivors give, else none."""
    for warning in (Leap.INSERT, Leap.DELETE):
        if 2 * warnings.count(warning) > len(warnings):
            return warning
    return Leap.NONE
