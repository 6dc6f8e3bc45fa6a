"""The output of chronyc, as values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

FIELDS = 8
"""Name, points, runs, span, frequency, its skew, offset, standard deviation (chronyc(1))."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """chrony's estimate of a source: from so many points, the offset carried to the request.

    `offset` is true time minus local time, s, as everywhere here; chronyc prints the opposite.
    """

    points: int
    offset: float


def parse(text: str) -> Mapping[str, Statistics]:
    """The output of `chronyc -n -c sourcestats`, by source. Raises ValueError if it is not that."""
    found = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) != FIELDS:
            raise ValueError(f"not a line of sourcestats: {line}")
        found[fields[0]] = Statistics(int(fields[1]), -float(fields[6]))
    return found


def with_poll(refclock: str, poll: int | None) -> str:
    """A refclock line with another poll, log2 s; None leaves it as it is."""
    return refclock if poll is None else re.sub(r"\bpoll \d+", f"poll {poll}", refclock, count=1)
