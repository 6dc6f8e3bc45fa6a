"""How a peer is polled and how the peers are voted on: the configuration of the pure part."""

from dataclasses import dataclass
from typing import Annotated

from webntpd.keys import SAME, Count, Distance, Duration, Form, Help, Poll, Positive
from webntpd.ntp.readings import Smear

MAXDIST = 1.5
"""Distance threshold, s (RFC 5905 A.5.5.3): a peer whose bound is wider is unfit."""


MIN_EXCHANGES = 4
"""A peer with fewer exchanges is not fit to vote. RFC 5905 says the same by other means: the
MAXDISP of empty filter stages keeps the distance above MAXDIST until there are four samples."""


@dataclass(frozen=True, slots=True)
class PeerParameters:
    """How one peer is polled. `minpoll` and `maxpoll` are log2 seconds, the rest seconds."""

    name: Annotated[
        str,
        Form.NAME,
        Help(
            "The name in logs and status, each only once. The default is the URL.",
            example="wss://time.example.org/",
        ),
    ]
    minpoll: Annotated[
        Poll,
        Help(
            "The least and the greatest time between two polls. minpoll is 4 for ws(s)://, 6 for"
            " http(s)://. A default gives way to the other key if that is given. The consumer's own"
            " polls depend on them: see `webntpd consumer-config`.",
            example=4,
        ),
    ] = 4
    maxpoll: Annotated[Poll, SAME] = 6
    burst: Annotated[
        Count,
        Help(
            "Samples a poll, samples of a poll when the server has not been reachable, and the time"
            " between two samples."
        ),
    ] = 4
    iburst: Annotated[Count, SAME] = 8
    burst_interval: Annotated[Duration, SAME] = 2.0
    prefer: Annotated[
        bool,
        Help(
            "Follow this one while it is not outvoted; or measure and show it, but never follow it."
        ),
    ] = False
    noselect: Annotated[bool, SAME] = False
    root_delay: Annotated[
        Distance,
        Help(
            "The server's own distance from true time, where it does not say: they widen the error"
            " bound."
        ),
    ] = 0.0
    root_dispersion: Annotated[Distance, SAME] = 0.0
    smear: Annotated[
        Smear,
        Help(
            'How its clock passes a leap second: "none" if it steps as UTC does, or "noon-to-noon"'
            " if it is smeared evenly from 12 hours before to 12 hours after, as some public"
            " servers are. With a list of leap seconds (see [leap]) the smear is taken out; without"
            " one this peer does not vote meanwhile."
        ),
    ] = Smear.NONE


@dataclass(frozen=True, slots=True)
class SystemParameters:
    """How the peers are voted on.

    `slew` is the largest rate at which RAW itself may be steered, s/s: 0 but for a machine without
    CLOCK_MONOTONIC_RAW.
    """

    minimum_agreeing: Annotated[
        Positive, Help("Publish nothing while fewer peers than this agree.")
    ] = 1
    slew: float = 0.0
