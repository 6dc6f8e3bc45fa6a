"""A snapshot as text: the columns of `ntpq -p`, and a line for each output.

Signs are NTP's: a positive offset means that the local clock is behind. chronyc has the opposite.
"""

from webntpd.status.snapshot import PeerStatus, RefclockStatus, Status
from webntpd.status.summary import summary
from webntpd.status.text import NOTHING, age, printable, seconds, signed_seconds, sparkline, table

PEER_COLUMNS = (
    "remote",
    "kind",
    "reach",
    "poll",
    "when",
    "delay",
    "offset",
    "jitter",
    "stamps",
    "last rejection",
)


def status_lines(status: Status, *, trend: bool = False) -> list[str]:
    """The whole snapshot: the state in words, the peers, the outputs.

    `trend` adds how each peer's offset has been moving.
    """
    return [
        summary(status),
        *([] if status.serves_only else ["", *peer_lines(status, trend=trend)]),
        *("" for _ in status.refclocks[:1]),
        *map(refclock_line, status.refclocks),
    ]


def peer_lines(status: Status, *, trend: bool = False) -> list[str]:
    """The table of the peers; the first character of a line is ntpq's tally."""
    rows = [
        (*peer_row(peer, status), *([sparkline(peer.offsets)] if trend else []))
        for peer in status.peers
    ]
    heading, *lines = table((*PEER_COLUMNS, *(["trend"] if trend else [])), rows)
    return [
        f" {heading}",
        *(f"{peer.tally}{line}" for peer, line in zip(status.peers, lines, strict=True)),
    ]


def peer_row(peer: PeerStatus, status: Status) -> tuple[str, ...]:
    """One peer's columns as of the snapshot."""
    report, estimate = peer.report, peer.estimate
    measured = (NOTHING,) * 4
    if estimate:
        measured = (
            seconds(estimate.delay),
            signed_seconds(status.offset(estimate)),
            seconds(estimate.jitter),
            str(estimate.provenance or NOTHING),
        )
    failure = report.last_failure
    return (
        report.name,
        peer.kind,
        f"{report.reach:o}",
        f"{2**report.poll}",
        age(report.last_reply_ns, status.at_ns),
        *measured,
        failure.rejection if failure else NOTHING,
    )


def refclock_line(refclock: RefclockStatus) -> str:
    """One output: its samples, and whether a consumer took them."""
    parts = [f"{refclock.published} samples published"]
    if refclock.last:
        parts.append(f"last {signed_seconds(refclock.last.offset)}")
    if refclock.not_consumed:
        parts.append(f"{refclock.not_consumed} not consumed")
    if refclock.failures:
        parts.append(f"{refclock.failures} failures")
    problem = f"; now: {printable(refclock.problem)}" if refclock.problem else ""
    return f"{refclock.name}: {', '.join(parts)}{problem}"
