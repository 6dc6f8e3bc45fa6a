"""One client's conversation without its socket: HTTP first, perhaps a WebSocket after it.

Bytes go in with their arrival time, and bytes to send come out. No input makes it raise. It keeps
at most the beginning of one request, and returns less than 64 KiB at a time: the rest of the input
waits until that is sent.

The cache (cache.py) answers most requests. Other requests get a parser, which lives until the
request ends: an idle connection has none.
"""

from webntpd.server.admission import Caller
from webntpd.server.context import Context
from webntpd.server.http import Http, Upgrade
from webntpd.server.websocket import WebSocket

MAX_OUTPUT = 16384
"""After this many bytes of output, further input waits. One page or piece may exceed it."""
_PIECE = 256  # bytes of messages that are handled at once: their replies are at most 20 KB
_BLANK_LINE = b"\r\n\r\n"


class Connection:
    """The state of one conversation.

    `steady`: it is between two requests, and none of the following holds. `closing`: it ends once
    all output is sent. `requesting`: a request has begun. `paused`: some input waits; call resume()
    before more comes in. `interleaved`: the client asks for departure times from the next output
    on; transmitted() takes them.
    """

    __slots__ = (
        "_cache",
        "_caller",
        "_context",
        "_http",
        "_rest",
        "_websocket",
        "_websocket_start",
        "closing",
        "interleaved",
        "paused",
        "steady",
    )  # fmt: skip

    def __init__(self, context: Context, caller: Caller) -> None:
        self.steady = True
        self.closing = False
        self.interleaved = False
        self.paused = False
        self._rest = b""  # input that waits
        self._context = context
        self._cache = context.cache
        self._caller = caller
        self._http: Http | None = None  # in the middle of a request
        self._websocket: WebSocket | None = None
        self._websocket_start = 0  # bytes that were returned with the WebSocket's first, before it

    @property
    def requesting(self) -> bool:
        return self._http is not None

    def receive(self, data: bytes, arrived_ns: int) -> bytes:
        """Take what arrived at that time of the wall clock, ns; return what to send."""
        if self._websocket is not None:
            return self._on_messages(self._websocket, data, arrived_ns)
        if self._http is None and not self.closing:
            # The usual input is exactly one known request.
            reply = self._cache.answer(data, self._caller, arrived_ns)
            if reply is not None:
                return reply
        return self._on_requests(data, arrived_ns)

    def resume(self, arrived_ns: int) -> bytes:
        """Handle the input that waits, and arrived at that time; return what to send."""
        rest = self._rest
        self._pause(b"")
        return self.receive(rest, arrived_ns)

    def transmitted(self, position: int, left_ns: int) -> None:
        """Bytes up to that position left at that time of the wall clock, ns.

        They are counted modulo 2^32 from the first that was returned as `interleaved` became true.
        """
        if self._websocket is not None:
            self._websocket.transmitted(position - self._websocket_start, left_ns)

    def shutdown(self) -> bytes:
        """End the conversation from our side; return what to send. HTTP has nothing to say."""
        if self.closing:
            return b""
        self.closing, self.steady = True, False
        self._pause(b"")
        return b"" if self._websocket is None else self._websocket.shutdown()

    def _on_messages(self, websocket: WebSocket, data: bytes, arrived_ns: int) -> bytes:
        if self.closing or not data:
            return b""
        if len(data) <= _PIECE:
            output = websocket.receive(data, arrived_ns)
        else:
            output = self._on_many_messages(websocket, data, arrived_ns)
        if websocket.closing:
            self.closing, self.steady = True, False
        return output

    def _on_many_messages(self, websocket: WebSocket, data: bytes, arrived_ns: int) -> bytes:
        output = b""
        while data and not websocket.closing:
            if len(output) >= MAX_OUTPUT:
                self._pause(data)
                break
            output += websocket.receive(data[:_PIECE], arrived_ns)
            data = data[_PIECE:]
        return output

    def _pause(self, rest: bytes) -> None:
        self._rest = rest
        self.paused = rest != b""

    def _on_requests(self, data: bytes, arrived_ns: int) -> bytes:
        output = b""
        while data and not self.closing:
            if len(output) >= MAX_OUTPUT:
                self._pause(data)
                break
            if self._http is None:
                end = _first_end(data)
                reply = self._cache.answer(data[:end], self._caller, arrived_ns)
                if reply is not None:
                    output, data = output + reply, data[end:]
                    continue
            http = self._http or Http(self._context, self._caller)
            output += self._parse(http, data, arrived_ns)
            data = http.rest
            if http.upgrade is not None:
                output += self._on_upgrade(http.upgrade, len(output), arrived_ns)
        self.steady = self._http is None and not (self.closing or self.interleaved)
        return output

    def _parse(self, http: Http, data: bytes, arrived_ns: int) -> bytes:
        """Feed the parser of one request, and forget it at the request's end."""
        output = http.receive(data, arrived_ns)
        self.closing = http.closing
        is_whole = self._http is None and http.done
        if is_whole and http.served is not None and self._context.fast_paths:
            self._cache.remember(data[: len(data) - len(http.rest)], http.served)
        self._http = None if http.done else http
        return output

    def _on_upgrade(self, upgrade: Upgrade, position: int, arrived_ns: int) -> bytes:
        self._http = None
        self._websocket = WebSocket(
            self._context, upgrade.host, upgrade.client, interleaved=upgrade.interleaved
        )
        self._websocket_start = position
        self.interleaved = upgrade.interleaved
        return self._on_messages(self._websocket, upgrade.trailing, arrived_ns)


def _first_end(data: bytes) -> int:
    """Where the first request in `data` ends, if it has no body; an empty one if nowhere."""
    return data.find(_BLANK_LINE) + len(_BLANK_LINE) if _BLANK_LINE in data else 0
