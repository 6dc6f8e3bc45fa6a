"""The words of one measurement: timestamps, a reading made of four of them, a named failure.

Everything here is immutable. Instants are integer nanoseconds on one of two scales, which are never
mixed: the wall clock (CLOCK_REALTIME, Unix time), which the consumer steers, and RAW
(CLOCK_MONOTONIC_RAW), which no program steers. `now_ns` and `at_ns` are RAW. All estimates are of
X = true time - RAW, in integer nanoseconds; an offset is X - (wall - RAW) at one instant.
Differences (offset, delay, dispersion, jitter, bounds) are float seconds; the sign of an offset is
RFC 5905's: positive when the local clock is behind the true time.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

NS_PER_S = 1_000_000_000

SLEW_DIVISOR = 10
"""Slewing makes a wall-clock interval and the same RAW interval differ by less than this part of
either: chrony, the fastest of all consumers, slews by 83 334 ppm at most, and 1 / 0.916666 is
1.0909."""
MAX_SLEW = 1 / SLEW_DIVISOR
"""The same limit as a rate, s/s."""


class Leap(IntEnum):
    """Warning of a leap second at the end of the current day; values as SHM and SOCK have them."""

    NONE = 0
    INSERT = 1
    DELETE = 2


class Smear(StrEnum):
    """How a server's clock passes a leap second."""

    NONE = "none"  # it steps or repeats a second, as UTC does
    NOON_TO_NOON = "noon-to-noon"  # linearly, from 12 h before the leap second to 12 h after it


class Rejection(StrEnum):
    """Why an exchange gave no sample. Log, status and metrics all show these names."""

    RESOLVE = "resolve"  # the name has no address
    CONNECT = "connect"  # no TCP connection
    PROXY = "proxy"  # the proxy refused the tunnel
    TLS = "tls"  # handshake or certificate
    TIMEOUT = "timeout"  # a step took longer than the peer's timeout
    CLOSED = "closed"  # the server hung up in the middle of an exchange
    HTTP_STATUS = "http-status"
    REDIRECT = "redirect"  # not followed while measuring
    HANDSHAKE = "handshake"  # the WebSocket upgrade was refused or wrong
    PROTOCOL = "protocol"  # not valid HTTP or WebSocket
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"  # not the JSON, header or timestamp that PROTOCOL asks for
    BOGUS = "bogus"  # RFC 5905 §8: `it` is not the token of our request
    UNSYNCHRONISED = "unsynchronised"  # the server says sync: false
    NEGATIVE_DELAY = "negative-delay"
    DISORDERED = "disordered"  # T4 before T1 or T3 before T2
    STEPPED = "stepped"  # the local clock was set during the exchange
    TOO_QUICK = "too-quick"  # the claimed delay is less than the kernel's own round trips allow
    CONTRADICTION = "contradiction"  # the peer's bounds exclude each other: older ones are dropped


class StampSource(StrEnum):
    """Where one of the client's own timestamps was read."""

    KERNEL = "kernel"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Stamp:
    """One of the client's own timestamps: one instant on both scales.

    `raw_ns` errs on the safe side, by `doubt_ns` at most: that of a departure may be early, that of
    an arrival late.
    """

    wall_ns: int
    raw_ns: int
    source: StampSource
    doubt_ns: int = 0


class Formula(StrEnum):
    """Which of the server's times a reading is built on, best last."""

    DATE = "date"  # the Date header alone: whole seconds
    TWO_STAMP = "two-stamp"  # T2 = T3 = `st`
    FOUR_STAMP = "four-stamp"  # T2 = `rt`, T3 = `st`
    INTERLEAVED = "interleaved"  # T2 = `rt`, T3 = `pst`


@dataclass(frozen=True, slots=True)
class Provenance:
    """The formula and the stamps that a reading was made by: the label on each sample."""

    formula: Formula
    t1: StampSource
    t4: StampSource

    def __str__(self) -> str:
        own = self.t1 if self.t1 is self.t4 else f"{self.t1}/{self.t4}"
        return f"{self.formula} {own}"


@dataclass(frozen=True, slots=True)
class LeapNotice:
    """A server's `leap`, `next` and `step`: TAI - UTC before `next`, the instant, and its sign."""

    tai_utc: int
    next_ns: int
    step: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One completed exchange: its timestamps and their quality.

    `t1_ns` to `t4_ns` are wall-clock times, T2 and T3 the server's, T1 and T4 ours. `r1_ns` and
    `r4_ns` are T1 and T4 on the RAW scale. The server cuts its times to `resolution_ns`, as far as
    this one reply shows. `precision` is rho_server + rho_local of RFC 5905 §8 in seconds. `first`
    marks the first exchange on a new connection. `max_error` is the server's `maxerr` in seconds,
    where it sent one; `leap` is None where the server cannot know of leap seconds.
    """

    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    r1_ns: int
    r4_ns: int
    precision: float
    provenance: Provenance
    resolution_ns: int = 1
    first: bool = False
    leap: LeapNotice | None = None
    max_error: float | None = None

    @property
    def at_ns(self) -> int:
        """The RAW instant at which the reply came."""
        return self.r4_ns

    @property
    def delay(self) -> float:
        """Round trip by RAW less the server's own time, s (RFC 5905 §8)."""
        return ((self.r4_ns - self.r1_ns) - (self.t3_ns - self.t2_ns)) / NS_PER_S


@dataclass(frozen=True, slots=True)
class Failure:
    """An exchange that gave no reading. `retry_after` is the server's Retry-After in seconds."""

    rejection: Rejection
    detail: str
    retry_after: float | None = None
