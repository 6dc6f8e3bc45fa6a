"""The template of one second: the fast way to write its replies.

Replies of one second to one kind of request differ only in `it` and in the fractions of three
timestamps. All other bytes, the head included, are rendered once a second, and a reply costs one
formatting of bytes. A reply at the turn of a second may have timestamps of two seconds: then
ReplyTemplate renders it, which takes three times as long.
"""

from collections.abc import Callable

from webntpd.ntp.readings import NS_PER_S
from webntpd.protocol.wire import ReplyTemplate
from webntpd.server.crossorigin import Headers

LONGEST = 20
"""Longest `it` for which a pattern is kept, digits: one with nanoseconds."""


class SecondTemplate:
    """Renders the replies of one second; `head` makes the head for the length of a body."""

    __slots__ = ("_head", "_patterns", "_second", "_start_ns", "_template")

    def __init__(self, template: ReplyTemplate, second: int, head: Callable[[int], bytes]) -> None:
        self._template = template
        self._head = head
        self._second = second
        self._start_ns = second * NS_PER_S
        self._patterns: dict[int, bytes] = {}  # by the length of `it`

    def render(self, it: bytes, st_ns: int, rt_ns: int) -> bytes:
        """Head and body, as ReplyTemplate.render() has it."""
        st_ns -= self._start_ns
        rt_ns -= self._start_ns
        if 0 <= rt_ns <= st_ns < NS_PER_S:
            pattern = self._patterns.get(len(it)) or self._pattern(len(it))
            return pattern % (it, st_ns, st_ns, rt_ns)
        start_ns = self._start_ns
        body = self._template.render(it.decode("ascii"), start_ns + st_ns, start_ns + rt_ns)
        return self._head(len(body)) + body

    def _pattern(self, size: int) -> bytes:
        """The whole reply for an `it` of that many characters."""
        body = self._template.pattern(self._second)
        head = self._head(len(body % (b"0" * size, 0, 0, 0)))
        pattern = head.replace(b"%", b"%%") + body
        if size <= LONGEST:
            self._patterns[size] = pattern
        return pattern


def json_headers(length: int, date: str, origin_headers: Headers) -> Headers:
    """The header fields of a reply with JSON."""
    return (
        ("Content-Type", "application/json; charset=utf-8"),
        ("Cache-Control", "no-cache, no-store"),
        ("Content-Length", str(length)),
        ("Date", date),
        *origin_headers,
    )


def ok_head(headers: Headers) -> bytes:
    """The head of a reply with status 200, as h11 would write it byte for byte."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1")


def text_head(length: int) -> bytes:
    """The head of a final, unmasked text frame of 126 to 65535 bytes, as replies are."""
    return b"\x81\x7e" + length.to_bytes(2)
