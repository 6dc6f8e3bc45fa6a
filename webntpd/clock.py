"""The clocks that measuring reads, behind one protocol, so that a test can put its own in place.

Scheduling never comes here: it uses trio's deadlines, which a test's virtual clock drives.
"""

import time
from typing import Protocol

from webntpd.ntp.types import NS_PER_S


class Clock(Protocol):
    """What a measurement needs to know of time. All instants are integer nanoseconds."""

    @property
    def precision(self) -> float:
        """The smallest step that two readings of the wall clock show, s (RFC 5905 §7.3)."""
        ...

    @property
    def shift_ns(self) -> int:
        """How far the wall clock is ahead of the kernel's own, of which the kernel's stamps are."""
        ...

    def realtime_ns(self) -> int:
        """The wall clock: the one that is being measured."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that is never stepped."""
        ...

    def boottime_ns(self) -> int:
        """As monotonic_ns, but it goes on while the machine is suspended."""
        ...


class SystemClock:
    """The machine's clocks."""

    shift_ns = 0

    def __init__(self) -> None:
        self.precision = measured_precision()

    # CLOCK_REALTIME. Not called from a method, which would double what a reading takes: a server
    # reads the clock for each reply.
    realtime_ns = staticmethod(time.time_ns)

    def monotonic_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class ShiftedClock(SystemClock):
    """The machine's clocks with a wall clock that is wrong by a known amount."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift_ns = round(shift * NS_PER_S)

    def realtime_ns(self) -> int:
        return super().realtime_ns() + self.shift_ns


def measured_precision(rounds: int = 64) -> float:
    """The least positive difference of two successive readings of CLOCK_REALTIME, s."""
    least_ns = NS_PER_S
    for _ in range(rounds):
        before = time.clock_gettime_ns(time.CLOCK_REALTIME)
        while (after := time.clock_gettime_ns(time.CLOCK_REALTIME)) == before:
            pass
        if 0 < after - before < least_ns:
            least_ns = after - before
    return least_ns / NS_PER_S
