"""A clock that a test moves: it follows trio's time, and can be stepped and suspended."""

import trio

from webntpd.ntp.readings import NS_PER_S

EPOCH_NS = 1_700_000_000 * NS_PER_S


class VirtualClock:
    precision = 1e-6
    slew = 0.0

    def __init__(self) -> None:
        self.stepped_ns = 0
        self.suspended_ns = 0

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self.stepped_ns += round(seconds * NS_PER_S)

    def suspend(self, seconds: float) -> None:
        """Sleep with the lid closed: the wall clock and BOOTTIME go on, RAW and MONOTONIC stand."""
        self.suspended_ns += round(seconds * NS_PER_S)
        self.step(seconds)

    def realtime_ns(self) -> int:
        return EPOCH_NS + self.raw_ns() + self.stepped_ns

    def raw_ns(self) -> int:
        return round(trio.current_time() * NS_PER_S)

    def monotonic_ns(self) -> int:
        return self.raw_ns()

    def boottime_ns(self) -> int:
        return self.monotonic_ns() + self.suspended_ns

    @property
    def shift_ns(self) -> int:
        return self.stepped_ns
