"""chrony's own NTP estimator: a regression for each source, and the sources combined.

Each exchange is a sample, as in chrony's own bursts, or only the first of each poll, as without
bursts. The source selection is chrony's in its substance: it finds the interval that most sources
share, selects the nearest source, with a bonus for the one selected before, and combines it with
the sources that are not much farther.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.simulation.oscillator import raw_of
from benchmarks.simulation.regression import Sample, Statistics
from benchmarks.simulation.rivals.packet import Packet

PRECISION = 1e-6
"""The client's and the server's own, s."""
MAX_DELAY_DEV_RATIO = 10.0
"""A sample whose delay grew by more deviations than this is dropped, unless the clock has moved."""
MAX_CLOCK_ERROR = 1e-6
"""The oscillator may drift by this unseen, s/s."""
MAX_DISTANCE = 3.0
RESELECT_DISTANCE = 1e-4
SCORE_LIMIT = 10.0
COMBINE_LIMIT = 3.0
STALE = 4096.0
"""A source that was not heard for so long is out, s; chrony goes by its eight last polls."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The claim of a source at an instant: X is within `distance` of `x`, s."""

    server: str
    x: float
    distance: float

    @property
    def low(self) -> float:
        return self.x - self.distance

    @property
    def high(self) -> float:
        return self.x + self.distance


class ChronyEstimator:
    """All sources, and which one is selected. `bursts` says that each exchange is a sample."""

    def __init__(self, *, bursts: bool = True) -> None:
        self._bursts = bursts
        self._asked: set[str] = set()  # servers whose present poll has given its sample
        self._sources: dict[str, Statistics] = {}
        self._scores: dict[str, float] = {}
        self._selected: str | None = None

    def on_packet(self, packet: Packet) -> float | None:
        if not self._bursts and packet.server in self._asked and not packet.filling:
            return None
        self._asked.add(packet.server)
        source = self._sources.setdefault(packet.server, Statistics(PRECISION, asymmetric=True))
        dispersion = 2 * PRECISION + packet.resolution / 2
        dispersion += (min(source.skew, 1.0) + MAX_CLOCK_ERROR) * packet.round_trip
        sample = Sample(
            raw=(raw_of(packet.r1_ns) + raw_of(packet.r4_ns)) / 2,
            x=packet.x,
            delay=max(packet.delay, PRECISION),
            dispersion=dispersion,
        )
        if is_good(source, sample):
            source.add(sample)
        return None

    def on_poll_end(
        self, server: str, raw: float, x_true: float, *, answered: bool
    ) -> float | None:
        self._asked.discard(server)
        intervals = [
            interval_of(name, source, raw)
            for name, source in self._sources.items()
            if source.line is not None and raw - source.samples[-1].raw < STALE
        ]
        intervals = [interval for interval in intervals if interval.distance <= MAX_DISTANCE]
        agreeing = select(intervals)
        if not agreeing:
            self._selected = None
            return None
        self._reselect(agreeing, server)
        # As chrony, update with the samples of the selected source.
        if server != self._selected or not answered:
            return None
        return self._combined(agreeing, raw) - x_true

    def on_suspend(self) -> None:
        self._sources.clear()
        self._selected = None

    def on_leave(self, server: str) -> None:
        self._sources.pop(server, None)

    def _reselect(self, agreeing: Sequence[Interval], updated: str) -> None:
        by_name = {interval.server: interval for interval in agreeing}
        current = by_name.get(self._selected or "")
        if current is None:
            best = min(agreeing, key=lambda each: each.distance).server
            self._select(best, by_name)
            return
        for name, interval in by_name.items():
            if name != current.server and updated in (name, current.server):
                ratio = current.distance / (interval.distance + RESELECT_DISTANCE)
                self._scores[name] = max(1.0, self._scores.get(name, 1.0) * ratio)
        best = max(by_name, key=lambda name: self._scores.get(name, 1.0))
        if self._scores.get(best, 1.0) > SCORE_LIMIT:
            self._select(best, by_name)

    def _select(self, server: str, names: Iterable[str]) -> None:
        self._selected = server
        self._scores = dict.fromkeys(names, 1.0)

    def _combined(self, agreeing: Sequence[Interval], raw: float) -> float:
        """The mean of the selected source and those like it, weighted by 1/distance."""
        assert self._selected is not None
        nearest = next(each for each in agreeing if each.server == self._selected)
        selected = self._sources[self._selected]
        weights = total = 0.0
        base = selected.at(raw)
        for each in agreeing:
            source = self._sources[each.server]
            apart = abs(source.frequency - selected.frequency)
            limit = COMBINE_LIMIT * (source.skew + selected.skew + MAX_CLOCK_ERROR)
            if each is not nearest and (
                each.distance > COMBINE_LIMIT * (nearest.distance + RESELECT_DISTANCE)
                or apart > limit
            ):
                continue
            weights += 1 / each.distance
            total += (source.at(raw) - base) / each.distance
        return base + total / weights


def is_good(source: Statistics, sample: Sample) -> bool:
    """chrony's test C: the delay grew no more than the deviation explains, or the clock moved."""
    line = source.line
    if line is None:
        return True
    elapsed = sample.raw - source.samples[-1].raw
    allowed = line.deviation * MAX_DELAY_DEV_RATIO + elapsed * (source.skew + MAX_CLOCK_ERROR)
    increase = (sample.delay - source.min_delay) / 2
    if increase < allowed:
        return True
    return abs(sample.x - source.at(sample.raw)) - increase > allowed


def interval_of(server: str, source: Statistics, raw: float) -> Interval:
    """The tightest claim of a source's samples at RAW `raw`."""

    def distance(sample: Sample) -> float:
        return sample.delay / 2 + sample.dispersion + source.skew * (raw - sample.raw)

    best = min(source.fitted, key=distance)
    x = best.x + source.frequency * (raw - best.raw)
    return Interval(server, x, distance(best))


def select(intervals: Sequence[Interval]) -> Sequence[Interval]:
    """The sources within the interval that most share, if those are a majority."""
    ends = sorted([(each.low, 0) for each in intervals] + [(each.high, 1) for each in intervals])
    depth = best = 0
    low = high = math.nan
    for value, is_high in ends:
        if is_high:
            if depth == best:
                high = value if math.isnan(high) else high
            depth -= 1
        else:
            depth += 1
            if depth > best:
                best, low, high = depth, value, math.nan
    if best <= len(intervals) // 2:
        return ()
    return [
        each
        for each in intervals
        if (each.low <= low and each.high >= high) or (each.low >= low and each.high <= high)
    ]
