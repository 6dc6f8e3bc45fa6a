"""How a peer is polled and how the peers are voted on: the configuration of the pure part."""

from dataclasses import dataclass

from webntpd.ntp.readings import Smear

MAXDIST = 1.5
"""Distance threshold, s (RFC 5905 A.5.5.3): a peer whose bound is wider is unfit."""


MIN_EXCHANGES = 4
"""A peer with fewer exchanges is not fit to vote. RFC 5905 says the same by other means: the
MAXDISP of empty filter stages keeps the distance above MAXDIST until there are four samples."""


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
