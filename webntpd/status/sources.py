"""Every peer with all that is known of it."""

from collections.abc import Iterator

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import PeerEstimate, Tally
from webntpd.status.snapshot import PeerStatus, Status
from webntpd.status.text import (
    NOTHING,
    Fact,
    ago,
    ahead,
    bounded,
    oscillator,
    paragraphs,
    printable,
    seconds,
    signed_seconds,
)

FATES = {
    Tally.UNFIT: "not fit to vote",
    Tally.FALSETICKER: "outvoted by the others",
    Tally.OUTLIER: "agrees with the majority, but others speak for it",
    Tally.SURVIVOR: "agrees with the majority, and counts",
    Tally.SYSTEM_PEER: "system peer",
}


def source_lines(status: Status) -> list[str]:
    """A block for each peer."""
    if not status.peers:
        return ["there are no peers"]
    return paragraphs(_peer_facts(peer, status) for peer in status.peers)


def _peer_facts(peer: PeerStatus, status: Status) -> Iterator[Fact]:
    report = peer.report
    wishes = [wish for wish in ("prefer", "noselect") if getattr(report, wish)]
    due = ahead(report.next_poll_ns, status.at_ns)
    yield "Peer", f"{report.name} ({peer.kind})"
    yield "State", ", ".join([FATES[peer.tally], *wishes])
    yield "Reach", f"{report.reach:o}, last reply {ago(report.last_reply_ns, status)}"
    yield "Poll", f"every {2**report.poll} s, next in {due:.0f} s"
    if peer.estimate:
        yield from _estimate_facts(peer, peer.estimate, status)
    yield "Samples", _samples(report)
    if report.rejections:
        counts = (f"{count} {name}" for name, count in report.rejections.items())
        yield "Rejections", ", ".join(counts)
    if failure := report.last_failure:
        yield "Last rejection", f"{failure.rejection}: {printable(failure.detail)}"


def _samples(report: PeerReport) -> str:
    """How many there were, and of what they were made."""
    kinds = (f"{count} {provenance}" for provenance, count in report.stamps.items())
    return f"{report.samples}: {', '.join(kinds)}" if report.stamps else "0"


def _estimate_facts(peer: PeerStatus, estimate: PeerEstimate, status: Status) -> Iterator[Fact]:
    low, high = status.bounds(estimate)
    yield "Offset", bounded(status.offset(estimate), status.error_bound(estimate))
    yield "Bounds", f"{signed_seconds(low)} to {signed_seconds(high)}"
    yield "Delay", seconds(estimate.delay)
    yield "Dispersion", seconds(estimate.dispersion)
    yield "Jitter", seconds(estimate.jitter)
    yield "Frequency", oscillator(peer.frequency)
    yield "Stamps", str(estimate.provenance or NOTHING)
    yield "Measured", ago(peer.measured_ns, status)
