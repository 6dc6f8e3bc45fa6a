"""Notices that the local clock was set, or that RAW missed some time.

CLOCK_REALTIME and CLOCK_MONOTONIC are slewed alike: only a step parts them. A step is logged and
changes nothing else, since measurements are kept on the RAW scale, which no program steps. A
suspend is worse: RAW stands still meanwhile, so earlier measurements no longer hold. It parts
CLOCK_BOOTTIME from CLOCK_MONOTONIC. In a virtual machine that is restored, the hypervisor has set
the clocks instead: then RAW and CLOCK_MONOTONIC part by more than slewing explains.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import trio

from webntpd.clock.clocks import Clock, tightest
from webntpd.ntp.readings import MAX_SLEW, NS_PER_S

ALLOWANCE_NS = 100_000
"""Two clocks may part by this, because they are read one after the other, ns."""
STEP_RATE = 500e-6
"""Wall and monotonic time may part by this rate without a step, s/s. On Linux they do not; a kernel
that imitates it may correct each by itself."""


class Discontinuity(StrEnum):
    STEP = "the clock was set"
    SUSPEND = "the machine was suspended"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """All clocks, read within `window_ns`."""

    raw_ns: int
    monotonic_ns: int
    boottime_ns: int
    realtime_ns: int
    window_ns: int


def read_clocks(clock: Clock) -> ClockReading:
    """All clocks at one instant."""
    return tightest(lambda: _read_once(clock))


def _read_once(clock: Clock) -> ClockReading:
    raw_ns = clock.raw_ns()
    monotonic_ns, boottime_ns = clock.monotonic_ns(), clock.boottime_ns()
    realtime_ns = clock.realtime_ns()
    return ClockReading(raw_ns, monotonic_ns, boottime_ns, realtime_ns, clock.raw_ns() - raw_ns)


class DiscontinuityDetector:
    """Compares the clocks with how they stood at the check before.

    `step` is how far the wall clock was set ahead between the last two checks, s. It has a meaning
    only where check() says STEP.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = read_clocks(clock)
        self.step = 0.0

    def check(self) -> Discontinuity | None:
        """The discontinuity since the last check, if any. It costs little enough for each vote."""
        last, now = self._last, read_clocks(self._clock)
        self._last = now
        raw_ns = now.raw_ns - last.raw_ns
        monotonic_ns = now.monotonic_ns - last.monotonic_ns
        boottime_ns = now.boottime_ns - last.boottime_ns
        stepped_ns = now.realtime_ns - last.realtime_ns - monotonic_ns
        self.step = stepped_ns / NS_PER_S
        # Slewing parts RAW and monotonic time by a share of either. The lesser one counts: the
        # other one may have jumped.
        elapsed_ns = max(0, min(raw_ns, monotonic_ns))
        unsure_ns = ALLOWANCE_NS + last.window_ns + now.window_ns
        if abs(boottime_ns - monotonic_ns) > unsure_ns:
            return Discontinuity.SUSPEND
        if abs(monotonic_ns - raw_ns) > MAX_SLEW * elapsed_ns + unsure_ns:
            return Discontinuity.SUSPEND
        if abs(stepped_ns) > STEP_RATE * elapsed_ns + unsure_ns:
            return Discontinuity.STEP
        return None


async def watch_for_clock_set(notify: Callable[[], None]) -> None:
    """Call `notify` whenever CLOCK_REALTIME was set, resuming from a suspend included.

    Returns at once on a kernel that will not tell: the detector's checks then notice it later.
    """
    try:
        timer = _timer_cancelled_on_set()
    except OSError:
        return
    try:
        while True:
            await trio.lowlevel.wait_readable(timer)
            try:
                os.read(timer, 8)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno != errno.ECANCELED:
                    raise
                notify()
    finally:
        os.close(timer)


# timerfd_create(2); Python offers it from 3.13 on.
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
_FAR_FUTURE_S = 2**40
_CLOCK_REALTIME = 0
_libc = ctypes.CDLL(None, use_errno=True)
timerfd_create: Callable[[int, int], int] = _libc.timerfd_create
timerfd_settime: Callable[[int, int, object, None], int] = _libc.timerfd_settime


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


def _timer_cancelled_on_set() -> int:
    """A timer that never expires, but whose read fails with ECANCELED when the clock is set."""
    timer = timerfd_create(_CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    spec = _Itimerspec(value_s=_FAR_FUTURE_S)
    flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
    if timerfd_settime(timer, flags, ctypes.byref(spec), None) < 0:
        os.close(timer)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return timer
