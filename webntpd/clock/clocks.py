"""The clocks that measuring reads, behind one protocol, so that a test can put its own in place.

Scheduling never comes here: it uses trio's deadlines, which a test's virtual clock drives.
"""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from webntpd.ntp.readings import MAX_SLEW, NS_PER_S

CLOSE_PAIR_NS = 1_000
"""Readings of two clocks this close count as one instant, ns; 200 are usual."""
PAIR_ATTEMPTS = 3

logger = logging.getLogger(__name__)


class Clock(Protocol):
    """The clocks that a measurement reads. All instants are integer nanoseconds."""

    @property
    def precision(self) -> float:
        """The smallest step that two readings of the wall clock show, s (RFC 5905 §7.3)."""
        ...

    @property
    def shift_ns(self) -> int:
        """How far the wall clock is ahead of CLOCK_REALTIME, which the kernel stamps with."""
        ...

    @property
    def slew(self) -> float:
        """The largest rate at which RAW itself may be steered, s/s: 0 for a true RAW."""
        ...

    def raw_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW: the local oscillator, which no program slews or steps."""
        ...

    def realtime_ns(self) -> int:
        """The wall clock: the clock under measurement."""
        ...

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC, which is slewed with the wall clock, but never stepped."""
        ...

    def boottime_ns(self) -> int:
        """As monotonic_ns, but it goes on while the machine is suspended."""
        ...


class Pair(NamedTuple):
    """One instant on both scales: the wall clock was read within `window_ns` from `raw_ns` on."""

    raw_ns: int
    wall_ns: int
    window_ns: int


class Windowed(Protocol):
    """A reading of several clocks, which were read within `window_ns`."""

    @property
    def window_ns(self) -> int: ...


W = TypeVar("W", bound=Windowed)


def tightest(read: Callable[[], W]) -> W:
    """The tightest of a few readings: another program may run between two clocks."""
    best = read()
    for _ in range(PAIR_ATTEMPTS - 1):
        if best.window_ns <= CLOSE_PAIR_NS:
            break
        best = min(best, read(), key=lambda each: each.window_ns)
    return best


def read_pair(clock: Clock) -> Pair:
    """RAW and the wall clock at one instant."""
    return tightest(lambda: _read_pair_once(clock))


def _read_pair_once(clock: Clock) -> Pair:
    raw_ns = clock.raw_ns()
    wall_ns = clock.realtime_ns()
    return Pair(raw_ns, wall_ns, clock.raw_ns() - raw_ns)


class SystemClock:
    """The machine's clocks."""

    shift_ns = 0

    def __init__(self) -> None:
        self.precision = measured_precision()
        self.slew = 0.0
        self._raw = time.CLOCK_MONOTONIC_RAW
        if not _is_readable(self._raw):
            # The next best clock: it is slewed, but unlike the wall clock it is never stepped.
            self._raw, self.slew = time.CLOCK_MONOTONIC, MAX_SLEW
            logger.warning(
                "CLOCK_MONOTONIC_RAW cannot be read here: CLOCK_MONOTONIC takes its place, and the"
                " error bounds grow by %.0f %% of the time since each measurement",
                100 * MAX_SLEW,
            )

    # CLOCK_REALTIME. A method around it would double the cost of a reading, and a server reads the
    # clock for each reply.
    realtime_ns = staticmethod(time.time_ns)

    def raw_ns(self) -> int:
        return time.clock_gettime_ns(self._raw)

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


def _is_readable(clock_id: int) -> bool:
    try:
        time.clock_gettime_ns(clock_id)
    except OSError:
        return False
    return True


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
