"""WebNTP over one WebSocket, without its socket: bytes in, bytes out, nothing raised.

wsproto judges what the client sends and makes the control frames. Our replies are simple enough to
be framed by hand: each is one unmasked text frame.

The fast path takes the usual input only: one frame, which is a whole text message with a plain
timestamp. It is unmasked in place, without wsproto.

A client that negotiated the interleaved mode is also told when the reply before really left. The
kernel says so after the fact, of a position in the stream of bytes that we sent: the end of that
reply. A message that comes before that is known gets a reply without it.
"""

import re

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import MAX_MESSAGE, parse_request
from webntpd.server.clients import Client
from webntpd.server.context import Context
from webntpd.server.template import text_head

# The frames that are read by hand (RFC 6455 §5.2).
_FIN, _FINAL_TEXT, _MASKED = 0x80, 0x81, 0x80
_HEADER = 6  # bytes of a short, masked frame before its payload
_SHORT = 125

_number = int.from_bytes  # looked up once: a quarter of what unmasking takes

# A timestamp that begins so is of the years 2001 to 2255 and needs no check of its range.
_PLAIN = re.compile(rb"[1-8][0-9]{9}\.[0-9]{1,9}")


class WebSocket:
    """The server's side of a WebSocket that is open; `host` is what its client calls us.

    `closing` says that the connection ends with what was returned last; nothing may be fed after.
    """

    __slots__ = (
        "_client",
        "_context",
        "_host",
        "_interleaved",
        "_it",
        "_left_ns",
        "_message",
        "_parser",
        "_position",
        "_reply_end",
        "closing",
    )  # fmt: skip

    def __init__(
        self, context: Context, host: str, client: Client | None, *, interleaved: bool
    ) -> None:
        self.closing = False
        self._context = context
        self._host = host
        self._client = client
        self._interleaved = interleaved
        self._parser: Connection | None = None  # in the middle of a frame or message
        self._message = b""  # the beginning of a message
        self._position = 0  # bytes returned so far, if interleaved
        self._it: str | None = None  # of the last reply,
        self._reply_end = 0  # the position at which it ends,
        self._left_ns: int | None = None  # and when it left

    def receive(self, data: bytes, arrived_ns: int) -> bytes:
        """Take what arrived at that time of the wall clock; return what to send."""
        if self._parser is None:
            context = self._context
            if context.fast_paths and not context.time.withheld:
                text = short_text(data)
                if _PLAIN.fullmatch(text) is not None and self._admitted():
                    return self._reply(text, arrived_ns)
            if is_one_short_frame(data):
                # A parser that was fed one final frame is where it began: none needs to be kept.
                return self._parse(_new_parser(), data, arrived_ns)
            self._parser = _new_parser()
        return self._parse(self._parser, data, arrived_ns)

    def transmitted(self, position: int, left_ns: int) -> None:
        """The bytes up to that position, modulo 2^32, left at that time of the wall clock.

        The first stamp counts: a segment that the kernel sends again gets another one.
        """
        if self._left_ns is None and (position - self._reply_end) % 2**32 == 0:
            self._left_ns = left_ns

    def shutdown(self) -> bytes:
        """Say that the server stops; return what to send."""
        return self._close(_new_parser(), CloseReason.GOING_AWAY, "the server stops")

    def _parse(self, parser: Connection, data: bytes, arrived_ns: int) -> bytes:
        parser.receive_data(data)
        output = b""
        for event in parser.events():
            output += self._on_event(parser, event, arrived_ns)
            if self.closing:
                break
        return output

    def _on_event(self, parser: Connection, event: Event, arrived_ns: int) -> bytes:
        match event:
            case TextMessage() | BytesMessage():
                return self._on_data(parser, event, arrived_ns)
            case Ping() | Pong() if not self._admitted():
                return self._refuse(parser, CloseReason.POLICY_VIOLATION, "too many frames")
            case Ping():
                return self._sent(parser.send(event.response()))
            case CloseConnection():
                return self._on_close(parser, event)
        return b""  # an unsolicited pong

    def _on_data(
        self, parser: Connection, event: TextMessage | BytesMessage, arrived_ns: int
    ) -> bytes:
        self._message += event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._message) > MAX_MESSAGE:
            return self._refuse(parser, CloseReason.MESSAGE_TOO_BIG, "a timestamp is shorter")
        if event.message_finished:
            return self._on_message(parser, arrived_ns)
        if event.frame_finished and not self._admitted():
            return self._refuse(parser, CloseReason.POLICY_VIOLATION, "too many frames")
        return b""

    def _on_message(self, parser: Connection, arrived_ns: int) -> bytes:
        message, self._message = self._message, b""
        try:
            text = message.decode("ascii").strip()
            it = parse_request(text)
        except (UnicodeError, Rejected):
            text = ""
        if not text:
            return self._refuse(parser, CloseReason.POLICY_VIOLATION, "a message is one timestamp")
        if not self._admitted():
            return self._refuse(parser, CloseReason.POLICY_VIOLATION, "too many messages")
        if self._context.time.withheld:
            return self._refuse(parser, CloseReason.TRY_AGAIN_LATER, "the clock has lost its time")
        return self._reply(it.encode("ascii"), arrived_ns)

    def _admitted(self) -> bool:
        return self._client is None or self._client.admit()

    def _reply(self, it: bytes, arrived_ns: int) -> bytes:
        context = self._context
        context.counters.messages += 1
        if self._interleaved:
            return self._reply_interleaved(it.decode("ascii"), arrived_ns)
        time = context.time
        message = time.messages.get(self._host) or time.message(self._host)
        return message.render(it, time.now_ns(), arrived_ns)

    def _reply_interleaved(self, it: str, arrived_ns: int) -> bytes:
        """A reply that also tells when the one before it really left, if that is known."""
        time = self._context.time
        before = (None, None) if self._left_ns is None else (self._it, self._left_ns)
        body = time.template(self._host).render(it, time.now_ns(), arrived_ns, *before)
        frame = text_head(len(body)) + body
        self._position += len(frame)
        self._it, self._reply_end, self._left_ns = it, self._position, None
        return frame

    def _on_close(self, parser: Connection, event: CloseConnection) -> bytes:
        """Answer a close of the client, or close for a fault that wsproto found."""
        self.closing = True
        if parser.state is not ConnectionState.REMOTE_CLOSING:
            self._context.counters.refusals += 1
        return self._sent(parser.send(event.response()))

    def _refuse(self, parser: Connection, code: CloseReason, reason: str) -> bytes:
        self._context.counters.refusals += 1
        return self._close(parser, code, reason)

    def _close(self, parser: Connection, code: CloseReason, reason: str) -> bytes:
        self.closing = True
        return self._sent(parser.send(CloseConnection(code, reason)))

    def _sent(self, output: bytes) -> bytes:
        self._position += len(output)
        return bytes(output)


def _new_parser() -> Connection:
    return Connection(ConnectionType.SERVER)


def is_one_short_frame(data: bytes) -> bool:
    """Whether this is exactly one final, masked frame of at most 125 bytes."""
    length = len(data) - _HEADER
    return 0 <= length <= _SHORT and data[0] >= _FIN and data[1] == _MASKED | length


def short_text(data: bytes) -> bytes:
    """The payload of `data` if that is one short frame with a whole text message, else nothing.

    It is unmasked (RFC 6455 §5.3) all its bytes at once.
    """
    size = len(data) - _HEADER
    if not 0 < size <= _SHORT or data[0] != _FINAL_TEXT or data[1] != _MASKED | size:
        return b""
    mask = (data[2:_HEADER] * (_SHORT // 4 + 1))[:size]
    return (_number(data[_HEADER:]) ^ _number(mask)).to_bytes(size)
