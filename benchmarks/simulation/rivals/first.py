"""The first version of this daemon: an eight-stage clock filter in the scale of the wall clock.

It is the code of ntp/filter.py, ntp/selection.py and ntp/system.py from before the estimator moved
to RAW, without the parts that do not affect a publication. Its offsets are against the clock that
its consumer moves, so it is in a loop with a consumer of its own. It schedules nothing: it gets the
packets that the present peers ask for.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

from benchmarks.simulation.consumers.wall import Wall
from benchmarks.simulation.network import STAMP_NOISE
from benchmarks.simulation.oscillator import EPOCH_NS, raw_of
from benchmarks.simulation.rivals.packet import Packet
from webntpd.ntp.readings import NS_PER_S

STAGES = 8
MIN_SAMPLES = 4
SPIKE_GATE = 3.0
DRIFT = 5e-6
PHI = 15e-6
MINDISP = 5e-6
MAXDIST = 1.5
NMIN = 3
MISSES = 0b111


@dataclass(frozen=True, slots=True)
class Measured:
    """A sample: `at` is RAW, the rest s."""

    at: float
    offset: float
    delay: float
    dispersion: float
    precision: float

    def distance(self, now: float) -> float:
        return self.delay / 2 + self.dispersion + DRIFT * (now - self.at)


@dataclass(frozen=True, slots=True)
class Filtered:
    """The best sample; dispersion and jitter around it, s."""

    best: Measured
    dispersion: float
    jitter: float
    stages: int

    def root_distance(self, now: float) -> float:
        drift = PHI * (now - self.best.at)
        return max(MINDISP, self.best.delay) / 2 + self.dispersion + drift + self.jitter


@dataclass(frozen=True, slots=True)
class Candidate:
    name: str
    offset: float
    distance: float
    jitter: float

    @property
    def low(self) -> float:
        return self.offset - self.distance

    @property
    def high(self) -> float:
        return self.offset + self.distance


@dataclass
class Register:
    """The clock filter of one peer."""

    stages: deque[Measured | None] = field(default_factory=lambda: deque(maxlen=STAGES))
    burst: list[Measured] = field(default_factory=list)
    current: Filtered | None = None
    used: float | None = None
    spiked: bool = False
    reach: int = 0
    heard: bool = False  # whether it was answered or failed at least once

    def insert(self, sample: Measured, now: float, poll: float) -> None:
        before = self.current
        self.stages.append(sample)
        current = self.evaluate(now)
        assert current is not None
        self.current = current
        if self.used is not None and current.best.at <= self.used:
            return
        if before is not None and not self.spiked and is_spike(current.best, before, poll):
            self.stages.remove(current.best)
            self.current = self.evaluate(now)
            self.spiked = True
            return
        self.used = current.best.at
        self.spiked = False

    def miss(self, now: float) -> None:
        self.stages.append(None)
        self.current = self.evaluate(now)

    def evaluate(self, now: float) -> Filtered | None:
        samples = [sample for sample in self.stages if sample is not None]
        if not samples:
            return None
        ordered = sorted(samples, key=lambda sample: sample.distance(now))
        best = ordered[0]
        dispersion = sum(
            (each.dispersion + PHI * max(0.0, best.at - each.at)) / 2.0 ** (place + 1)
            for place, each in enumerate(ordered)
        ) / (1 - 0.5 ** len(ordered))
        squares = sum((best.offset - other.offset) ** 2 for other in ordered[1:])
        jitter = sqrt(squares / max(1, len(ordered) - 1))
        return Filtered(best, dispersion, max(jitter, best.precision), len(ordered))


def is_spike(best: Measured, before: Filtered, poll: float) -> bool:
    return (
        before.stages >= MIN_SAMPLES
        and abs(best.offset - before.best.offset) > SPIKE_GATE * before.jitter
        and best.at - before.best.at < 2 * poll
    )


class FirstVersion:
    """All peers, the vote, and the wall clock that its consumer steers."""

    def __init__(self, wall: Wall, servers: Sequence[str], poll: float) -> None:
        self.wall = wall
        self._poll = poll
        self._registers = {name: Register() for name in servers}
        self._published: dict[str, float] = {}

    def stamp(self, raw: float) -> int:
        """Its wall clock, ns."""
        return EPOCH_NS + round(self.wall.read(raw) * NS_PER_S)

    def join(self, server: str) -> None:
        self._registers[server] = Register()

    def on_poll_begin(self, server: str) -> None:
        register = self._registers[server]
        register.reach = register.reach << 1 & 0xFF

    def on_stamped(self, packet: Packet, t1_ns: int, t4_ns: int, x_true: float) -> float | None:
        """A packet with the stamps of its own clock."""
        register = self._registers[packet.server]
        register.reach |= 1
        register.heard = True
        now = raw_of(packet.r4_ns)
        round_trip = (t4_ns - t1_ns) / NS_PER_S
        delay = round_trip - (packet.t3_ns - packet.t2_ns) / NS_PER_S
        if delay < 0:
            return None
        precision = STAMP_NOISE + packet.resolution / 2
        sample = Measured(
            at=now,
            offset=(packet.t2_ns - t1_ns + packet.t3_ns - t4_ns) / 2 / NS_PER_S,
            delay=delay,
            dispersion=precision + PHI * round_trip,
            precision=precision,
        )
        if not packet.filling:
            register.burst.append(sample)
            return None
        register.insert(sample, now, self._poll)
        return self._publish(packet.server, now, x_true)

    def on_poll_end(
        self, server: str, raw: float, x_true: float, *, answered: bool
    ) -> float | None:
        register = self._registers[server]
        register.heard = True
        if not answered and not register.reach & MISSES:
            register.miss(raw)
        if register.burst:
            best = min(register.burst, key=lambda sample: sample.distance(raw))
            register.insert(best, raw, self._poll)
            register.burst.clear()
        return self._publish(server, raw, x_true)

    def on_jump(self) -> None:
        """The clock was set, or the machine slept: begin anew."""
        self._published.clear()
        for name in self._registers:
            self._registers[name] = Register()

    def on_leave(self, server: str) -> None:
        self._registers.pop(server, None)

    def _publish(self, server: str, now: float, x_true: float) -> float | None:
        """Publish if this peer has a newer sample and speaks; return the error, s."""
        current = self._registers[server].current
        if current is None or current.stages < MIN_SAMPLES:
            return None
        if self._published.get(server, -1.0) >= current.best.at:
            return None
        self._published[server] = current.best.at
        outcome = self._vote(now)
        if outcome is None or server not in outcome[1]:
            return None
        offset = outcome[0]
        error = offset - (x_true - (self.wall.read(now) - now))
        self.wall.take(now, offset)
        return error

    def _vote(self, now: float) -> tuple[float, set[str]] | None:
        candidates = []
        undecided = 0
        for name, register in self._registers.items():
            current = register.current
            few = current is None or current.stages < MIN_SAMPLES
            if few:
                undecided += register.reach != 0 or not register.heard
            elif register.reach and current is not None:
                distance = current.root_distance(now)
                if distance <= MAXDIST + PHI * self._poll:
                    candidates.append(
                        Candidate(name, current.best.offset, distance, current.jitter)
                    )
        ends = intersection(candidates, len(candidates) + undecided)
        if ends is None:
            return None
        low, high = ends
        survivors = cluster([c for c in candidates if c.low <= high and c.high >= low])
        total = sum(1 / each.distance for each in survivors)
        offset = sum(min(max(c.offset, low), high) / c.distance for c in survivors) / total
        return offset, {each.name for each in survivors}


def intersection(candidates: Sequence[Candidate], electorate: int) -> tuple[float, float] | None:
    quorum = electorate // 2 + 1
    lows = sorted(candidate.low for candidate in candidates)
    highs = sorted(candidate.high for candidate in candidates)

    def is_covered(point: float) -> bool:
        return bisect_right(lows, point) - bisect_left(highs, point) >= quorum

    low = next(filter(is_covered, lows), None)
    high = next(filter(is_covered, reversed(highs)), None)
    return None if low is None or high is None else (low, high)


def cluster(truechimers: Sequence[Candidate]) -> Sequence[Candidate]:
    survivors = sorted(truechimers, key=lambda candidate: (candidate.distance, candidate.name))
    while len(survivors) > NMIN:
        jitters = selection_jitters(survivors)
        worst = max(survivors, key=lambda candidate: jitters[candidate.name] * candidate.distance)
        if jitters[worst.name] <= min(candidate.jitter for candidate in survivors):
            break
        survivors.remove(worst)
    return survivors


def selection_jitters(candidates: Sequence[Candidate]) -> dict[str, float]:
    count = len(candidates)
    mean = sum(candidate.offset for candidate in candidates) / count
    squares = {candidate.name: (candidate.offset - mean) ** 2 for candidate in candidates}
    total = sum(squares.values())
    return {name: sqrt((count * square + total) / (count - 1)) for name, square in squares.items()}
