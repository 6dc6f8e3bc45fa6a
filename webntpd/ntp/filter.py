"""The clock filter (RFC 5905 §10): of a peer's last eight samples, the one to believe.

Delay and error go together: a reply that queued on the way is late by its queueing, and that
lateness is in its delay. So the sample of least delay has the best offset, and the spread of the
others around it, the jitter, says how good it is.

Four deviations from the RFC, each with its reason:

- The order is by distance (half the delay plus the dispersion, which grows with age), as it was
  in RFC 1305, and not by the delay alone. Whoever takes our samples disciplines the clock in the
  meantime, so that an old offset is of a clock that is no more; with the age in the order an old
  sample loses by itself, and the Allan intercept needs no case of its own. See DRIFT.
- A burst takes up one stage, with its best sample. Were each of its samples to take one, eight
  stages would remember two polls; eight polls outlast a buffer that fills up now and then.
- An empty stage carries no dispersion. The RFC gives it 16 s, which keeps a new peer unfit, but
  also makes its interval so wide that it agrees with every liar. `stages` says what is meant.
- A spike is compared with the jitter that was before it came, and leaves the register. Compared
  with a jitter that includes it no spike is ever found: its deviation from one sample is at
  most sqrt(n - 1) times the jitter around it, that is 2.65 with eight stages, and never 3.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import sqrt

from webntpd.ntp.types import (
    MIN_SAMPLES,
    NS_PER_S,
    PHI,
    LeapNotice,
    PeerEstimate,
    PeerParameters,
    Reading,
)

STAGES = 8
SPIKE_GATE = 3.0
"""A spike is farther from the last offset than this many jitters (SGATE of RFC 5905 A.5.2)."""
DRIFT = 5e-6
"""What a sample's offset loses in worth by age, s/s: between the frequency error of a clock under
discipline, below 1e-6, and PHI, the worst of a free one. In simulations of either over a LAN, a
loaded and a mobile path it was never far from the best; PHI gave 1.6 times the error on a
disciplined LAN, a third of this 1.7 times on a free one."""

SortKey = Callable[[Reading, int], float]
"""From a sample and the monotonic instant to the figure by which samples are ordered, s."""


class Outcome(Enum):
    """What became of a sample on insertion."""

    FRESH = auto()  # the best sample is newer than any used before
    STALE = auto()  # the best sample is one that was used already
    POPCORN = auto()  # the best sample was a spike, and was dropped


@dataclass(frozen=True, slots=True)
class Filtered:
    """The best sample; weighted dispersion and jitter around it, s; the number of samples."""

    best: Reading
    dispersion: float
    jitter: float
    stages: int


def distance(reading: Reading, now_ns: int) -> float:
    """What a sample's offset may be wrong by at `now_ns`, s, for the order."""
    return reading.delay / 2 + reading.dispersion + DRIFT * (now_ns - reading.at_ns) / NS_PER_S


def best_of(samples: Iterable[Reading], now_ns: int, key: SortKey = distance) -> Reading:
    """The sample to believe of those that were taken together."""
    return min(samples, key=lambda reading: key(reading, now_ns))


def aged_dispersion(reading: Reading, now_ns: int) -> float:
    """A sample's dispersion at `now_ns`, s: it grows by PHI (RFC 5905 §10)."""
    return reading.dispersion + PHI * max(0, now_ns - reading.at_ns) / NS_PER_S


class ClockFilter:
    """The shift register. `current` is what it holds to be true, None while it has no sample."""

    def __init__(self, key: SortKey = distance) -> None:
        self._key = key
        self._register: deque[Reading | None] = deque(maxlen=STAGES)
        self._used_ns: int | None = None
        self._spiked = False
        self.current: Filtered | None = None

    def insert(self, reading: Reading, now_ns: int, poll: int) -> Outcome:
        """Shift a sample in; `poll` is the log2 of the present poll interval in seconds."""
        before = self.current
        self._register.append(reading)
        current = evaluate(self._samples, now_ns, self._key)
        self.current = current
        # RFC 5905 §10, the prime directive: never use a sample twice, nor one older than the last.
        if self._used_ns is not None and current.best.at_ns <= self._used_ns:
            return Outcome.STALE
        # A genuine step loses one sample only: there are never two spikes running.
        if before is not None and not self._spiked and is_spike(current.best, before, poll):
            self._register.remove(current.best)
            self.current = evaluate(self._samples, now_ns, self._key)
            self._spiked = True
            return Outcome.POPCORN
        self._used_ns = current.best.at_ns
        self._spiked = False
        return Outcome.FRESH

    def miss(self, now_ns: int) -> None:
        """Shift an empty stage in: a dummy sample for polls without an answer (§13.2)."""
        self._register.append(None)
        samples = self._samples
        self.current = evaluate(samples, now_ns, self._key) if samples else None

    def flush(self) -> None:
        """Forget everything: the clock that the samples were of is no more."""
        self._register.clear()
        self._used_ns = None
        self._spiked = False
        self.current = None

    @property
    def _samples(self) -> list[Reading]:
        return [reading for reading in self._register if reading is not None]


def evaluate(samples: Sequence[Reading], now_ns: int, key: SortKey = distance) -> Filtered:
    """The best of the samples, of which there must be one, and how good it is (RFC 5905 §10).

    The dispersion is as of the best sample's instant, from which PeerEstimate.root_distance goes
    on: each place in the order weighs half as much as the one before it, and the sum is 1.
    """
    ordered = sorted(samples, key=lambda reading: key(reading, now_ns))
    best = ordered[0]
    dispersion = sum(
        aged_dispersion(reading, best.at_ns) / 2.0 ** (place + 1)
        for place, reading in enumerate(ordered)
    ) / (1 - 0.5 ** len(ordered))
    squares = sum((best.offset - other.offset) ** 2 for other in ordered[1:])
    jitter = sqrt(squares / max(1, len(ordered) - 1))
    return Filtered(best, dispersion, max(jitter, best.precision), len(ordered))


def estimate_of(
    filtered: Filtered, parameters: PeerParameters, leap: LeapNotice | None
) -> PeerEstimate:
    """What a peer holds to be the offset. A server knows its own maximum error best."""
    best = filtered.best
    configured = parameters.root_dispersion
    return PeerEstimate(
        offset=best.offset,
        delay=best.delay,
        dispersion=filtered.dispersion,
        jitter=filtered.jitter,
        at_ns=best.at_ns,
        root_delay=parameters.root_delay,
        root_dispersion=configured if best.max_error is None else best.max_error,
        provenance=best.provenance,
        leap=leap,
        stages=filtered.stages,
    )


def is_spike(best: Reading, before: Filtered, poll: int) -> bool:
    """Whether the new best sample is out of all proportion to what was known (RFC 5905 A.5.2).

    Before MIN_SAMPLES the jitter says too little; after two poll intervals the clock may have
    moved that far.
    """
    return (
        before.stages >= MIN_SAMPLES
        and abs(best.offset - before.best.offset) > SPIKE_GATE * before.jitter
        and best.at_ns - before.best.at_ns < 2 * 2**poll * NS_PER_S
    )
