"""The values that travel from an exchange to a refclock, and the parameters of each step.

Everything here is immutable. Instants are integer nanoseconds on one of two scales, which are never
mixed: the wall clock (CLOCK_REALTIME, Unix time), which the consumer steers, and RAW
(CLOCK_MONOTONIC_RAW), which no program steers. `now_ns` and `at_ns` are RAW. All estimates are of
X = true time - RAW, in integer nanoseconds; an offset is X - (wall - RAW) at one instant.
Differences (offset, delay, dispersion, jitter, bounds) are float seconds; the sign of an offset is
RFC 5905's: positive when the local clock is behind the true time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol

NS_PER_S = 1_000_000_000

MAXDIST = 1.5
"""Distance threshold, s (RFC 5905 A.5.5.3): a peer whose bound is wider is unfit."""
MIN_EXCHANGES = 4
"""A peer with fewer exchanges is not fit to vote. RFC 5905 says the same by other means: the
MAXDISP of empty filter stages keeps the distance above MAXDIST until there are four samples."""


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
    BOGUS = "bogus"  # RFC 5905 §8: `it` is not what was sent
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


@dataclass(frozen=True, slots=True)
class Frequency:
    """dX/dRAW: how fast true time gains on the local oscillator, s/s.

    Three times `uncertainty` bounds the error of `value`. `wander` is how fast `value` itself may
    change, s/s per s.
    """

    value: float
    uncertainty: float
    wander: float


UNKNOWN_FREQUENCY = Frequency(0.0, 170e-6, 1e-9)
"""The prior of an oscillator that was never measured: three times its uncertainty are 510 ppm, and
no oscillator is off by more. With a third of that, one that is 200 ppm off would never publish."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The two bounds of X that one poll of a peer gave, each with its RAW instant.

    X <= `ceiling_ns` at `ceiling_at_ns`, and X >= `floor_ns` at `floor_at_ns`. `delay` is the least
    ceiling - floor of a single exchange of the poll, s.
    """

    ceiling_ns: int
    ceiling_at_ns: int
    floor_ns: int
    floor_at_ns: int
    delay: float


@dataclass(frozen=True, slots=True)
class Track:
    """The measurements of a peer: its window of bounds, oldest first, and its line.

    `frequency` is the peer's own: the prior, blended with its line as soon as it has one. `sigma`
    is the weighted standard deviation of the line's residuals, s, and `line_start_ns` the RAW
    instant of its first point; both are None without a line. `exchanges` counts the peer's good
    samples since its start or a suspend. `root_error` is the larger of the server's `maxerr` and
    the configured root dispersion, s; `root_delay` is as configured, s.
    """

    entries: tuple[Entry, ...]
    frequency: Frequency
    exchanges: int
    last_reply_ns: int
    sigma: float | None = None
    line_start_ns: int | None = None
    root_delay: float = 0.0
    root_error: float = 0.0
    provenance: Provenance | None = None
    leap: LeapNotice | None = None


def seconds_between(earlier_ns: int, later_ns: int) -> float:
    """The seconds from one instant to another on the same scale."""
    return (later_ns - earlier_ns) / NS_PER_S


class Guess(Protocol):
    """A guess of X: its RAW instant, the frequency that moves it on, the growth of its bound."""

    @property
    def at_ns(self) -> int: ...
    @property
    def frequency(self) -> Frequency: ...
    @property
    def growth(self) -> float: ...


def carried(guess: Guess, x_ns: int, raw_ns: int, wall_ns: int) -> float:
    """The offset, s: the guess `x_ns` carried to RAW `raw_ns`, less wall - RAW at that instant."""
    moved = guess.frequency.value * seconds_between(guess.at_ns, raw_ns)
    return (x_ns - (wall_ns - raw_ns)) / NS_PER_S + moved


def aging(guess: Guess, raw_ns: int) -> float:
    """The growth of a guess's bound from its instant to RAW `raw_ns`, s."""
    elapsed = seconds_between(guess.at_ns, raw_ns)
    return (guess.growth + guess.frequency.wander * elapsed / 2) * elapsed


