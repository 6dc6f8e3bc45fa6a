"""Immutable snapshots of the whole daemon: the one source of every view.

The supervisor makes them; status lines, the control socket, metrics and statistics render them,
so that no two views can disagree.
"""

from dataclasses import dataclass

from webntpd.ntp.types import NS_PER_S, PHI, Estimate, PeerReport, Publication, Tally, Verdict


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
    """A peer's report with the tally of the last vote. `kind` names its exchange.

    `offsets` are those of its last fresh estimates, oldest first, s.
    """

    report: PeerReport
    kind: str
    tally: Tally
    offsets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What the embedded server has done since the daemon started; `connections` are open now.

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
    """The daemon at monotonic `at_ns`, when the wall clock showed `wall_ns`.

    It has been running since monotonic `started_ns`; its own list of leap seconds, if it has one,
    is good until `leap_expires_ns` of the wall clock.
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
    def reachable(self) -> int:
        """The number of peers that have answered within the last eight polls."""
        return sum(1 for peer in self.peers if peer.report.reach)


def error_bound(estimate: Estimate, now_ns: int) -> float:
    """What bounds an estimate's error at monotonic `now_ns`, s: it grows by PHI (RFC 5905 §11)."""
    return estimate.root_distance + PHI * (now_ns - estimate.at_ns) / NS_PER_S


def summary(status: Status) -> str:
    """The daemon's state in words, for the service manager's STATUS line."""
    estimate = status.verdict.estimate
    peers = f"{status.reachable} of {len(status.peers)} peers reachable"
    if not isinstance(estimate, Estimate):
        return f"{estimate}; {peers}"
    return (
        f"synchronised to {estimate.system_peer}, offset {signed_seconds(estimate.offset)}"
        f" \N{PLUS-MINUS SIGN} {seconds(error_bound(estimate, status.at_ns))},"
        f" {len(status.verdict.survivors)} survivors, {peers}"
    )


def seconds(value: float) -> str:
    """A duration with the unit that suits it, to three or four figures: 12.34 ms."""
    magnitude = abs(value)
    if magnitude >= 1:
        return f"{value:.3f} s"
    if magnitude >= 1e-3:
        return f"{value * 1e3:.3f} ms"
    return f"{value * 1e6:.1f} \N{MICRO SIGN}s"


def signed_seconds(value: float) -> str:
    """As seconds(), always with its sign."""
    text = seconds(value)
    return text if text.startswith("-") else f"+{text}"


def printable(text: str) -> str:
    """A text that came from elsewhere, without what a terminal or a log would take for its own."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
