"""From a server's answer to a reading, or to the name of what is wrong with it (RFC 5905 §8).

An exchange has four timestamps: T1 and T4, our own as the request left and as the reply came, and
T2 and T3, the server's as the request came and as the reply left. Servers differ in how many of
theirs they tell: `st` alone is both, `rt` is T2 proper, and in interleaved mode the next reply
tells a T3 that the kernel took. Which of these a reading is built on is its formula, and decides,
with the source of our own stamps, how precise it is.

Precision is rho of RFC 5905 §8: how far a stamp may be from the instant that it stands for. The
offset halves the sum of both ends' errors, so that each side counts with the mean of its stamps.
It joins the root distance and bounds the jitter from below; the constants are the orders of
magnitude that exchanges over loopback showed, where every error is one of stamps.
"""

from dataclasses import replace

from webntpd.ntp.types import NS_PER_S, Formula, Provenance, Reading, Rejection, Stamp, StampSource
from webntpd.wire import Reply, echoes

# Between a reading in user space and the wire lie a system call, the stack, and when a reply comes
# a wake-up; between a kernel stamp and the wire, a part of the stack.
_OWN_PRECISION = {StampSource.KERNEL: 1e-6, StampSource.USER: 20e-6}

# `st` is read in user space before the reply is rendered. Of its mean with `rt`, a kernel stamp at
# best, half of that error remains; in interleaved mode both are the kernel's.
_SERVER_PRECISION = {
    Formula.DATE: 20e-6,
    Formula.TWO_STAMP: 20e-6,
    Formula.FOUR_STAMP: 10e-6,
    Formula.INTERLEAVED: 1e-6,
}

# How far wall and monotonic time may part during an exchange without a step: they are read one
# after the other, and a kernel that slews the one alone does so by no more than 500 ppm.
_STEP_NS = 100_000
_SLEW_PPM = 500

DATE_RESOLUTION = 1.0
"""What a Date header is cut to, s."""


class Rejected(Exception):  # noqa: N818  # not an error here: a verdict on a stranger's reply
    """A reply that is no measurement, with its named reason."""

    def __init__(self, rejection: Rejection, detail: str) -> None:
        super().__init__(f"{rejection}: {detail}")
        self.rejection = rejection
        self.detail = detail


def complete(
    reply: Reply,
    *,
    sent: str,
    t1: Stamp,
    t4: Stamp,
    local_precision: float,
    first: bool = False,
    allow_unsynchronised: bool = False,
    pst_ns: int | None = None,
) -> Reading:
    """The reading of an exchange that `reply` answered, or Rejected.

    `sent` is the token in the request, `local_precision` our clock's own in seconds (RFC 5905
    §7.3), `first` marks the first exchange on a connection. `pst_ns` is the instant at which
    `reply` left, as a later reply told: it counts only together with `rt`.
    """
    if not echoes(sent, reply.it):
        raise Rejected(Rejection.BOGUS, f"the reply answers {reply.it}, not {sent}")
    if reply.sync is False and not allow_unsynchronised:
        raise Rejected(Rejection.UNSYNCHRONISED, "the server's clock is not synchronised")
    t2_ns, t3_ns, formula = reply.st_ns, reply.st_ns, Formula.TWO_STAMP
    if reply.rt_ns is not None:
        t2_ns, formula = reply.rt_ns, Formula.FOUR_STAMP
        if pst_ns is not None:
            t3_ns, formula = pst_ns, Formula.INTERLEAVED
    reading = _reading(
        t2_ns, t3_ns, formula, t1=t1, t4=t4, local=local_precision, resolution=reply.resolution
    )
    return replace(reading, first=first, leap=reply.leap, max_error=reply.max_error)


def from_header(
    st_ns: int,
    *,
    t1: Stamp,
    t4: Stamp,
    local_precision: float,
    resolution: float,
    first: bool = False,
) -> Reading:
    """The reading of an exchange whose reply told one time in a header, or Rejected.

    `resolution` is the worth of the header's last digit in seconds, DATE_RESOLUTION for Date.
    The rest is as in complete.
    """
    formula = Formula.TWO_STAMP
    if resolution >= DATE_RESOLUTION:
        # Date is not rounded but cut: the time is half a second later, give or take half of one.
        formula = Formula.DATE
        st_ns += NS_PER_S // 2
        resolution /= 2
    reading = _reading(
        st_ns, st_ns, formula, t1=t1, t4=t4, local=local_precision, resolution=resolution
    )
    return replace(reading, first=first)


def _reading(
    t2_ns: int,
    t3_ns: int,
    formula: Formula,
    *,
    t1: Stamp,
    t4: Stamp,
    local: float,
    resolution: float,
) -> Reading:
    """The reading that four timestamps make, if they can be those of one exchange."""
    round_trip_ns = _round_trip_ns(t1, t4)
    if t3_ns < t2_ns:
        raise Rejected(
            Rejection.DISORDERED, f"the reply left {t2_ns - t3_ns} ns before the request came"
        )
    if round_trip_ns < t3_ns - t2_ns:
        raise Rejected(
            Rejection.NEGATIVE_DELAY,
            f"the server says it took {t3_ns - t2_ns} ns of a round trip of {round_trip_ns} ns",
        )
    return Reading(
        t1_ns=t1.wall_ns,
        t2_ns=t2_ns,
        t3_ns=t3_ns,
        t4_ns=t4.wall_ns,
        at_ns=t4.monotonic_ns,
        precision=_SERVER_PRECISION[formula] + resolution + _own_precision(t1, t4, local),
        provenance=Provenance(formula, t1.source, t4.source),
    )


def _round_trip_ns(t1: Stamp, t4: Stamp) -> int:
    """T4 - T1 by the wall clock, once the monotonic clock agrees."""
    wall_ns = t4.wall_ns - t1.wall_ns
    monotonic_ns = t4.monotonic_ns - t1.monotonic_ns
    if wall_ns < 0 or monotonic_ns < 0:
        raise Rejected(
            Rejection.DISORDERED,
            f"the reply came {wall_ns} ns ({monotonic_ns} ns monotonic) after the request left",
        )
    parted_ns = abs(wall_ns - monotonic_ns)
    if parted_ns > _STEP_NS + monotonic_ns * _SLEW_PPM // 1_000_000:
        raise Rejected(
            Rejection.STEPPED,
            f"the local clock was set: wall and monotonic time parted by {parted_ns} ns",
        )
    return wall_ns


def _own_precision(t1: Stamp, t4: Stamp, local: float) -> float:
    """rho_local, s: no stamp is better than the clock that it was read from."""
    return sum(max(local, _OWN_PRECISION[stamp.source]) for stamp in (t1, t4)) / 2