@dataclass(frozen=True, slots=True)
class PeerEstimate:
    """X at RAW `at_ns`, by the measurements of one peer.

    The truth lies between `low_ns` and `high_ns` if the server is right; `mid_ns`, between them, is
    the best guess. From `at_ns` on the guess moves by `frequency`. After t seconds each bound is
    farther from it by growth * t + wander * t^2 / 2, where the wander is the frequency's. In
    seconds are `jitter` (sigma), `delay`, the least of the window, and `spread`, half of the
    distance of the two bounds around the guess, widened like an interval.
    """

    at_ns: int
    mid_ns: int
    low_ns: int
    high_ns: int
    frequency: Frequency
    growth: float
    jitter: float
    delay: float
    spread: float
    root_delay: float = 0.0
    root_error: float = 0.0
    provenance: Provenance | None = None
    leap: LeapNotice | None = None

    @property
    def half_width(self) -> float:
        """Half of the distance between the bounds at `at_ns`, s."""
        return (self.high_ns - self.low_ns) / 2 / NS_PER_S

    def offset(self, raw_ns: int, wall_ns: int) -> float:
        """The offset of a wall clock that showed `wall_ns` at RAW `raw_ns`, s."""
        return carried(self, self.mid_ns, raw_ns, wall_ns)

    def error_bound(self, raw_ns: int) -> float:
        """The bound of that offset's error, s: it reaches to the farther end, and grows."""
        farther_ns = max(self.high_ns - self.mid_ns, self.mid_ns - self.low_ns)
        return farther_ns / NS_PER_S + aging(self, raw_ns)

    @property
    def dispersion(self) -> float:
        """The part of the half width that is not the delay's, s."""
        return max(0.0, self.half_width - self.delay / 2)


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer's state after an event, for the system process and for every view.

    `track` is None until there is a sample. `fresh` says that `track` has new samples to publish,
    and at least MIN_EXCHANGES in all. Reports with new samples come at the end of a poll, and after
    each exchange of an iburst. `reach` is the 8-bit register, `poll` log2 seconds, `next_poll_ns`
    RAW. The peer began, or began anew after a suspend, at `began_ns`; `first_reply_ns` is of the
    first answer since. `readings` are the new samples: each is in one report only. `stamps` counts
    the good samples since the start by their provenance.
    """

    name: str
    reach: int
    poll: int
    track: Track | None
    fresh: bool
    at_ns: int
    next_poll_ns: int
    readings: tuple[Reading, ...] = ()
    began_ns: int = 0
    first_reply_ns: int | None = None
    last_reply_ns: int | None = None
    last_failure: Failure | None = None
    rejections: Mapping[Rejection, int] = field(default_factory=dict)
    stamps: Mapping[Provenance, int] = field(default_factory=dict)
    prefer: bool = False
    noselect: bool = False

    @property
    def samples(self) -> int:
        """The number of good samples since the start."""
        return sum(self.stamps.values())


class Tally(StrEnum):
    """A peer's fate in the last vote; the values are ntpq's characters."""

    UNFIT = " "
    FALSETICKER = "x"
    OUTLIER = "-"
    SURVIVOR = "+"
    SYSTEM_PEER = "*"


class NoEstimate(StrEnum):
    """Why the system process has nothing to publish."""

    NO_PEER = "no peer is reachable and fit"
    WAITING = "the peers have too few samples yet"
    NO_MAJORITY = "no majority of the peers agrees"
    TOO_FEW = "fewer peers agree than minimum_agreeing asks for"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The combined X of the peers that speak, at RAW `at_ns`.

    `error` bounds its error, s, as long as a majority of the peers tells the truth; from `at_ns` on
    it grows as a PeerEstimate's bounds do. X moves by `frequency`: the one that the peers have
    measured together, or else the system peer's own. `system_peer` is the speaker of least
    distance, with a bonus for staying; preferred peers speak alone.
    """

    at_ns: int
    x_ns: int
    error: float
    growth: float
    jitter: float
    frequency: Frequency
    system_peer: str
    leap: Leap = Leap.NONE

    def offset(self, raw_ns: int, wall_ns: int) -> float:
        """The offset of a wall clock that showed `wall_ns` at RAW `raw_ns`, s."""
        return carried(self, self.x_ns, raw_ns, wall_ns)

    def error_bound(self, raw_ns: int) -> float:
        """The bound of that offset's error, s: it grows with age."""
        return self.error + aging(self, raw_ns)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one vote: an estimate or the reason for none, and each peer's tally.

    `estimates` has each peer with a sample, by name. `weights` are the shares of the peers that the
    estimate is made of; they sum to 1. `frequency` is the oscillator's as the peers that agreed in
    the vote before have measured it together, None if none of them has a line.
    """

    estimate: Estimate | NoEstimate
    tallies: Mapping[str, Tally]
    estimates: Mapping[str, PeerEstimate] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    frequency: Frequency | None = None

    @property
    def speakers(self) -> tuple[str, ...]:
        """The peers that the estimate is made of, the heaviest first."""
        return tuple(sorted(self.weights, key=lambda name: (-self.weights[name], name)))


@dataclass(frozen=True, slots=True)
class Publication:
    """One sample for a consumer: at wall-clock `receive_ns` the true time was `offset` s ahead.

    `error` bounds the offset's error, s.
    """

    receive_ns: int
    offset: float
    error: float
    leap: Leap


@dataclass(frozen=True, slots=True)
class PeerParameters:
    """How one peer is polled. `minpoll` and `maxpoll` are log2 seconds, the rest seconds.

    `burst` is the number of exchanges a poll, `iburst` the number when the peer is unreachable
    at the start of a poll (1 for none), `burst_interval` the time between two of them.
    """

    name: str
    minpoll: int = 4
    maxpoll: int = 6
    burst: int = 4
    iburst: int = 8
    burst_interval: float = 2.0
    prefer: bool = False
    noselect: bool = False
    root_delay: float = 0.0
    root_dispersion: float = 0.0
    smear: Smear = Smear.NONE


@dataclass(frozen=True, slots=True)
class SystemParameters:
    """How the peers are voted on: `minimum_agreeing` peers that agree are needed to publish.

    `slew` is the largest rate at which RAW itself may be steered, s/s: 0 but for a machine without
    CLOCK_MONOTONIC_RAW.
    """

    minimum_agreeing: int = 1
    slew: float = 0.0


# What a peer asks of its task. Every answer of a peer ends with exactly one Measure or Wait.


@dataclass(frozen=True, slots=True)
class Measure:
    """Make one exchange; answer with on_readings or on_failure. `last` ends a burst."""

    last: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Call on_timer at RAW `until_ns`, or on_suspend when that comes first."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection; the next Measure opens a new one."""


@dataclass(frozen=True, slots=True)
class Report:
    """Pass the report on to the system process."""

    report: PeerReport


Action = Measure | Wait | Disconnect | Report
