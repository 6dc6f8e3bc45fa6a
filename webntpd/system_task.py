"""Runs the system process: votes on the peers' reports and publishes what the vote gave.

It is the one consumer of one channel, so everything that bears on a vote happens one after the
other. The watchdog's heartbeats come by the same channel: it is fed only while this task works.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from webntpd.changes import changes
from webntpd.clock import Clock
from webntpd.discontinuity import Discontinuity, DiscontinuityDetector
from webntpd.leap import LeapList, warning_from
from webntpd.ntp.system import calls_for_publication, is_fit, vote
from webntpd.ntp.types import (
    Estimate,
    Leap,
    PeerReport,
    Publication,
    SystemParameters,
    Tally,
    Verdict,
)
from webntpd.refclock import Refclock
from webntpd.status import PeerStatus, Status

log = logging.getLogger(__name__)

REMEMBERED_OFFSETS = 32
"""Of each peer, for the views that show a trend."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Comes when the watchdog wants to be fed."""


@dataclass(frozen=True, slots=True)
class ClockSet:
    """Comes when the kernel says that the wall clock was set."""


@dataclass(frozen=True, slots=True)
class Output:
    """A refclock, and the one peer that it follows instead of the vote, if any."""

    refclock: Refclock
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What the configuration says of the system process; a new one comes with each reload.

    `kinds` gives each configured peer's kind of exchange, in the configuration's order.
    """

    parameters: SystemParameters
    kinds: dict[str, str]
    outputs: Sequence[Output]
    leap_list: LeapList | None = None


Event = PeerReport | Heartbeat | ClockSet | Setup


class SystemTask:
    """Holds the last report of each peer, and nothing else that a vote depends on.

    `observe` gets every new snapshot, `feed_watchdog` is called at each heartbeat, and
    `flush_peers` when the local clock jumped.
    """

    def __init__(
        self,
        setup: Setup,
        clock: Clock,
        *,
        observe: Callable[[Status], None],
        feed_watchdog: Callable[[], None],
        flush_peers: Callable[[], None],
    ) -> None:
        self._setup = setup
        self._clock = clock
        self._observe = observe
        self._feed_watchdog = feed_watchdog
        self._flush_peers = flush_peers
        self._started_ns = clock.monotonic_ns()
        self._reports: dict[str, PeerReport] = {}
        self._offsets: dict[str, tuple[float, ...]] = {}
        self._detector = DiscontinuityDetector(clock)
        self._measured_since_ns = 0
        self._status: Status | None = None

    async def run(self, events: trio.MemoryReceiveChannel[Event]) -> None:
        """Handle events until cancelled."""
        self._conclude(self._vote())
        async for event in events:
            match event:
                case Heartbeat():
                    self._feed_watchdog()
                case ClockSet():
                    self._check_clock()
                case Setup():
                    self._setup = event
                    self._forget_removed_peers()
                    self._conclude(self._vote())
                case PeerReport():
                    self._on_report(event)

    def _on_report(self, report: PeerReport) -> None:
        if report.name not in self._setup.kinds:
            return  # the last words of a peer that a reload removed
        if self._check_clock() or self._is_from_before_the_jump(report):
            return
        self._reports[report.name] = report
        self._remember_offset(report)
        verdict = self._vote()
        if report.fresh:
            self._publish(report, verdict)
        self._conclude(verdict)

    def _remember_offset(self, report: PeerReport) -> None:
        if report.fresh and report.estimate:
            offsets = (*self._offsets.get(report.name, ()), report.estimate.offset)
            self._offsets[report.name] = offsets[-REMEMBERED_OFFSETS:]

    def _check_clock(self) -> Discontinuity | None:
        """Drop everything that was measured before the clock jumped."""
        found = self._detector.check()
        if found:
            log.warning("%s: all samples are dropped, all peers polled anew", found)
            self._measured_since_ns = self._clock.monotonic_ns()
            self._reports.clear()
            self._offsets.clear()
            self._flush_peers()
            self._conclude(self._vote())
        return found

    def _is_from_before_the_jump(self, report: PeerReport) -> bool:
        """A report may have been on its way here when the clock jumped; its peer makes another."""
        return report.estimate is not None and report.estimate.at_ns < self._measured_since_ns

    def _forget_removed_peers(self) -> None:
        kept = self._setup.kinds
        self._reports = {name: each for name, each in self._reports.items() if name in kept}
        self._offsets = {name: each for name, each in self._offsets.items() if name in kept}

    def _vote(self) -> Verdict:
        estimate = self._status.verdict.estimate if self._status else None
        return vote(
            [self._reports[name] for name in self._setup.kinds if name in self._reports],
            self._setup.parameters,
            self._clock.monotonic_ns(),
            leaps=self._leap_warnings(),
            incumbent=estimate.system_peer if isinstance(estimate, Estimate) else None,
        )

    def _leap_warnings(self) -> dict[str, Leap]:
        """What each peer announces, or for all of them what our own list says while it is valid."""
        now_ns = self._clock.realtime_ns()
        own = self._setup.leap_list
        if own and now_ns < own.expires_ns:
            return dict.fromkeys(self._reports, own.warning(now_ns))
        return {
            name: warning_from(report.estimate.leap, now_ns)
            for name, report in self._reports.items()
            if report.estimate and report.estimate.leap
        }

    def _publish(self, report: PeerReport, verdict: Verdict) -> None:
        combined = None
        if isinstance(verdict.estimate, Estimate) and calls_for_publication(verdict, report):
            combined = self._publication(verdict.estimate)
        for output in self._setup.outputs:
            publication = combined
            if output.peer is not None:
                publication = self._of_one_peer(report) if output.peer == report.name else None
            if publication:
                output.refclock.publish(publication)

    def _publication(self, estimate: Estimate) -> Publication:
        return Publication(
            receive_ns=self._clock.realtime_ns(),
            offset=estimate.offset,
            error=estimate.root_distance,
            leap=estimate.leap,
        )

    def _of_one_peer(self, report: PeerReport) -> Publication | None:
        """What a refclock that follows this peer alone gets: here the consumer does the voting."""
        now_ns = self._clock.monotonic_ns()
        parameters = self._setup.parameters
        if report.estimate is None or not is_fit(report, parameters, now_ns):
            return None
        return Publication(
            receive_ns=self._clock.realtime_ns(),
            offset=report.estimate.offset,
            error=report.estimate.root_distance(now_ns, parameters.min_dispersion),
            leap=self._leap_warnings().get(report.name, Leap.NONE),
        )

    def _conclude(self, verdict: Verdict) -> None:
        """Make the new snapshot, say what changed, and show it to whoever observes."""
        leap_list = self._setup.leap_list
        status = Status(
            at_ns=self._clock.monotonic_ns(),
            peers=tuple(self._peer_statuses(verdict)),
            verdict=verdict,
            refclocks=tuple(output.refclock.status for output in self._setup.outputs),
            wall_ns=self._clock.realtime_ns(),
            started_ns=self._started_ns,
            leap_expires_ns=leap_list.expires_ns if leap_list else None,
        )
        if self._setup.kinds:  # who only serves has nothing to publish, and need not be told
            for line in changes(self._status, status):
                log.log(line.level, "%s", line.text, extra={"fields": line.fields})
        self._status = status
        self._observe(status)

    def _peer_statuses(self, verdict: Verdict) -> list[PeerStatus]:
        return [
            PeerStatus(
                report=self._reports[name],
                kind=kind,
                tally=verdict.tallies.get(name, Tally.UNFIT),
                offsets=self._offsets.get(name, ()),
            )
            for name, kind in self._setup.kinds.items()
            if name in self._reports
        ]
