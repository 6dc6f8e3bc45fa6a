"""The results of measuring: the track and the estimate of a peer, and the verdict of a vote.

Instants and scales are those of readings.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice, Provenance


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
        """The half width less half of the delay, s."""
        return max(0.0, self.half_width - self.delay / 2)


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
