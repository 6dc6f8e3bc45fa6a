"""Short ways to make the values that the tests of the pure part are about. Times are seconds."""

from typing import Any

from webntpd.ntp.selection import Candidate
from webntpd.ntp.types import (
    NS_PER_S,
    Formula,
    PeerEstimate,
    PeerReport,
    Provenance,
    Reading,
    StampSource,
)

PROVENANCE = Provenance(Formula.FOUR_STAMP, StampSource.USER, StampSource.USER)
WALL_NS = 1_700_000_000 * NS_PER_S


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def reading(at: float, offset: float = 0.0, delay: float = 0.0, **fields: Any) -> Reading:
    """A reading with T4 at monotonic `at`, both ways of equal length, and no time in the server."""
    half_ns = ns(delay / 2)
    server_ns = WALL_NS + half_ns + ns(offset)
    defaults: dict[str, Any] = {"precision": 1e-6, "provenance": PROVENANCE}
    return Reading(
        t1_ns=WALL_NS,
        t2_ns=server_ns,
        t3_ns=server_ns,
        t4_ns=WALL_NS + 2 * half_ns,
        at_ns=ns(at),
        **(defaults | fields),
    )


def estimate(offset: float = 0.0, **fields: Any) -> PeerEstimate:
    """An estimate taken at monotonic 0, 1 ms from the truth at most by its delay."""
    defaults: dict[str, Any] = {"delay": 0.002, "dispersion": 0.0, "jitter": 0.0, "at_ns": 0}
    return PeerEstimate(offset=offset, **(defaults | fields))


def report(name: str, offset: float | None = 0.0, **fields: Any) -> PeerReport:
    """A reachable peer's report; with an offset of None it has no estimate."""
    defaults: dict[str, Any] = {
        "reach": 0o377,
        "poll": 6,
        "estimate": None if offset is None else estimate(offset),
        "fresh": False,
        "at_ns": 0,
        "next_poll_ns": 0,
    }
    return PeerReport(name=name, **(defaults | fields))


def candidate(
    name: str, offset: float, distance: float, jitter: float = 0.0, *, prefer: bool = False
) -> Candidate:
    return Candidate(name, offset, distance, jitter, prefer)
