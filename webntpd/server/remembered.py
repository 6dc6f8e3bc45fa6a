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

from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.pages import PATHS
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

    def __init__(self, time: TimeSource, cross_origin: CrossOrigin) -> None:
        self._time = time
        self._cross_origin = cross_origin
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def find(self, data: bytes) -> tuple["Known", str] | None:
        """What is known of `data` and its `it`, if that is exactly one request and known."""
        match = _REQUEST_LINE.match(data)
        if match is None:
            return None
        block = data[match.end() :]
        known = self._known.get(block)
        if known is None:
            return None
        if known.second != self._time.second:
            self._known.move_to_end(block)
            known.refresh()
        token = match[1]
        return known, "0" if token is None else token.decode("ascii")

    def remember(self, data: bytes, request: Request) -> None:
        """Keep what h11 took, to the last byte, for the one request that this is the digest of."""
        match = _REQUEST_LINE.match(data)
        if match is None or len(data) - match.end() > MAX_BLOCK:
            return
        self._known[data[match.end() :]] = Known(self._time, self._cross_origin, request)
        if len(self._known) > MAX_BLOCKS:
            self._known.popitem(last=False)


class Known:
    """What replies to one header block have in common, all but `forwarded_for` for a second."""

    __slots__ = ("_host", "_origin_headers", "_time", "forwarded_for", "second", "stencil")

    def __init__(self, time: TimeSource, cross_origin: CrossOrigin, request: Request) -> None:
        self._time = time
        self._host = request.host
        self.forwarded_for = request.forwarded_for
        self._origin_headers = cross_origin.headers(request.origin)
        self.refresh()

    def refresh(self) -> None:
        """Look up what is said in this second."""
        self.second = self._time.second
        head = partial(_head, self._time.date, self._origin_headers)
        self.stencil = Stencil(self._time.template(self._host), self.second, head)


def _head(date: str, origin_headers: Headers, length: int) -> bytes:
    return ok_head(json_headers(length, date, origin_headers))
