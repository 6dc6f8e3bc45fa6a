"""The request cache: the fast path of HTTP, for requests that h11 has already judged.

A client sends the same header block with every request; only the timestamp in its request line
changes. Once h11 has accepted a request, the exact bytes behind the request line are kept, together
with the values that the reply depends on. The next request with the same bytes and a plain request
line gets its reply without a parser. So there is no second grammar of HTTP here that could disagree
with h11's.
"""

import re
from collections import OrderedDict
from functools import partial
from typing import NamedTuple

from webntpd.server.admission import Caller
from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin, Headers
from webntpd.server.pages import PATHS
from webntpd.server.parameters import Limits
from webntpd.server.request import Request
from webntpd.server.template import SecondTemplate, json_headers, ok_head
from webntpd.server.timesource import TimeSource

MAX_BLOCKS = 512
"""Most header blocks in the cache."""
MAX_BLOCK = 1024
"""Longest header block that is kept, bytes."""
MAX_TEMPLATES = 12
"""Most templates kept within a second: one for each Host and origin that clients name."""
MAX_MEMORY = 384 * 1024
"""Most memory for header blocks, bytes. With the templates it is half a mebibyte."""
_BLOCK_MEMORY = 512  # bytes for a header block in both dictionaries, beside its text twice

_PAGES = "|".join(re.escape(path[1:]) for path in sorted(PATHS))
# A timestamp that begins so is of the years 2001 to 2255 and needs no check of its range.
_REQUEST_LINE = re.compile(
    rb"GET (?!/(?:healthz|%b)[? ])/[A-Za-z0-9_./-]*"
    rb"(?:\?([1-8][0-9]{9}\.[0-9]{1,9}))? HTTP/1\.1\r\n" % _PAGES.encode("ascii")
)


class RequestCache:
    """Header blocks that h11 has accepted. The least recently used one goes first."""

    def __init__(
        self, time: TimeSource, cross_origin: CrossOrigin, limits: Limits, counters: Counters
    ) -> None:
        self._time = time
        self._now_ns = time.now_ns
        self._cross_origin = cross_origin
        self._header_size = limits.header_size
        self._counters = counters
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._memory = 0  # of those, bytes
        self._current: dict[bytes, _Current] = {}  # those used in this second
        self._templates: dict[tuple[str, Headers], SecondTemplate] = {}  # of this second

    def answer(self, data: bytes, caller: Caller, arrived_ns: int) -> bytes | None:
        """The reply if `data` is exactly one known request within the limits; else None."""
        match = _REQUEST_LINE.match(data)
        if match is None or len(data) > self._header_size:
            return None
        block = data[match.end() :]
        current = self._current.get(block) or self._renewed(block)
        if current is None:
            return None
        template, forwarded_for = current
        client = caller.direct
        if caller.proxy is not None:
            client = caller.client(forwarded_for)
        if client is not None and not caller.admits(client):
            return None
        self._counters.requests += 1
        return template.render(match[1] or b"0", self._now_ns(), arrived_ns)

    def remember(self, data: bytes, request: Request) -> None:
        """Keep the header block of `data`, which h11 took whole for the one `request`."""
        match = _REQUEST_LINE.match(data)
        if match is None or len(data) - match.end() > MAX_BLOCK:
            return
        block = data[match.end() :]
        if block not in self._known:
            self._memory += _memory(block)
        origin_headers = self._cross_origin.headers(request.origin)
        self._known[block] = _Known(request.host, origin_headers, request.forwarded_for)
        while len(self._known) > MAX_BLOCKS or self._memory > MAX_MEMORY:
            forgotten, _ = self._known.popitem(last=False)
            self._memory -= _memory(forgotten)
            self._current.pop(forgotten, None)

    def forget_second(self) -> None:
        """Drop everything that holds for one second only: the next second has begun."""
        self._current.clear()
        self._templates.clear()

    def _renewed(self, block: bytes) -> "_Current | None":
        if self._time.withheld:
            return None
        known = self._known.get(block)
        if known is None:
            return None
        self._known.move_to_end(block)
        template = self._template(known.host, known.origin_headers)
        current = self._current[block] = (template, known.forwarded_for)
        return current

    def _template(self, host: str, origin_headers: Headers) -> SecondTemplate:
        """The template of this second. Beyond MAX_TEMPLATES, all are dropped and made on demand."""
        template = self._templates.get((host, origin_headers))
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self.forget_second()
            head = partial(_head, self._time.date, origin_headers)
            template = SecondTemplate(self._time.template(host), self._time.second, head)
            self._templates[host, origin_headers] = template
        return template


class _Known(NamedTuple):
    """The parts of one header block that its replies depend on."""

    host: str
    origin_headers: Headers
    forwarded_for: str | None


_Current = tuple[SecondTemplate, str | None]
"""The template for the replies to a header block in this second, and its X-Forwarded-For."""


def _memory(block: bytes) -> int:
    return _BLOCK_MEMORY + 2 * len(block)


def _head(date: str, origin_headers: Headers, length: int) -> bytes:
    return ok_head(json_headers(length, date, origin_headers))
