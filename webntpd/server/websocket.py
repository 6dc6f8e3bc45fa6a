"""WebNTP over one WebSocket, without its socket: bytes in, bytes out, nothing raised.

wsproto judges what the client sends and makes the control frames. Our replies are simple enough to
be framed by hand: each is one unmasked text frame.

A client that negotiated the interleaved mode is also told when the reply before really left. The
kernel says so after the fact, of a position in the stream of bytes that we sent: the end of that
reply. A message that comes before that is known gets a reply without it.
"""

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from webntpd.server.site import Site
from webntpd.wire import MAX_MESSAGE, WireError, parse_request


class WebSocket:
    """The server's side of a WebSocket that is open; `host` is what its client calls us.

    `closing` says that the connection ends with what was returned last; nothing may be fed after.
    """

    __slots__ = (
        "_host", "_it", "_left_ns", "_message", "_position", "_reply_end", "_site", "_websocket",
        "closing",
    )  # fmt: skip

    def __init__(self, site: Site, host: str) -> None:
        self.closing = False
        self._site = site
        self._host = host
        self._websocket = Connection(ConnectionType.SERVER)
        self._message = b""  # what has come of a message so far
        self._position = 0  # bytes returned so far
        self._it: str | None = None  # of the last reply,
        self._reply_end = 0  # the position at which it ends,
        self._left_ns: int | None = None  # and when it left

    def receive(self, data: bytes, arrived_ns: int) -> bytes:
        """Take what arrived, not empty, at that time of the wall clock; return what to send."""
        self._site.time.refresh(arrived_ns)
        self._websocket.receive_data(data)
        output = b""
        for event in self._websocket.events():
            output += self._on_event(event, arrived_ns)
            if self.closing:
                break
        return output

    def transmitted(self, position: int, left_ns: int) -> None:
        """The bytes up to that position, modulo 2^32, left at that time of the wall clock."""
        if (position - self._reply_end) % 2**32 == 0:
            self._left_ns = left_ns

    def shutdown(self) -> bytes:
        """Say that the server stops; return what to send."""
        return self._close(CloseReason.GOING_AWAY, "the server stops")

    def _on_event(self, event: Event, arrived_ns: int) -> bytes:
        match event:
            case TextMessage():
                return self._on_data(event.data.encode(), arrived_ns, last=event.message_finished)
            case BytesMessage():
                return self._on_data(event.data, arrived_ns, last=event.message_finished)
            case Ping():
                return self._sent(self._websocket.send(event.response()))
            case CloseConnection():
                return self._on_close(event)
        return b""  # a pong that nobody asked for

    def _on_data(self, data: bytes | bytearray, arrived_ns: int, *, last: bool) -> bytes:
        self._message += data
        if len(self._message) > MAX_MESSAGE:
            return self._refuse(CloseReason.MESSAGE_TOO_BIG, "a timestamp is shorter")
        if not last:
            return b""
        message, self._message = self._message, b""
        try:
            text = message.decode("ascii").strip()
            it = parse_request(text)
        except (UnicodeError, WireError):
            text = ""
        if not text:
            return self._refuse(CloseReason.POLICY_VIOLATION, "a message is one timestamp")
        return self._reply(it, arrived_ns)

    def _reply(self, it: str, arrived_ns: int) -> bytes:
        self._site.counters.messages += 1
        template = self._site.time.template(self._host)
        now_ns = self._site.time.now_ns
        frame = text_frame(template.render(it, now_ns(), arrived_ns, self._it, self._left_ns))
        self._sent(frame)
        self._it, self._reply_end, self._left_ns = it, self._position, None
        return frame

    def _on_close(self, event: CloseConnection) -> bytes:
        """A close of the client's, or what wsproto would have us close with for its faults."""
        self.closing = True
        if self._websocket.state is not ConnectionState.REMOTE_CLOSING:
            self._site.counters.refusals += 1
        return self._sent(self._websocket.send(event.response()))

    def _refuse(self, code: CloseReason, reason: str) -> bytes:
        self._site.counters.refusals += 1
        return self._close(code, reason)

    def _close(self, code: CloseReason, reason: str) -> bytes:
        self.closing = True
        return self._sent(self._websocket.send(CloseConnection(code, reason)))

    def _sent(self, output: bytes) -> bytes:
        self._position += len(output)
        return bytes(output)


def text_frame(payload: bytes) -> bytes:
    """A final, unmasked text frame of 126 to 65535 bytes, as replies are (RFC 6455 §5.2)."""
    return b"\x81\x7e" + len(payload).to_bytes(2) + payload
