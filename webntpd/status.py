"""Immutable snapshots of the whole daemon: the one source of every view.

The supervisor makes them; status lines, the control socket, metrics and statistics render them,
so that no two views can disagree.
"""

from dataclasses import dataclass

from webntpd.ntp.types import Estimate, PeerReport, Publication, Tally, Verdict


@dataclass(frozen=True, slots=True)
class RefclockStatus:
    """An output: `published` samples, of which the consumer left `not_consumed` unread."""

    name: str
    published: int = 0
    not_consumed: int = 0
    failures: int = 0
    problem: str | None = None
    last: Publication | None = None


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer's report with the tally of the last vote. `kind` names its exchange."""

    report: PeerReport
    kind: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What the embedded server has done since it started; `connections` are those open now.

    `requests` are HTTP's, `messages` WebSocket's; `refusals` are those of either that were
    answered with an error.
    """

    connections: int = 0
    accepted: int = 0
    requests: int = 0
    messages: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon at monotonic `at_ns`."""

    at_ns: int
    peers: tuple[PeerStatus, ...]
    verdict: Verdict
    refclocks: tuple[RefclockStatus, ...] = ()

    @property
    def reachable(self) -> int:
        """The number of peers that have answered within the last eight polls."""
        return sum(1 for peer in self.peers if peer.report.reach)


def summary(status: Status) -> str:
    """The daemon's state in words, for the service manager's STATUS line."""
    estimate = status.verdict.estimate
    peers = f"{status.reachable} of {len(status.peers)} peers reachable"
    if not isinstance(estimate, Estimate):
        return f"{estimate}; {peers}"
    return (
        f"synchronised to {estimate.system_peer}, offset {signed_seconds(estimate.offset)}"
        f" \N{PLUS-MINUS SIGN} {seconds(estimate.root_distance)},"
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
