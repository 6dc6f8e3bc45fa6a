"""Notices that the local clock was set or that the machine was suspended.

After either, no earlier sample says anything of the clock as it is now. Slewing and frequency
changes move CLOCK_REALTIME and CLOCK_MONOTONIC alike, so only a step parts the two; a suspend
parts CLOCK_BOOTTIME from CLOCK_MONOTONIC.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import trio

from webntpd.clock import Clock
from webntpd.ntp.types import NS_PER_S

STEP_ALLOWANCE = 100e-6
"""Parting of two clocks that reading them one after the other explains, s."""
STEP_RATE = 500e-6
"""Parting that may come with each second: the kernel's largest frequency correction."""
ATTEMPTS = 3
"""Readings of the clocks, of which the best counts."""


class Discontinuity(StrEnum):
    STEP = "the clock was set"
    SUSPEND = "the machine was suspended"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """All clocks at one instant: the middle of `window_ns`, within which they were read."""

    realtime_ns: int
    boottime_ns: int
    monotonic_ns: int
    window_ns: int


def read_clocks(clock: Clock) -> ClockReading:
    """The tightest of a few readings: between two clocks the machine may run something else."""
    return min((_read_once(clock) for _ in range(ATTEMPTS)), key=lambda each: each.window_ns)


def _read_once(clock: Clock) -> ClockReading:
    before_ns = clock.monotonic_ns()
    realtime_ns, boottime_ns = clock.realtime_ns(), clock.boottime_ns()
    window_ns = clock.monotonic_ns() - before_ns
    return ClockReading(realtime_ns, boottime_ns, before_ns + window_ns // 2, window_ns)


class DiscontinuityDetector:
    """Compares the clocks with how they stood at the check before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = read_clocks(clock)

    def check(self) -> Discontinuity | None:
        """What happened since the last check. Cheap enough to ask before each vote."""
        last, now = self._last, read_clocks(self._clock)
        self._last = now
        elapsed_ns = now.monotonic_ns - last.monotonic_ns
        stepped_ns = abs(now.realtime_ns - last.realtime_ns - elapsed_ns)
        suspended_ns = abs(now.boottime_ns - last.boottime_ns - elapsed_ns)
        unsure_ns = (last.window_ns + now.window_ns) / 2
        allowed_ns = STEP_ALLOWANCE * NS_PER_S + STEP_RATE * elapsed_ns + unsure_ns
        if suspended_ns > allowed_ns:
            return Discontinuity.SUSPEND
        if stepped_ns > allowed_ns:
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


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


def _timer_cancelled_on_set() -> int:
    """A timer that never expires, but whose read fails with ECANCELED when the clock is set."""
    timer: int = _libc.timerfd_create(_CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    spec = _Itimerspec(value_s=_FAR_FUTURE_S)
    flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
    if _libc.timerfd_settime(timer, flags, ctypes.byref(spec), None) < 0:
        os.close(timer)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return timer
