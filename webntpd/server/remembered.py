"""The fast path of HTTP: requests whose bytes h11 has already judged.

A client sends the same header block with every request; only its timestamp, in the request line,
is new. So the exact bytes behind the request line are remembered once h11 has taken them for one
whole request, together with what the reply depends on. The next request with the same bytes and a
request line of the plainest form is answered without another parse. There is no second grammar of
HTTP here that could disagree with h11's.
"""

import re
from collections import OrderedDict
from functools import partial

from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.limits import Limits
from webntpd.server.pages import PATHS
from webntpd.server.reception import Caller
from webntpd.server.replies import Headers, json_headers, ok_head
from webntpd.server.request import Request
from webntpd.server.stencil import Stencil
from webntpd.server.timesource import TimeSource

MAX_BLOCKS = 512
MAX_BLOCK = 1024
"""How many are remembered, and their greatest length, bytes: half a mebibyte in all."""

_PAGES = "|".join(re.escape(path[1:]) for path in sorted(PATHS))
# A timestamp that begins so is of the years 2001 to 2255 and needs no check of its range.
_REQUEST_LINE = re.compile(
    rb"GET (?!/(?:healthz|%b)[? ])/[A-Za-z0-9_./-]*"
    rb"(?:\?([1-8][0-9]{9}\.[0-9]{1,9}))? HTTP/1\.1\r\n" % _PAGES.encode("ascii")
)


class Remembered:
    """Header blocks that h11 has accepted, those last used last, to the second."""

    def __init__(
        self, time: TimeSource, cross_origin: CrossOrigin, limits: Limits, counters: Counters
    ) -> None:
        self._time = time
        self._now_ns = time.now_ns
        self._cross_origin = cross_origin
        self._header_size = limits.header_size
        self._counters = counters
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._current: dict[bytes, Known] = {}  # those used in this second

    def answer(self, data: bytes, caller: Caller, arrived_ns: int) -> bytes | None:
        """The reply to `data` if that is exactly one request, known, and not one too many."""
        match = _REQUEST_LINE.match(data)
        if match is None or len(data) > self._header_size:
            return None
        block = data[match.end() :]
        known = self._current.get(block) or self._renewed(block)
        if known is None:
            return None
        client = caller.direct
        if known.forwarded_for is not None:
            client = caller.client(known.forwarded_for)
        if client is not None and not client.admit():
            return None
        self._counters.requests += 1
        return known.stencil.render(match[1] or b"0", self._now_ns(), arrived_ns)

    def remember(self, data: bytes, request: Request) -> None:
        """Keep what h11 took, to the last byte, for the one request that this is the digest of."""
        match = _REQUEST_LINE.match(data)
        if match is None or len(data) - match.end() > MAX_BLOCK:
            return
        self._known[data[match.end() :]] = Known(request, self._cross_origin)
        if len(self._known) > MAX_BLOCKS:
            forgotten, _ = self._known.popitem(last=False)
            self._current.pop(forgotten, None)

    def forget_second(self) -> None:
        """Look up anew what is said beside the timestamps, since the next second has begun."""
        self._current.clear()

    def _renewed(self, block: bytes) -> "Known | None":
        if self._time.withheld:
            return None
        known = self._known.get(block)
        if known is not None:
            self._known.move_to_end(block)
            known.refresh(self._time)
            self._current[block] = known
        return known


class Known:
    """What replies to one header block have in common, all but `forwarded_for` for a second."""

    __slots__ = ("_host", "_origin_headers", "forwarded_for", "stencil")

    stencil: Stencil

    def __init__(self, request: Request, cross_origin: CrossOrigin) -> None:
        self._host = request.host
        self._origin_headers = cross_origin.headers(request.origin)
        self.forwarded_for = request.forwarded_for

    def refresh(self, time: TimeSource) -> None:
        """Look up what is said in this second."""
        head = partial(_head, time.date, self._origin_headers)
        self.stencil = Stencil(time.template(self._host), time.second, head)


def _head(date: str, origin_headers: Headers, length: int) -> bytes:
    return ok_head(json_headers(length, date, origin_headers))
