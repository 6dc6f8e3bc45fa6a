"""What all connections of the server have in common."""

from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.remembered import Remembered
from webntpd.server.timesource import TimeSource


class Site:
    """The time, the rule for other origins' pages, the counters, and the requests known by heart.

    Without `fast` everything is parsed by h11 and wsproto: what the fast paths are held against.
    """

    __slots__ = ("counters", "cross_origin", "fast", "remembered", "time")

    def __init__(
        self, time: TimeSource, cross_origin: CrossOrigin, counters: Counters, *, fast: bool = True
    ) -> None:
        self.time = time
        self.cross_origin = cross_origin
        self.counters = counters
        self.fast = fast
        self.remembered = Remembered(time, cross_origin)
