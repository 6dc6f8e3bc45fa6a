"""From a server's answer to a reading, or to a named rejection (RFC 5905 §8).

An exchange has four timestamps. T1 and T4 are ours: the request left, the reply came. T2 and T3 are
the server's: the request came, the reply left. A server that tells `st` alone gives one time for T2
and T3; `rt` is T2; in interleaved mode the next reply tells T3 as the kernel took it. The formula
of a reading says which of these it uses. The formula and the sources of our stamps decide its
precision.

Our own side is a Trip: two stamps, each one instant on the wall clock and on RAW. Round trips and
delays are differences of RAW, which no program steers; the wall's times are only for statistics.

Precision is rho of RFC 5905 §8: the error of a stamp. The offset halves the sum of both ends'
errors, so each side counts with the mean of its stamps. Only the statistics and `webntpd query`
show it. The constants are orders of magnitude, measured over loopback, where stamps cause every
error. The digits that a server leaves out are not part of the precision: they are the reading's
resolution, and err in one direction only.
"""

from dataclasses import dataclass, replace

from webntpd.ntp.readings import (
    NS_PER_S,
    SLEW_DIVISOR,
    Formula,
    Provenance,
    Reading,
    Rejection,
    Stamp,
    StampSource,
)
from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import Reply, echoes, is_no_echo

# A reading in user space is a system call and the network stack away from the wire, and a wake-up
# when a reply comes. A kernel stamp is a part of the stack away.
_OWN_PRECISION = {StampSource.KERNEL: 1e-6, StampSource.USER: 20e-6}

# `st` is read in user space before the reply is rendered. Of its mean with `rt`, a kernel stamp at
# best, half of that error remains; in interleaved mode both are the kernel's.
_SERVER_PRECISION = {
    Formula.DATE: 20e-6,
    Formula.TWO_STAMP: 20e-6,
    Formula.FOUR_STAMP: 10e-6,
    Formula.INTERLEAVED: 1e-6,
}

# How far wall and RAW time may part during an exchange without a step or a slew: the stamps of both
# are read one after the other.
_STEP_NS = 100_000

# A claimed delay below half of the kernel's least round trip, less 1 ms, cannot be: the route may
# have become somewhat shorter since, and the kernel's figure has some of the server's delays in it.
_QUICK_SHARE = 0.5
_QUICK_SLACK_NS = 1_000_000

MAX_DEPARTURE_NS = 1_000_000
"""A reply leaves within this after `st`, ns. A later stamp may belong to a retransmission,
and would put the floor of X above the truth. Then `st` is used."""

DATE_RESOLUTION_NS = NS_PER_S
"""The resolution of a Date header, ns."""


@dataclass(frozen=True, slots=True)
class Trip:
    """Our stamps of an exchange: the request left at `t1`, the reply came at `t4`.

    `first` marks the first exchange on a connection. `least_round_trip` is the least that the
    kernel has measured on that connection, s, where it leads to the server and not to a proxy.
    """

    t1: Stamp
    t4: Stamp
    first: bool = False
    least_round_trip: float | None = None


class OnWire:
    """The on-wire protocol with one server (RFC 5905 §8); remembers whether the server echoes.

    `local_precision` is our clock's own, s (RFC 5905 §7.3).
    """

    def __init__(self, *, local_precision: float, allow_unsynchronised: bool = False) -> None:
        self._local_precision = local_precision
        self._allow_unsynchronised = allow_unsynchronised
        self._has_echoed = False

    def complete(
        self, reply: Reply, trip: Trip, *, sent: str, pst_ns: int | None = None
    ) -> Reading:
        """The reading of the exchange that `reply` answered. Raises Rejected.

        `sent` is the token in the request. `pst_ns` is the instant at which `reply` left, as a
        later reply told it; it counts only together with `rt`.
        """
        self._check_echo(sent, reply.it)
        if reply.sync is False and not self._allow_unsynchronised:
            raise Rejected(Rejection.UNSYNCHRONISED, "the server's clock is not synchronised")
        t2_ns, t3_ns, formula = reply.st_ns, reply.st_ns, Formula.TWO_STAMP
        if reply.rt_ns is not None:
            t2_ns, formula = reply.rt_ns, Formula.FOUR_STAMP
            if pst_ns is not None and pst_ns - reply.st_ns <= MAX_DEPARTURE_NS:
                t3_ns, formula = pst_ns, Formula.INTERLEAVED
        reading = _reading(t2_ns, t3_ns, formula, trip, self._local_precision, reply.resolution_ns)
        self._has_echoed |= echoes(sent, reply.it)
        return replace(reading, leap=reply.leap, max_error=reply.max_error)

    def _check_echo(self, sent: str, it: str | None) -> None:
        """Reject a reply to another request.

        A server that has echoed a token once must echo each later one. Otherwise an attacker who
        cannot see the requests could forge replies without a token.
        """
        if is_no_echo(it):
            if self._has_echoed:
                raise Rejected(
                    Rejection.BOGUS, f"no echo of {sent} from a server that has echoed before"
                )
        elif not echoes(sent, it):
            raise Rejected(Rejection.BOGUS, f"the reply answers {it}, not {sent}")


