"""Immutable snapshots of the whole daemon: the one source of every view.

The supervisor makes them; status lines, the control socket, metrics and statistics render them,
so that no two views can disagree.
"""

from dataclasses import dataclass

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import (
    Estimate,
    Frequency,
    PeerEstimate,
    Publication,
    Tally,
    Verdict,
    aging,
    carried,
)

PPM = 1e-6
"""One part per million, s/s: the unit for frequencies in all views."""


@dataclass(frozen=True, slots=True)
class RefclockStatus:
    """An output: `published` samples, of which the consumer left `not_consumed` unread.

    `consumed` says whether the sample before `last` was taken; None where that cannot be known.
    """

    name: str
    published: int = 0
    not_consumed: int = 0
    failures: int = 0
    problem: str | None = None
    last: Publication | None = None
    consumed: bool | None = None


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer's report with its tally and its estimate in the last vote. `kind` names its exchange.

    `estimate` is None while the peer has no sample. `offsets` are the wall clock's at its last
    fresh reports, oldest first, s.
    """

    report: PeerReport
    kind: str
    tally: Tally
    estimate: PeerEstimate | None = None
    offsets: tuple[float, ...] = ()

    @property
    def measured_ns(self) -> int | None:
        """The RAW instant of the last answer that the estimate is made of."""
        return self.report.track.last_reply_ns if self.report.track else None

    @property
    def frequency(self) -> Frequency | None:
        """The local oscillator's frequency as this peer sees it; None while it has no line."""
        track = self.report.track
        return track.frequency if track and track.sigma is not None else None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The counts of the embedded server since the daemon started; `connections` are open now.

    `requests` are HTTP's, `messages` WebSocket's that were answered; `refusals` are connections,
    requests and messages that were turned away.
    """

    connections: int = 0
    accepted: int = 0
    requests: int = 0
    messages: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon at RAW `at_ns`, when the wall clock showed `wall_ns`: both are of one instant.

    It has been running since RAW `started_ns`; its own list of leap seconds, if it has one, is good
    until `leap_expires_ns` of the wall clock.
    """

    at_ns: int
    peers: tuple[PeerStatus, ...]
    verdict: Verdict
    refclocks: tuple[RefclockStatus, ...] = ()
    server: ServerStatus | None = None
    wall_ns: int = 0
    started_ns: int = 0
    leap_expires_ns: int | None = None

    @property
    def serves_only(self) -> bool:
        """Whether there is a server, but neither a peer nor an estimate."""
        measured = bool(self.peers) or isinstance(self.verdict.estimate, Estimate)
        return self.server is not None and not measured

    @property
    def reachable(self) -> int:
        """The number of peers that have answered within the last eight polls."""
        return sum(1 for peer in self.peers if peer.report.reach)

    @property
    def measured_ns(self) -> int | None:
        """The RAW instant of the last answer that the system's estimate is made of."""
        speakers = set(self.verdict.speakers)
        answers = (peer.measured_ns for peer in self.peers if peer.report.name in speakers)
        return max((at_ns for at_ns in answers if at_ns is not None), default=None)

    def offset(self, estimate: Estimate | PeerEstimate) -> float:
        """The wall clock's offset at this instant, s."""
        return estimate.offset(self.at_ns, self.wall_ns)

    def error_bound(self, estimate: Estimate | PeerEstimate) -> float:
        """The bound of that offset's error, s."""
        return estimate.error_bound(self.at_ns)

    def bounds(self, estimate: PeerEstimate) -> tuple[float, float]:
        """The least and the greatest offset at this instant that the peer's answers allow, s."""
        grown = aging(estimate, self.at_ns)
        low = carried(estimate, estimate.low_ns, self.at_ns, self.wall_ns)
        high = carried(estimate, estimate.high_ns, self.at_ns, self.wall_ns)
        return low - grown, high + grown
