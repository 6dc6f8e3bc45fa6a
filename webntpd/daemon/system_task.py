"""Runs the system process: votes on the peers' reports and publishes the outcome.

It is the one consumer of one channel, so everything that bears on a vote happens one after the
other. The watchdog's heartbeats come by the same channel: it is fed only while this task works.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from webntpd.clock.clocks import Clock, Pair, read_pair
from webntpd.clock.discontinuity import Discontinuity, DiscontinuityDetector
from webntpd.leap.list import LeapList, smear_is_possible, warning_from
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, Publication, Tally, Verdict
from webntpd.ntp.parameters import SystemParameters
from webntpd.ntp.readings import Leap, LeapNotice, Smear
from webntpd.ntp.system import System, calls_for_publication, is_fit
from webntpd.refclock.base import Refclock
from webntpd.status.changes import changes
from webntpd.status.snapshot import PeerStatus, Status

logger = logging.getLogger(__name__)

REMEMBERED_OFFSETS = 32
"""So many offsets are kept of each peer, for the views that show a trend."""


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
    """The configuration of the system process; a new one comes with each reload.

    `kinds` gives each configured peer's kind of exchange, in the configuration's order; `smears`
    how the servers of those peers that smear leap seconds do so.
    """

    parameters: SystemParameters
    kinds: dict[str, str]
    outputs: Sequence[Output]
    leap_list: LeapList | None = None
    smears: Mapping[str, Smear] = field(default_factory=dict)


Event = PeerReport | Heartbeat | ClockSet | Setup


def notices(reports: Iterable[PeerReport], smears: Container[str]) -> dict[str, LeapNotice]:
    """The peers' notices of leap seconds, by name. A peer that smears them never announces one."""
    return {
        report.name: report.track.leap
        for report in reports
        if report.track and report.track.leap and report.name not in smears
    }


class SystemTask:
    """Carries out the decisions of the system process.

    `observe` gets every new snapshot, `feed_watchdog` is called at each heartbeat, and
    `alarm_peers` when the machine slept.
    """

    def __init__(
        self,
        setup: Setup,
        clock: Clock,
        *,
        observe: Callable[[Status], None],
        feed_watchdog: Callable[[], None],
        alarm_peers: Callable[[], None],
    ) -> None:
        self._setup = setup
        self._clock = clock
        self._observe = observe
        self._feed_watchdog = feed_watchdog
        self._alarm_peers = alarm_peers
        self._started_ns = clock.raw_ns()
        self._system = System(setup.parameters, setup.kinds)
        self._offsets: dict[str, tuple[float, ...]] = {}
        self._detector = DiscontinuityDetector(clock)
        self._measured_since_ns = 0
        self._status: Status | None = None

    async def run(self, events: trio.MemoryReceiveChannel[Event]) -> None:
        """Handle events until cancelled."""
        self._conclude()
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
            return  # the last words of a peer that a reload removed
        if self._check_clock() or self._is_from_before_the_suspend(report):
            return
        self._system.on_report(report)
        self._conclude(report)

    def _check_clock(self) -> bool:
        """Whether the machine slept; if so, drop all measurements and poll anew."""
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
        """Whether a report was under way during the suspend; its peer will make another."""
        track = report.track
        return track is not None and track.entries[0].floor_at_ns < self._measured_since_ns

    def _conclude(self, report: PeerReport | None = None) -> None:
        """Vote, publish if `report` has new samples, and show the outcome."""
        pair = read_pair(self._clock)
        verdict = self._system.vote(
            pair.raw_ns,
            leaps=self._leap_warnings(pair.wall_ns),
            barred=self._barred(pair.wall_ns),
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

    def _own_list(self, wall_ns: int) -> LeapList | None:
        """Our own list of leap seconds while it is valid."""
        own = self._setup.leap_list
        return own if own and wall_ns < own.expires_ns else None

    def _notices(self) -> dict[str, LeapNotice]:
        return notices(self._system.reports, self._setup.smears)

    def _leap_warnings(self, wall_ns: int) -> dict[str, Leap]:
        """Each peer's warning, by name: that of our own list while it is valid."""
        own = self._own_list(wall_ns)
        if own:
            return dict.fromkeys(self._setup.kinds, own.warning(wall_ns))
        return {name: warning_from(each, wall_ns) for name, each in self._notices().items()}

    def _barred(self, wall_ns: int) -> frozenset[str]:
        """Peers that have no vote, because they may be smearing now, by an unknown amount."""
        smears = self._setup.smears
        if not smears or self._own_list(wall_ns):
            return frozenset()
        if not smear_is_possible(wall_ns, self._notices().values()):
            return frozenset()
        return frozenset(smears)

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
        """The sample for a refclock that follows this peer alone: there the consumer votes."""
        estimate = verdict.estimates[report.name]
        barred = self._barred(pair.wall_ns)
        if report.name in barred or not is_fit(report, estimate, pair.raw_ns):
            return None
        return Publication(
            receive_ns=pair.wall_ns,
            offset=estimate.offset(pair.raw_ns, pair.wall_ns),
            error=estimate.error_bound(pair.raw_ns),
            leap=self._leap_warnings(pair.wall_ns).get(report.name, Leap.NONE),
        )

    def _show(self, verdict: Verdict, pair: Pair) -> None:
        """Make the new snapshot, log what changed, and give it to the observer."""
        leap_list = self._setup.leap_list
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
