"""What the kernel knows of its own clock: whether it is synchronised, and its maximum error.

ntpd and chrony keep these up to date with ntp_adjtime(2), and the kernel lets the maximum error
grow by 500 ppm in between; after 16 s of it the clock counts as unsynchronised. We only read.
"""

import ctypes
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_TIME_ERROR = 5  # <sys/timex.h>: the return value when the clock is not synchronised
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class ClockState:
    """`max_error` bounds the clock's error, s; None says nothing of it."""

    synchronised: bool
    max_error: float | None


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; what follows maxerror is room for the kernel to fill."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # us
        ("rest", ctypes.c_byte * 256),
    )


ntp_adjtime: Callable[[object], int] = ctypes.CDLL(None, use_errno=True).ntp_adjtime


def kernel_state() -> ClockState:
    """The state of CLOCK_REALTIME. Raises OSError where a sandbox forbids the call."""
    timex = _Timex(modes=0)  # no mode bit set: nothing is changed
    answer = ntp_adjtime(ctypes.byref(timex))
    if answer < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"ntp_adjtime: {os.strerror(errno)}")
    return ClockState(answer != _TIME_ERROR, timex.maxerror / _US_PER_S)


def clock_state_source(
    *, local: bool, max_error: float | None, kernel: Callable[[], ClockState] = kernel_state
) -> Callable[[], ClockState]:
    """A function that tells the clock's state as configured.

    `local` declares the clock good; the kernel's maximum error is not used then, since it grows
    while no daemon disciplines the clock. `max_error` replaces the kernel's, s. Where a sandbox
    forbids to ask the kernel, the clock counts as unsynchronised.
    """
    if local:
        declared = ClockState(synchronised=True, max_error=max_error)
        return lambda: declared
    silent = False

    def state() -> ClockState:
        nonlocal silent
        try:
            told = kernel()
        except OSError as error:
            if not silent:
                logger.warning("the kernel does not tell whether its clock is right: %s", error)
            silent = True
            return ClockState(synchronised=False, max_error=max_error)
        silent = False
        if max_error is not None:
            return ClockState(told.synchronised, max_error)
        return told

    return state
