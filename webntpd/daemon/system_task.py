"""Runs the system process: votes on the peers' reports and publishes the outcome.

It is the only consumer of one channel, so all events that change a vote come one after the other.
The watchdog's heartbeats use the same channel, so the watchdog is fed only while this task works.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from webntpd.clock.clocks import Clock, Pair, read_pair
from webntpd.clock.discontinuity import Discontinuity, DiscontinuityDetector
from webntpd.leap.knowledge import LeapKnowledge
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, Publication, Tally, Verdict
from webntpd.ntp.parameters import SystemParameters
from webntpd.ntp.readings import Leap
from webntpd.ntp.system import System, calls_for_publication, is_fit
from webntpd.refclock.base import Refclock
from webntpd.status.changes import changes
from webntpd.status.snapshot import PeerStatus, Status

logger = logging.getLogger(__name__)

REMEMBERED_OFFSETS = 32
"""Offsets kept of each peer, for the views that show a trend."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The watchdog is due."""


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The kernel reports that the wall clock was set."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A refclock, and the one peer that it follows instead of the vote, if any."""

    refclock: Refclock
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration of the system process; a new one comes with each reload.

    `kinds` gives each configured peer's kind of exchange, in the configuration's order.
    """

    parameters: SystemParameters = field(default_factory=SystemParameters)
    kinds: Mapping[str, str] = field(default_factory=dict)
    outputs: Sequence[Destination] = ()
    leap: LeapKnowledge = field(default_factory=LeapKnowledge)


Event = PeerReport | Heartbeat | ClockSet | Setup


class SystemTask:
    """Carries out the decisions of the system process.

    `observe` gets every new snapshot, `feed_watchdog` is called at each heartbeat, and
    `alarm_peers` after a suspend.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        observe: Callable[[Status], None],
        feed_watchdog: Callable[[], None],
        alarm_peers: Callable[[], None],
    ) -> None:
        self._setup = Setup()
        self._clock = clock
        self._observe = observe
        self._feed_watchdog = feed_watchdog
        self._alarm_peers = alarm_peers
        self._started_ns = clock.raw_ns()
        self._system = System(self._setup.parameters, self._setup.kinds)
        self._offsets: dict[str, tuple[float, ...]] = {}
        self._detector = DiscontinuityDetector(clock)
        self._measured_since_ns = 0
        self._status: Status | None = None

    async def run(self, events: trio.MemoryReceiveChannel[Event]) -> None:
        """Handle events until cancelled. The first one must be a Setup."""
        async for event in events:
            match event:
                case Heartbeat():
                    self._feed_watchdog()
                case ClockSet():
                    if not self._check_clock():
                        self._conclude()
                case Setup():
                    self._take_setup(event)
                case PeerReport():
                    self._on_report(event)

    def _take_setup(self, setup: Setup) -> None:
        self._setup = setup
        self._system.configure(setup.parameters, setup.kinds)
        self._offsets = {name: each for name, each in self._offsets.items() if name in setup.kinds}
        self._conclude()

    def _on_report(self, report: PeerReport) -> None:
        if report.name not in self._setup.kinds:
            return  # a late report of a peer that a reload removed
        if self._check_clock() or self._is_from_before_the_suspend(report):
            return
        self._system.on_report(report)
        self._conclude(report)

    def _check_clock(self) -> bool:
        """Whether the machine was suspended; if so, drop all measurements and poll anew."""
        found = self._detector.check()
        if found is Discontinuity.STEP:
            logger.info("%s by %+.3f s; all measurements stand", found, self._detector.step)
        if found is not Discontinuity.SUSPEND:
            return False
        logger.warning("%s: all samples are dropped, all peers polled anew", found)
        self._measured_since_ns = self._clock.raw_ns()
        self._system.forget()
        self._offsets.clear()
        self._alarm_peers()
        self._conclude()
        return True

    def _is_from_before_the_suspend(self, report: PeerReport) -> bool:
        """Whether a report has measurements from before the suspend; its peer makes another."""
        track = report.track
        return track is not None and track.entries[0].floor_at_ns < self._measured_since_ns

    def _conclude(self, report: PeerReport | None = None) -> None:
        """Vote, publish if `report` has new samples, and show the outcome."""
        pair = read_pair(self._clock)
        verdict = self._system.vote(
            pair.raw_ns,
            leaps=self._setup.leap.warnings(self._system.reports, pair.wall_ns),
            barred=self._setup.leap.barred(self._system.reports, pair.wall_ns),
        )
        if report is not None and report.fresh:
            self._remember_offset(report, verdict, pair)
            self._publish(report, verdict, pair)
        self._show(verdict, pair)

    def _remember_offset(self, report: PeerReport, verdict: Verdict, pair: Pair) -> None:
        estimate = verdict.estimates[report.name]
        offset = estimate.offset(pair.raw_ns, pair.wall_ns)
        offsets = (*self._offsets.get(report.name, ()), offset)
        self._offsets[report.name] = offsets[-REMEMBERED_OFFSETS:]

    def _publish(self, report: PeerReport, verdict: Verdict, pair: Pair) -> None:
        combined = None
        if isinstance(verdict.estimate, Estimate) and calls_for_publication(verdict, report):
            combined = Publication(
                receive_ns=pair.wall_ns,
                offset=verdict.estimate.offset(pair.raw_ns, pair.wall_ns),
                error=verdict.estimate.error,
                leap=verdict.estimate.leap,
            )
        for output in self._setup.outputs:
            publication = combined
            if output.peer is not None:
                follows = output.peer == report.name
                publication = self._of_one_peer(report, verdict, pair) if follows else None
            if publication:
                output.refclock.publish(publication)

    def _of_one_peer(self, report: PeerReport, verdict: Verdict, pair: Pair) -> Publication | None:
        """The sample for a refclock that follows this peer alone; the consumer votes itself."""
        estimate = verdict.estimates[report.name]
        leap, reports = self._setup.leap, self._system.reports
        if report.name in leap.barred(reports, pair.wall_ns) or not is_fit(
            report, estimate, pair.raw_ns
        ):
            return None
        return Publication(
            receive_ns=pair.wall_ns,
            offset=estimate.offset(pair.raw_ns, pair.wall_ns),
            error=estimate.error_bound(pair.raw_ns),
            leap=leap.warnings(reports, pair.wall_ns).get(report.name, Leap.NONE),
        )

    def _show(self, verdict: Verdict, pair: Pair) -> None:
        """Make the new snapshot, log what changed, and give it to the observer."""
        leap_list = self._setup.leap.own
        status = Status(
            at_ns=pair.raw_ns,
            peers=tuple(self._peer_statuses(verdict)),
            verdict=verdict,
            refclocks=tuple(output.refclock.status for output in self._setup.outputs),
            wall_ns=pair.wall_ns,
            started_ns=self._started_ns,
            leap_expires_ns=leap_list.expires_ns if leap_list else None,
        )
        if self._setup.kinds:  # a server without peers has nothing to publish
            for line in changes(self._status, status):
                logger.log(line.level, "%s", line.text, extra={"fields": line.fields})
        self._status = status
        self._observe(status)

    def _peer_statuses(self, verdict: Verdict) -> list[PeerStatus]:
        return [
            PeerStatus(
                report=report,
                kind=self._setup.kinds[report.name],
                tally=verdict.tallies.get(report.name, Tally.UNFIT),
                estimate=verdict.estimates.get(report.name),
                offsets=self._offsets.get(report.name, ()),
            )
            for report in self._system.reports
        ]
