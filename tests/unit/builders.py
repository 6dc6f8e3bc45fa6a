"""Short ways to make the values that the tests of the pure part are about. Times are seconds."""

from typing import Any

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Entry, Frequency, PeerEstimate, Track
from webntpd.ntp.readings import NS_PER_S, Formula, Provenance, Reading, StampSource
from webntpd.ntp.selection import Candidate

PROVENANCE = Provenance(Formula.FOUR_STAMP, StampSource.USER, StampSource.USER)
WALL_NS = 1_700_000_000 * NS_PER_S


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def x_ns(offset: float) -> int:
    """X where the wall clock showed WALL_NS at RAW 0 and is behind by `offset`."""
    return WALL_NS + ns(offset)


def reading(at: float, offset: float = 0.0, delay: float = 0.0, **fields: Any) -> Reading:
    """A reading with T4 at RAW `at`, both ways of equal length, and no time in the server.

    The wall clock shows WALL_NS at RAW 0 and runs as RAW does.
    """
    half_ns = ns(delay / 2)
    r4_ns = ns(at)
    r1_ns = r4_ns - 2 * half_ns
    server_ns = x_ns(offset) + r1_ns + half_ns
    defaults: dict[str, Any] = {"precision": 1e-6, "provenance": PROVENANCE}
    return Reading(
        t1_ns=WALL_NS + r1_ns,
        t2_ns=server_ns,
        t3_ns=server_ns,
        t4_ns=WALL_NS + r4_ns,
        r1_ns=r1_ns,
        r4_ns=r4_ns,
        **(defaults | fields),
    )


STEADY = Frequency(0.0, 1e-7, 1e-10)
"""The frequency of an oscillator that is well known."""


def estimate(offset: float = 0.0, half_width: float = 0.001, **fields: Any) -> PeerEstimate:
    """An estimate at RAW 0, `half_width` from the truth at most."""
    defaults: dict[str, Any] = {
        "at_ns": 0,
        "mid_ns": x_ns(offset),
        "low_ns": x_ns(offset - half_width),
        "high_ns": x_ns(offset + half_width),
        "frequency": STEADY,
        "growth": 0.0,
        "jitter": 0.0,
        "delay": 2 * half_width,
        "spread": half_width,
    }
    return PeerEstimate(**(defaults | fields))


def track(offset: float = 0.0, delay: float = 0.002, at: float = 0.0, **fields: Any) -> Track:
    """A peer's track after four exchanges, all answered at RAW `at`; 5 ppm are the proof's."""
    half_ns = ns(delay / 2)
    instant_ns = ns(at)
    entry = Entry(x_ns(offset) + half_ns, instant_ns, x_ns(offset) - half_ns, instant_ns, delay)
    defaults: dict[str, Any] = {
        "entries": (entry,),
        "frequency": STEADY,
        "exchanges": 4,
        "last_reply_ns": instant_ns,
    }
    return Track(**(defaults | fields))


def report(name: str, offset: float | None = 0.0, **fields: Any) -> PeerReport:
    """A reachable peer's report; with an offset of None it has no sample."""
    defaults: dict[str, Any] = {
        "reach": 0o377,
        "poll": 6,
        "track": None if offset is None else track(offset),
        "fresh": False,
        "at_ns": 0,
        "next_poll_ns": 0,
    }
    return PeerReport(name=name, **(defaults | fields))


def candidate(
    name: str, mid: float, distance: float, jitter: float = 0.0, *, prefer: bool = False
) -> Candidate:
    """A candidate whose guess is the middle of its interval."""
    return Candidate(name, mid, mid - distance, mid + distance, jitter, distance, prefer)
