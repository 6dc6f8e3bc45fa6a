"""The reference client's rule: the average of four, less those of twice the least delay.

It knows no `rt`: theta = st - t4 + delta/2 with delta = t4 - t1. Of several servers it takes the
one of the least delay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from webntpd.ntp.types import NS_PER_S, Reading

SAMPLES = 4
ONE_ROUND = 10.0
"""It asks all servers at once: results that lie farther apart than this, s, are of two rounds."""


@dataclass(frozen=True)
class Result:
    """One server's part: `offset` and `delay` as averaged, s, as of monotonic `at_ns`."""

    offset: float
    delay: float
    at_ns: int


class ReferenceRule:
    """Takes the readings of all servers as they come; each fourth of a server makes a result."""

    def __init__(self) -> None:
        self._pending: dict[str, list[Reading]] = {}
        self._results: list[Result] = []

    def take(self, server: str, reading: Reading) -> float | None:
        """The offset that it would publish now, s, if this reading completes a set."""
        readings = self._pending.setdefault(server, [])
        readings.append(reading)
        if len(readings) < SAMPLES:
            return None
        result = average(readings)
        readings.clear()
        self._results = [
            earlier
            for earlier in self._results
            if result.at_ns - earlier.at_ns < ONE_ROUND * NS_PER_S
        ]
        self._results.append(result)
        return min(self._results, key=lambda each: each.delay).offset


def average(readings: Sequence[Reading]) -> Result:
    """The rule itself."""
    pairs = [_two_stamp(reading) for reading in readings]
    least = min(pair.delay for pair in pairs)
    kept = [pair for pair in pairs if pair.delay < 2 * least]
    return Result(
        offset=sum(pair.offset for pair in kept) / len(kept),
        delay=sum(pair.delay for pair in kept) / len(kept),
        at_ns=pairs[-1].at_ns,
    )


def _two_stamp(reading: Reading) -> Result:
    delay = (reading.t4_ns - reading.t1_ns) / NS_PER_S
    return Result((reading.t3_ns - reading.t4_ns) / NS_PER_S + delay / 2, delay, reading.at_ns)
