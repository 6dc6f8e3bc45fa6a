"""The context that all connections of the server share."""

from webntpd.server import pages
from webntpd.server.cache import RequestCache
from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.parameters import Limits
from webntpd.server.timesource import TimeSource


class Context:
    """The time, the cross-origin rule, the limits, our own pages, and the request cache.

    Without `fast_paths` h11 and wsproto parse everything; tests compare both.
    """

    __slots__ = (
        "cache",
        "counters",
        "cross_origin",
        "fast_paths",
        "limits",
        "pages",
        "time",
    )  # fmt: skip

    def __init__(
        self,
        time: TimeSource,
        cross_origin: CrossOrigin,
        limits: Limits,
        counters: Counters,
        *,
        fast_paths: bool = True,
    ) -> None:
        self.time = time
        self.cross_origin = cross_origin
        self.limits = limits
        self.counters = counters
        self.fast_paths = fast_paths
        self.pages = pages.load()
        self.cache = RequestCache(time, cross_origin, limits, counters)

    def refresh(self, now_ns: int) -> None:
        """Call before serving: drops replies cached for a second that is over."""
        if self.time.refresh(now_ns):
            self.cache.forget_second()
