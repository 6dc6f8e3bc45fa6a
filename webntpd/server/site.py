"""What all connections of the server have in common."""

from dataclasses import dataclass

from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.timesource import TimeSource


@dataclass(frozen=True, slots=True)
class Site:
    """The time, the rule for other origins' pages, and the counters."""

    time: TimeSource
    cross_origin: CrossOrigin
    counters: Counters
