"""A snapshot as text: the columns of `ntpq -p`, and what the outputs got.

Signs are NTP's: a positive offset means that the local clock is behind. chronyc has the opposite.
"""

from collections.abc import Iterable, Sequence

from webntpd.ntp.readings import NS_PER_S
from webntpd.status.snapshot import (
    PeerStatus,
    RefclockStatus,
    Status,
    printable,
    seconds,
    signed_seconds,
    summary,
)

NOTHING = "-"

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
BARS = "▁▂▃▄▅▆▇█"
NUMERIC = {"reach", "poll", "when", "delay", "offset", "jitter", "error", "samples"}
"""The columns that are set flush right."""


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
    """One output: what it got, and whether anyone took it."""
    parts = [f"{refclock.published} samples published"]
    if refclock.last:
        parts.append(f"last {signed_seconds(refclock.last.offset)}")
    if refclock.not_consumed:
        parts.append(f"{refclock.not_consumed} not consumed")
    if refclock.failures:
        parts.append(f"{refclock.failures} failures")
    problem = f"; now: {printable(refclock.problem)}" if refclock.problem else ""
    return f"{refclock.name}: {', '.join(parts)}{problem}"


def age(then_ns: int | None, now_ns: int) -> str:
    """The time since a RAW instant, in seconds, or in the unit that ntpq would use."""
    if then_ns is None:
        return NOTHING
    elapsed = (now_ns - then_ns) // NS_PER_S
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if elapsed >= 5 * length:
            return f"{elapsed // length}{unit}"
    return str(elapsed)


def sparkline(values: Sequence[float]) -> str:
    """The values as columns of text, each between the least and the greatest of them."""
    if not values:
        return NOTHING
    least, greatest = min(values), max(values)
    if least == greatest:
        return BARS[len(BARS) // 2] * len(values)
    # Divided before it is multiplied: the range may be too small to be divided into steps.
    heights = ((value - least) / (greatest - least) for value in values)
    return "".join(BARS[round(height * (len(BARS) - 1))] for height in heights)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A heading and the rows, each column as wide as it must be."""
    rows = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if name in NUMERIC else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        return "  ".join(cells).rstrip()

    return [line(row) for row in rows]