def from_header(
    st_ns: int, trip: Trip, formula: Formula, *, resolution_ns: int, local_precision: float
) -> Reading:
    """The reading of an exchange whose reply told one time in a header. Raises Rejected.

    `formula` is DATE or TWO_STAMP, and `resolution_ns` the worth of the header's last digit. The
    rest is as in OnWire.complete.
    """
    return _reading(st_ns, st_ns, formula, trip, local_precision, resolution_ns)


def _reading(
    t2_ns: int, t3_ns: int, formula: Formula, trip: Trip, local: float, resolution_ns: int
) -> Reading:
    """The reading that four timestamps make, if they can be those of one exchange."""
    t1, t4 = trip.t1, trip.t4
    _check_own_clocks(t1, t4)
    _check_delay(t4.raw_ns - t1.raw_ns, t3_ns - t2_ns, resolution_ns, trip.least_round_trip)
    return Reading(
        t1_ns=t1.wall_ns,
        t2_ns=t2_ns,
        t3_ns=t3_ns,
        t4_ns=t4.wall_ns,
        r1_ns=t1.raw_ns,
        r4_ns=t4.raw_ns,
        precision=_SERVER_PRECISION[formula] + _own_precision(t1, t4, local),
        provenance=Provenance(formula, t1.source, t4.source),
        resolution_ns=resolution_ns,
        first=trip.first,
    )


def _check_own_clocks(t1: Stamp, t4: Stamp) -> None:
    """Reject an exchange during which one of our own clocks was set."""
    raw_ns = t4.raw_ns - t1.raw_ns
    if raw_ns < 0:
        raise Rejected(Rejection.DISORDERED, f"the reply came {-raw_ns} ns before the request left")
    parted_ns = t4.wall_ns - t1.wall_ns - raw_ns
    allowed_ns = _STEP_NS + raw_ns // SLEW_DIVISOR + t1.doubt_ns + t4.doubt_ns
    if abs(parted_ns) > allowed_ns:
        raise Rejected(
            Rejection.STEPPED, f"the local clock was set by about {parted_ns} ns meanwhile"
        )


def _check_delay(
    round_trip_ns: int, service_ns: int, resolution_ns: int, least_round_trip: float | None
) -> None:
    """Reject a server's claim of its own time if the round trip has no room for it.

    The time between two cut times may be too long by one resolution.
    """
    if service_ns < 0:
        raise Rejected(
            Rejection.DISORDERED, f"the reply left {-service_ns} ns before the request came"
        )
    delay_ns = round_trip_ns - service_ns + resolution_ns
    if delay_ns < 0:
        raise Rejected(
            Rejection.NEGATIVE_DELAY,
            f"the server says it took {service_ns} ns of a round trip of {round_trip_ns} ns",
        )
    if least_round_trip is None:
        return
    if delay_ns < _QUICK_SHARE * least_round_trip * NS_PER_S - _QUICK_SLACK_NS:
        raise Rejected(
            Rejection.TOO_QUICK,
            f"the server leaves {round_trip_ns - service_ns} ns for the way there and back, and"
            f" the kernel has never seen less than {least_round_trip * NS_PER_S:.0f} ns",
        )


def _own_precision(t1: Stamp, t4: Stamp, local: float) -> float:
    """rho_local, s: no stamp is better than the clock that it was read from."""
    return sum(max(local, _OWN_PRECISION[stamp.source]) for stamp in (t1, t4)) / 2
