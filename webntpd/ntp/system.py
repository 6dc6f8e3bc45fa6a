"""The system process (RFC 5905 §11): from the peers' reports to one estimate, or to none.

A vote depends on the last report of each peer and on the frequency that the peers have together.
Only peers that agreed in the vote before count for that frequency. No majority, no estimate: a
wrong time is worse than no time, and every consumer coasts well without us.

A peer that was not asked yet, or has too few samples for a moment, has no vote but counts in the
electorate. So the first of several peers to be ready, which may be the liar among them, does not
speak for all at the start. A dead peer does not count.

A newcomer is a peer that is added while there is an estimate. It counts only once it is fit; until
then the others vote as if it were absent. That holds only while the peers that agreed before are
still the majority of those that counted; if not, newcomers count as at the start.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.bounds import estimate_of, guess_rate
from webntpd.ntp.estimates import (
    Estimate,
    Frequency,
    NoEstimate,
    PeerEstimate,
    Tally,
    Verdict,
    seconds_between,
)
from webntpd.ntp.oscillator import MEMORY, common_frequency, is_shock
from webntpd.ntp.parameters import MAXDIST, MIN_EXCHANGES, SystemParameters
from webntpd.ntp.readings import Leap
from webntpd.ntp.selection import Candidate
from webntpd.ntp.vote import agree, candidate, conclude

UNDECIDED_TIME = 30.0
"""A peer counts as undecided until so long after its first answer, or after its start while it has
not answered, s. Without an end one flaky peer would silence a healthy one for up to 27 minutes."""
STALE_TIME = 2100.0
STALE_POLLS = 8
"""A peer that was not heard for longer than both of these, s and polls, has no vote."""
AGREED = {Tally.OUTLIER, Tally.SURVIVOR, Tally.SYSTEM_PEER}
"""The tallies of the peers whose interval meets the intersection."""
NO_LEAPS: Mapping[str, Leap] = MappingProxyType({})


class System:
    """Holds each peer's last report, and makes an estimate of them all."""

    def __init__(self, parameters: SystemParameters, names: Iterable[str] = ()) -> None:
        self._parameters = parameters
        self._reports: dict[str, PeerReport] = {}
        self._horizons: dict[str, int] = {}
        self._common: Frequency | None = None
        self._agreeing: frozenset[str] = frozenset()  # peers that agreed in the last vote
        self._electorate = 0  # peers that counted in the last vote; 0 if it gave no estimate
        self._newcomers: frozenset[str] = frozenset()  # peers that do not count while undecided
        self._incumbent: str | None = None
        self._names: tuple[str, ...] = tuple(names)

    @property
    def reports(self) -> tuple[PeerReport, ...]:
        """The last report of each peer that has made one, in the order of configuration."""
        return tuple(self._reports[name] for name in self._names if name in self._reports)

    def configure(self, parameters: SystemParameters, names: Iterable[str]) -> None:
        """Take new parameters, and the names of the peers that there are from now on."""
        before, self._names = self._names, tuple(names)
        staying = self._agreeing.intersection(self._names)
        if 0 < self._electorate < 2 * len(staying):
            self._newcomers |= frozenset(self._names).difference(before)
        else:
            self._newcomers = frozenset()
        self._parameters = parameters
        self._reports = {name: each for name, each in self._reports.items() if name in self._names}
        self._horizons = {n: each for n, each in self._horizons.items() if n in self._names}

    def forget(self) -> None:
        """Drop all reports after a suspend: X has a new value, and the peers begin anew."""
        self._reports.clear()
        self._horizons.clear()
        self._electorate, self._newcomers = 0, frozenset()

    def on_report(self, report: PeerReport) -> None:
        """Take a peer's report in place of its last one. Reports of unknown peers are ignored."""
        if report.name in self._names:
            self._reports[report.name] = report

    def vote(
        self,
        now_ns: int,
        *,
        leaps: Mapping[str, Leap] = NO_LEAPS,
        barred: frozenset[str] = frozenset(),
    ) -> Verdict:
        """The outcome of the latest reports of all peers at RAW `now_ns`.

        `leaps` has the warning of each peer that can know of leap seconds, by name. The peers named
        in `barred` have an estimate, but no vote.
        """
        self._update_frequency(now_ns)
        estimates = self._estimates(now_ns)
        ballot = [report for report in self.reports if report.name not in barred]
        verdict = self._verdict(ballot, estimates, leaps, now_ns)
        if not isinstance(verdict.estimate, Estimate):
            self._electorate, self._newcomers = 0, frozenset()
        self._agreeing = frozenset(n for n, each in verdict.tallies.items() if each in AGREED)
        if isinstance(verdict.estimate, Estimate):
            self._incumbent = verdict.estimate.system_peer
        return verdict

    def _update_frequency(self, now_ns: int) -> None:
        before, self._common = self._common, common_frequency(self._frequencies(now_ns))
        if is_shock(before, self._common):
            # Bounds from before the present lines would be carried by the wrong frequency.
            for report in self.reports:
                if report.track and report.track.line_start_ns is not None:
                    self._horizons[report.name] = report.track.line_start_ns

    def _frequencies(self, now_ns: int) -> list[Frequency]:
        """The frequency of each peer that has a line, agreed in the last vote and is not silent."""
        return [
            report.track.frequency
            for report in self.reports
            if report.name in self._agreeing
            and report.track
            and report.track.sigma is not None
            and seconds_between(report.track.last_reply_ns, now_ns) <= MEMORY
        ]

    def _estimates(self, now_ns: int) -> dict[str, PeerEstimate]:
        return {
            report.name: estimate_of(
                report.track,
                now_ns,
                self._common,
                horizon_ns=self._horizons.get(report.name),
                slew=self._parameters.slew,
            )
            for report in self.reports
            if report.track
        }

    def _verdict(
        self,
        ballot: Sequence[PeerReport],
        estimates: Mapping[str, PeerEstimate],
        leaps: Mapping[str, Leap],
        now_ns: int,
    ) -> Verdict:
        fit = {
            report.name: estimates[report.name]
            for report in ballot
            if report.name in estimates
            and not report.noselect
            and is_fit(report, estimates[report.name], now_ns)
        }
        # The earliest guess, so that no rounding depends on the order of the reports.
        base_ns = min((each.mid_ns for each in fit.values()), default=0)
        candidates = self._candidates(ballot, fit, base_ns, now_ns)
        undecided = self._undecided(ballot, fit, now_ns)
        self._electorate = len(candidates) + undecided
        tallies = dict.fromkeys((report.name for report in self.reports), Tally.UNFIT)

        def nothing(reason: NoEstimate) -> Verdict:
            return Verdict(reason, tallies, estimates, frequency=self._common)

        agreement = agree(candidates, self._electorate)
        if agreement is None and undecided:
            return nothing(NoEstimate.WAITING)  # no peer is outvoted yet
        tallies |= dict.fromkeys(fit, Tally.FALSETICKER)
        if agreement is None:
            return nothing(NoEstimate.NO_MAJORITY if candidates else NoEstimate.NO_PEER)
        tallies |= dict.fromkeys(agreement.names, Tally.OUTLIER)
        if len(agreement.truechimers) < self._parameters.minimum_agreeing:
            return nothing(NoEstimate.TOO_FEW)

        estimate = conclude(
            agreement,
            fit,
            base_ns,
            now_ns,
            leaps=leaps,
            common=self._common,
            incumbent=self._incumbent,
        )
        weights = agreement.combination.weights
        tallies |= dict.fromkeys(weights, Tally.SURVIVOR)
        tallies[estimate.system_peer] = Tally.SYSTEM_PEER
        return Verdict(estimate, tallies, estimates, weights, self._common)

    def _candidates(
        self,
        ballot: Sequence[PeerReport],
        fit: Mapping[str, PeerEstimate],
        base_ns: int,
        now_ns: int,
    ) -> list[Candidate]:
        """The fit peers as the selection sees them, relative to X = `base_ns`."""
        return [
            candidate(
                report.name,
                fit[report.name],
                base_ns,
                aged=self._aged(report, fit[report.name], now_ns),
                prefer=report.prefer,
            )
            for report in ballot
            if report.name in fit
        ]

    def _undecided(
        self, ballot: Sequence[PeerReport], fit: Mapping[str, PeerEstimate], now_ns: int
    ) -> int:
        """The number of undecided peers that count.

        Newcomers count only if no peer that agreed before is fit.
        """
        if self._agreeing.isdisjoint(fit):
            self._newcomers = frozenset()
        self._newcomers = self._newcomers.difference(fit)
        return sum(
            is_undecided(report, now_ns) for report in ballot if report.name not in self._newcomers
        )

    def _aged(self, report: PeerReport, estimate: PeerEstimate, now_ns: int) -> float:
        """The growth of a guess's error since the last answer of its peer, s."""
        rate = guess_rate(self._common, estimate.frequency) + self._parameters.slew
        return rate * seconds_between(report.last_reply_ns or now_ns, now_ns)


def calls_for_publication(verdict: Verdict, report: PeerReport) -> bool:
    """Whether this report brought the verdict's estimate a new measurement.

    Only then may it be published: a consumer takes each sample for a new measurement.
    """
    return report.fresh and report.name in verdict.weights


def is_fit(report: PeerReport, estimate: PeerEstimate, now_ns: int) -> bool:
    """Whether a peer's estimate may be used at all (the fit routine of RFC 5905 A.5.5.3)."""
    if report.track is None or report.track.exchanges < MIN_EXCHANGES:
        return False
    silence = seconds_between(report.track.last_reply_ns, now_ns)
    stale = silence > max(STALE_TIME, STALE_POLLS * 2.0**report.poll)
    return not stale and estimate.half_width <= MAXDIST


def is_undecided(report: PeerReport, now_ns: int) -> bool:
    """Whether a peer may soon have a vote: its first answer or its next samples are due."""
    few = report.track is None or report.track.exchanges < MIN_EXCHANGES
    if report.noselect or not few:
        return False
    if report.first_reply_ns is None and report.last_failure is not None:
        return False
    since_ns = report.began_ns if report.first_reply_ns is None else report.first_reply_ns
    return seconds_between(since_ns, now_ns) < UNDECIDED_TIME
