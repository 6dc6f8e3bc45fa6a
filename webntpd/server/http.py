"""One HTTP/1.1 request and its reply, parsed by h11: bytes in, bytes out, nothing raised.

h11 judges what is a valid request. A request is answered once it is complete, its body included,
so that `rt` is the arrival of what completed it. Bodies mean nothing here: they are read over,
within a bound, to find the next request behind them.

The end of a request must be beyond dispute. Otherwise a proxy may see one request where we see two,
and give the second reply to another client (RFC 9112 §11.2). So what servers are
known to read in different ways is refused where the RFC leaves it open and h11 takes it, and with
a body in chunks a connection ends.
"""

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

import h11

from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import format_timestamp, parse_request
from webntpd.server import handshake, pages
from webntpd.server.admission import Caller
from webntpd.server.clients import Client
from webntpd.server.context import Context
from webntpd.server.crossorigin import Headers
from webntpd.server.request import Request
from webntpd.server.template import json_headers

MAX_BODY = 4096
"""Largest request body that is read over, bytes."""
MAX_HEADERS = 100
"""Most header fields of a request."""

_ALLOW = ("Allow", "GET, HEAD, OPTIONS")
_CLOSE = ("Connection", "close")
_UNSYNCED = "the clock of this server is not synchronised"
_RETRY_SYNC = ("Retry-After", "60")

