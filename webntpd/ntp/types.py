"""The values that travel from an exchange to a refclock, and the parameters of each step.

Everything here is immutable. Instants are integer nanoseconds: `*_ns` of a wall clock are Unix
time, `now_ns` and `at_ns` are of a monotonic clock, and the two are never mixed. Differences
(offset, delay, dispersion, jitter, distances) are float seconds; the sign of an offset is RFC
5905's: positive when the local clock is behind the true time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

NS_PER_S = 1_000_000_000

PHI = 15e-6
"""Frequency tolerance, s/s (RFC 5905 §7.2)."""
MAXDISP = 16.0
"""Maximum dispersion, s: that of a filter stage which holds no sample."""
MAXDIST = 1.5
"""Distance threshold, s: a peer whose root distance is larger is unfit."""
MINDISP = 5e-6
"""Minimum dispersion increment, s. RFC 5905 has 5 ms, which would hide every difference between
peers whose errors are microseconds."""
MIN_SAMPLES = 4
"""A filter with fewer samples is not fit to vote. RFC 5905 says the same by other means: the
MAXDISP of its empty stages keeps the distance above MAXDIST until there are four samples."""


class Leap(IntEnum):
    """Warning of a leap second at the end of the current day; values as SHM and SOCK have them."""

    NONE = 0
    INSERT = 1
    DELETE = 2


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
    STEPPED = "stepped"  # the local clock jumped during the exchange
    POPCORN = "popcorn"  # RFC 5905 A.5.2: a spike


class StampSource(StrEnum):
    """Where one of the client's own timestamps was read."""

    KERNEL = "kernel"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Stamp:
    """One of the client's own timestamps: wall clock and monotonic clock at the same instant."""

    wall_ns: int
    monotonic_ns: int
    source: StampSource


class Formula(StrEnum):
    """Which of the server's times a reading is built on, best last."""

    DATE = "date"  # the Date header alone: whole seconds
    TWO_STAMP = "two-stamp"  # T2 = T3 = `st`
    FOUR_STAMP = "four-stamp"  # T2 = `rt`, T3 = `st`
    INTERLEAVED = "interleaved"  # T2 = `rt`, T3 = `pst`


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a reading was made of: the label on each sample."""

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
    """One completed exchange: four wall-clock timestamps and what is known of their quality.

    `at_ns` is the monotonic instant of T4. `precision` is rho_server + rho_local of RFC 5905 §8
    in seconds. `first` marks the first exchange on a new connection. `max_error` is the server's
    `maxerr` in seconds, where it sent one.
    """

    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    at_ns: int
    precision: float
    provenance: Provenance
    first: bool = False
    leap: LeapNotice | None = None
    max_error: float | None = None

    @property
    def offset(self) -> float:
        """True time minus local time, s (RFC 5905 §8). Halved as integers: floats lose digits."""
        return ((self.t2_ns - self.t1_ns) + (self.t3_ns - self.t4_ns)) / 2 / NS_PER_S

    @property
    def delay(self) -> float:
        """Round trip less the server's own time, s (RFC 5905 §8)."""
        return ((self.t4_ns - self.t1_ns) - (self.t3_ns - self.t2_ns)) / NS_PER_S

    @property
    def dispersion(self) -> float:
        """epsilon_0 = rho_server + rho_local + PHI * (T4 - T1), s (RFC 5905 §8)."""
        return self.precision + PHI * (self.t4_ns - self.t1_ns) / NS_PER_S


@dataclass(frozen=True, slots=True)
class Failure:
    """An exchange that gave no reading. `retry_after` is the server's Retry-After in seconds."""

    rejection: Rejection
    detail: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class PeerEstimate:
    """What a peer's filter holds to be the offset, as of the sample taken at `at_ns`.

    `root_delay` and `root_dispersion` are of the server's own path to true time, s. `stages` is
    the number of samples that the filter holds.
    """

    offset: float
    delay: float
    dispersion: float
    jitter: float
    at_ns: int
    root_delay: float = 0.0
    root_dispersion: float = 0.0
    provenance: Provenance | None = None
    leap: LeapNotice | None = None
    stages: int = 8

    def root_distance(self, now_ns: int, min_dispersion: float = MINDISP) -> float:
        """Lambda, s: the bound on this estimate's error at `now_ns` (RFC 5905 A.5.5.2)."""
        return (
            max(min_dispersion, self.root_delay + self.delay) / 2
            + self.root_dispersion
            + self.dispersion
            + PHI * (now_ns - self.at_ns) / NS_PER_S
            + self.jitter
        )


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer's state after an event, for the system process and for every view.

    `fresh` says that `estimate` is newer than in any fresh report before, and worth a publication:
    not in the middle of a burst, nor with fewer than MIN_SAMPLES. `reach` is the 8-bit register,
    `poll` log2 seconds, `next_poll_ns` monotonic. `readings` are the samples that the event itself
    brought: each is in one report only. `stamps` counts the good samples since the start by what
    they were made of.
    """

    name: str
    reach: int
    poll: int
    estimate: PeerEstimate | None
    fresh: bool
    at_ns: int
    next_poll_ns: int
    readings: tuple[Reading, ...] = ()
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
    """The combined offset of the survivors at monotonic `at_ns`: what refclocks publish.

    `root_distance` bounds the error, s, as long as a majority of the peers tells the truth;
    `system_peer` is the preferred survivor, else the one of least root distance.
    """

    offset: float
    jitter: float
    root_distance: float
    at_ns: int
    system_peer: str
    leap: Leap = Leap.NONE


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one vote: an estimate or the reason for none, and each peer's tally.

    `weights` are the shares in the estimate's offset of those who speak: the preferred survivors,
    else all; they sum to 1.
    """

    estimate: Estimate | NoEstimate
    tallies: Mapping[str, Tally]
    survivors: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class SystemParameters:
    """How the peers are voted on: `minimum_agreeing` survivors are needed to publish."""

    minimum_agreeing: int = 1
    min_dispersion: float = MINDISP


# What a peer asks of its task. Every answer of a peer ends with exactly one Measure or Wait.


@dataclass(frozen=True, slots=True)
class Measure:
    """Make one exchange; answer with on_readings or on_failure. `last` ends a burst."""

    last: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Call on_timer at monotonic `until_ns`, or on_discontinuity when that comes first."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection; the next Measure opens a new one."""


@dataclass(frozen=True, slots=True)
class Report:
    """Pass the report on to the system process."""

    report: PeerReport


Action = Measure | Wait | Disconnect | Report
