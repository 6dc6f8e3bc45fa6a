"""From the samples of one run to figures: median and 99th percentile of |error|, delay."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.modes import MODES, Mode, Sample, Series, Transport
from benchmarks.common.figures import median, quantile

FEWEST = 20
"""With fewer samples there are no figures: a percentile of them would say nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the samples of one mode over one transport; all in seconds.

    `errors` are absolute, and sorted.
    """

    errors: Sequence[float]
    delay: float

    @property
    def median(self) -> float:
        return median(self.errors)

    @property
    def tail(self) -> float:
        """The 99th percentile."""
        return quantile(self.errors, 0.99)


def figures(measured: Iterable[tuple[float, float]]) -> Figures | None:
    """Of pairs of offset and delay, s; None if there are too few of them."""
    pairs = list(measured)
    if len(pairs) < FEWEST:
        return None
    return Figures(
        errors=sorted(abs(offset) for offset, _ in pairs),
        delay=median([delay for _, delay in pairs]),
    )


def by_mode(
    taken: Mapping[Series, Sequence[Sample]],
) -> Mapping[tuple[Mode, Transport], Figures]:
    """The figures of each mode over each transport that has enough samples of it."""
    found = {}
    for mode in MODES:
        for transport in mode.asking.transports:
            samples = mode.samples(taken.get(Series(transport, mode.asking), ()))
            result = figures((sample.offset, sample.delay) for sample in samples)
            if result is not None:
                found[mode, transport] = result
    return found


def made_of(samples: Iterable[Sample]) -> Mapping[str, int]:
    """How many samples there are of each provenance."""
    return Counter(sample.provenance for sample in samples)