# RFC 9110 §9.3 and RFC 5789: the methods that are known, but not served here.
_NOT_ALLOWED = frozenset({"POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH"})
# RFC 9112 §2.2: empty lines before a request are ignored.
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")
# RFC 9112 §2.2 and §5.2: a line that ends with LF alone, and one that goes on in the next.
_LOOSE_LINE = re.compile(rb"(?<!\r)\n|\n[ \t]")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A WebSocket that was accepted; `trailing` is what its client has already sent on it."""

    host: str
    client: Client | None
    interleaved: bool
    trailing: bytes


class Http:
    """The server's side of one request.

    `done` says that it is answered, and `rest` is the input behind it. `closing` says that the
    connection ends with the output returned last, `upgrade` that a WebSocket goes on from there.
    Nothing may be fed after any of these. `served` is the request if it was answered with the time.
    """

    __slots__ = (
        "_before",
        "_body",
        "_caller",
        "_context",
        "_h11",
        "_last",
        "_request",
        "closing",
        "done",
        "rest",
        "served",
        "upgrade",
    )  # fmt: skip

    def __init__(self, context: Context, caller: Caller) -> None:
        self.done = False
        self.rest = b""
        self.closing = False
        self.upgrade: Upgrade | None = None
        self.served: Request | None = None
        self._context = context
        self._caller = caller
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=context.limits.header_size)
        self._before: bytes | None = b""  # part of an empty line; None once the request begins
        self._request: Request | None = None
        self._body = 0
        self._last = False  # the connection ends with the next reply

    def receive(self, data: bytes, arrived_ns: int) -> bytes:
        """Take what arrived, not empty, at that time of the wall clock; return what to send."""
        if self._before is not None:
            data = _EMPTY_LINES.sub(b"", self._before + data)
            if data in {b"", b"\r"}:
                self._before = data
                return b""
            self._before = None
        self._h11.receive_data(data)
        output = b""
        while not (self.done or self.closing) and self.upgrade is None:
            before, _ = self._h11.trailing_data
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                error.__traceback__ = None  # its frames refer to the error: a cycle
                reason, _, _ = str(error).partition(": bytearray(")  # the input is not sent back
                output += self._refuse(HTTPStatus(error.error_status_hint), reason)
                break
            except ValueError:  # h11 0.14: a Content-Length of thousands of digits
                output += self._refuse(HTTPStatus.BAD_REQUEST, "bad Content-Length")
                break
            if event is h11.NEED_DATA:
                output += self._continue()
                break
            if isinstance(event, h11.Request):
                after, _ = self._h11.trailing_data
                output += self._on_request(event, before[: len(before) - len(after)])
            else:
                output += self._on_event(event, arrived_ns)
        return output

    # Requests

    def _on_event(self, event: object, arrived_ns: int) -> bytes:
        match event:
            case h11.Data():
                self._body += len(event.data)
                return self._too_large() if self._body > MAX_BODY else b""
            case h11.EndOfMessage() if self._request is not None:
                return self._answer(self._request, arrived_ns)
        return b""  # pragma: no cover  # h11 has no other event in the middle of a request

    def _on_request(self, raw: h11.Request, head: bytes) -> bytes:
        """Begin with a request, or refuse it; `head` are the bytes that h11 made it of."""
        self._request = Request.of(raw)
        self._body = 0
        if raw.http_version not in {b"1.0", b"1.1"}:
            return self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here")
        # h11 lets a header block of any size pass if it comes at once.
        if len(head) > self._context.limits.header_size or len(raw.headers) > MAX_HEADERS:
            return self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too much of a header")
        if _LOOSE_LINE.search(head) is not None:
            return self._refuse(HTTPStatus.BAD_REQUEST, "a line is folded, or ends without CR")
        if self._request.fault is not None:
            return self._refuse(HTTPStatus.BAD_REQUEST, self._request.fault)
        names = {name for name, _ in raw.headers}
        if {b"content-length", b"transfer-encoding"} <= names:  # RFC 9112 §6.1
            return self._refuse(HTTPStatus.BAD_REQUEST, "two different lengths of one body")
        self._last = b"transfer-encoding" in names
        return self._too_large() if self._request.length > MAX_BODY else b""

    def _continue(self) -> bytes:
        """RFC 9110 §10.1.1: a client that waits for leave to send its body gets it."""
        if not self._h11.they_are_waiting_for_100_continue:
            return b""
        return self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b""

    def _answer(self, request: Request, arrived_ns: int) -> bytes:
        client = self._caller.client(request.forwarded_for)
        if client is not None and not self._caller.admits(client):
            return self._refuse(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many requests from this address",
                ("Retry-After", str(client.retry_after)),
            )
        match request.method:
            case "GET" | "HEAD":
                return self._answer_time(request, client, arrived_ns)
            case "OPTIONS":
                headers = self._context.cross_origin.preflight_headers(request.origin)
                return self._reply(HTTPStatus.NO_CONTENT, (self._date(), _ALLOW, *headers))
        if request.method in _NOT_ALLOWED:
            error = f"{request.method} is not served here"
            return self._reply_error(HTTPStatus.METHOD_NOT_ALLOWED, error, (_ALLOW,))
        return self._reply_error(HTTPStatus.NOT_IMPLEMENTED, "the method is not known here")

    def _answer_time(self, request: Request, client: Client | None, arrived_ns: int) -> bytes:
        if request.path == "/healthz":
            return self._answer_health()
        page = self._context.pages.get(pages.path_of(request))
        if page is not None:
            return self._answer_page(request, page)
        if self._context.time.withheld:
            return self._reply_error(HTTPStatus.SERVICE_UNAVAILABLE, _UNSYNCED, (_RETRY_SYNC,))
        if request.upgrade:
            return self._answer_upgrade(request, client)
        if request.method == "HEAD":
            return self._answer_head()
        return self._answer_get(request, arrived_ns)

    def _answer_get(self, request: Request, arrived_ns: int) -> bytes:
        try:
            it = parse_request(request.query)
        except Rejected as error:
            return self._reply_error(HTTPStatus.BAD_REQUEST, error.detail)
        template = self._context.time.template(request.host)
        # The head takes its time to make: it comes first, and `st` is read after it.
        length = len(template.render(it, arrived_ns, arrived_ns))
        if not request.accepts_html:  # which is for another page at another path
            self.served = request
        head = self._head(HTTPStatus.OK, self._json_headers(length))
        return head + self._body_of(template.render(it, self._context.time.now_ns(), arrived_ns))

    def _answer_head(self) -> bytes:
        """Time over HTTPS, which by its own rules is for pages of every origin."""
        headers = (
            ("Cache-Control", "no-cache"),
            self._date(),
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Expose-Headers", "X-Httpstime"),
            ("X-HTTPSTIME", format_timestamp(self._context.time.now_ns())),
        )
        return self._reply(HTTPStatus.NO_CONTENT, headers)

    def _answer_health(self) -> bytes:
        """For a load balancer: whether this server is one to send clients to."""
        time = self._context.time
        healthy = not time.withheld
        members = {"healthy": healthy, "synchronised": time.state.synchronised}
        body = json.dumps(members).encode()
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return self._reply(status, self._json_headers(len(body)), body)

    def _answer_page(self, request: Request, page: pages.Page) -> bytes:
        """A page is large, so the connection ends with it: one read never makes many of them."""
        origin_headers = self._context.cross_origin.headers(request.origin)
        headers = (self._date(), *origin_headers)
        self._last = True
        if page.known_to(request):
            return self._reply(HTTPStatus.NOT_MODIFIED, (*page.unchanged_headers, *headers))
        return self._reply(HTTPStatus.OK, (*page.headers, *headers), page.body)

    def _answer_upgrade(self, request: Request, client: Client | None) -> bytes:
        if not self._context.cross_origin.permits_upgrade(request.origin, request.host):
            return self._reply_error(HTTPStatus.FORBIDDEN, "this origin may not connect")
        try:
            accepted = handshake.accept(request.raw)
        except handshake.RefusedError as error:
            return self._reply_error(error.status, str(error), error.headers)
        # From here on, the connection of a proxy serves one client alone.
        if self._caller.proxy is not None and not self._caller.hold(client):
            return self._refuse(
                HTTPStatus.TOO_MANY_REQUESTS, "too many connections from this address"
            )
        trailing, _ = self._h11.trailing_data
        self.upgrade = Upgrade(request.host, client, accepted.interleaved, trailing)
        self._count()
        return accepted.reply

    # Replies

    def _too_large(self) -> bytes:
        return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no body is wanted here")

    def _refuse(self, status: HTTPStatus, error: str, *headers: tuple[str, str]) -> bytes:
        """Answer with an error and close: what follows is not known, or not wanted."""
        self._last = True
        return self._reply_error(status, error, headers)

    def _reply_error(self, status: HTTPStatus, error: str, headers: Headers = ()) -> bytes:
        self._context.counters.refusals += 1
        body = json.dumps({"error": error}).encode()
        return self._reply(status, (*self._json_headers(len(body)), *headers), body)

    def _reply(self, status: HTTPStatus, headers: Headers, body: bytes = b"") -> bytes:
        return self._head(status, headers) + self._body_of(body)

    def _head(self, status: HTTPStatus, headers: Headers) -> bytes:
        self._count()
        reason = status.phrase.encode()
        if self._last:
            headers = (*headers, _CLOSE)
        response = h11.Response(status_code=status, reason=reason, headers=list(headers))
        return self._h11.send(response) or b""

    def _body_of(self, body: bytes) -> bytes:
        """The rest of a reply; then the next request may come, or the connection ends."""
        if self._request is not None and self._request.method == "HEAD":
            body = b""
        output = self._h11.send(h11.Data(data=body)) or b""
        output += self._h11.send(h11.EndOfMessage()) or b""
        self._request = None
        self.done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        self.closing = not self.done
        self.rest, _ = self._h11.trailing_data
        return output

    def _json_headers(self, length: int) -> Headers:
        origin = self._request.origin if self._request is not None else None
        origin_headers = self._context.cross_origin.headers(origin)
        return json_headers(length, self._context.time.date, origin_headers)

    def _count(self) -> None:
        self._context.counters.requests += 1

    def _date(self) -> tuple[str, str]:
        return ("Date", self._context.time.date)
