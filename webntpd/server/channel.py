"""One client's socket: received bytes go to its Connection, and the Connection's output goes out.

A channel never blocks and never grows: while output is left unsent, it reads and answers nothing
more. So a client that does not take its replies holds at most 64 KiB of our memory.

A channel ends in three steps. It sends the remaining output. It shuts down its side, and discards
the bytes that the client still sends. It closes the socket when the client's side ends, too. If it
closed at once, the kernel would reset the connection whenever a byte is unread, and the client
would lose the last output, which has the reason for closing.
"""

import fcntl
import select
import socket
import sys
import termios

from webntpd.clock.clocks import Clock
from webntpd.server.admission import Caller
from webntpd.server.connection import Connection
from webntpd.server.parameters import Limits
from webntpd.server.tls import TlsConnection
from webntpd.sockets import stamps

# Edge-triggered: epoll reports each event once, and need not look at the socket a second time. A
# read that does not fill its buffer leaves nothing behind but perhaps the end, which RDHUP reports.
_READING = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_WRITING = select.EPOLLOUT | select.EPOLLET
_DATA = select.EPOLLIN

READ_SIZE = 4096
"""Bytes read at a time: it bounds the work that one client can ask for in one pass."""
LINGER = 2.0
"""Longest wait for the client's end of a connection that we have closed, s."""
LINGER_BYTES = 65536
"""Most bytes to discard during that wait."""


class Channel:
    """A client's socket and its conversation.

    `changed` is set when `closed` or `interest` (the events to ask epoll for) has a new value; the
    reactor resets it. `since` is the time of the client's last progress, on trio's clock. `caller`
    is the other end.
    """

    __slots__ = (
        "_arrived_ns", "_clock", "_connection", "_departures", "_discarded", "_limits",
        "_lingering", "_patience", "_queued", "_requesting", "_stamped", "_unsent", "caller",
        "changed", "closed", "interest", "since", "socket",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection | TlsConnection,
        clock: Clock,
        limits: Limits,
        *,
        now: float,
        caller: Caller,
        departures: bool = False,
    ) -> None:
        self.socket = sock
        self.caller = caller
        self.changed = False
        self.closed = False
        self.interest = _READING
        self._connection = connection
        self._clock = clock
        self._limits = limits
        self.since = now
        self._patience = limits.request_time
        self._requesting = True  # until the first request has come
        self._unsent = b""
        self._arrived_ns = 0  # when the input came that waits for the output
        self._queued = 0  # bytes that the kernel still had to send at `since`
        self._departures = departures  # may be stamped, if the client wants to know
        self._stamped = False
        self._lingering = False  # our side is shut down
        self._discarded = 0

    def is_overdue(self, now: float) -> bool:
        """Whether the client's time is over at `now`, on trio's clock.

        epoll reports room only when a third of the kernel's buffer is free. A client with a small
        window may need minutes to free that. So a client that has taken any byte gets more time.
        """
        if now < self.since + self._patience:
            return False
        if self._unsent and (queued := _queued(self.socket)) < self._queued:
            self.since, self._queued = now, queued
            return False
        return True

    def handle(self, events: int, now: float) -> None:
        """Handle the events that epoll reports."""
        try:
            if events != _DATA and not self._may_read(now):
                return
            data, stamp_ns = stamps.receive(self.socket, READ_SIZE)
            if data and not self._lingering:
                clock = self._clock
                arrived_ns = clock.realtime_ns() if stamp_ns is None else stamp_ns + clock.shift_ns
                connection = self._connection
                output = connection.receive(data, arrived_ns)
                if connection.interleaved:
                    self._stamp_departures()
                if output:
                    self._send(output, now)
                if connection.paused:
                    self._arrived_ns = arrived_ns
                    self._resume(now)
                if connection.steady and not (self._unsent or self._requesting):
                    self.since = now
                else:
                    self._conclude(now)
            else:
                self._discard(len(data))
            if events != _DATA or len(data) == READ_SIZE:
                self.changed = True  # there may be more, which epoll does not report again
        except BlockingIOError:
            pass
        except OSError:  # the client is gone
            self.close()

    def stop(self, now: float) -> None:
        """End the conversation from our side, at once if there is nothing left to say."""
        last_words = self._connection.shutdown()
        if not last_words and not self._unsent:
            self.close()
            return
        try:
            self._send(last_words, now)
            self._conclude(now)
        except OSError:
            self.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.changed = self.closed = True
        self.socket.close()

    def _may_read(self, now: float) -> bool:
        """Handle everything but input; return whether to read."""
        self._note_departures()
        if self._unsent:
            self._send(b"", now)
            self._resume(now)
            self._conclude(now)
        return not self._unsent

    def _resume(self, now: float) -> None:
        """Answer the input that waits, until some output is left unsent."""
        connection = self._connection
        while connection.paused and not self._unsent:
            output = connection.resume(self._arrived_ns)
            if connection.interleaved:
                self._stamp_departures()
            self._send(output, now)

    def _send(self, output: bytes, now: float) -> None:
        if self._unsent:
            output = self._unsent + output
        try:
            sent = self.socket.send(output)
        except BlockingIOError:
            sent = 0
        if self._unsent or sent < len(output):
            if sent or not self._unsent:
                self.since, self._patience = now, self._limits.request_time
                self._queued = _queued(self.socket)
            self._unsent = output[sent:]
            self.interest = _WRITING if self._unsent else _READING
            self.changed = True

    def _conclude(self, now: float) -> None:
        """Set the deadline, or close our side, once all output is sent."""
        self._note_departures()
        connection = self._connection
        if self._unsent or self._lingering:
            return
        if connection.closing:
            self.socket.shutdown(socket.SHUT_WR)
            self._lingering = True
            self.since, self._patience = now, LINGER
        elif not connection.requesting:
            self._requesting = False
            self.since, self._patience = now, self._limits.idle_time
        elif not self._requesting:  # it must come in at a stretch
            self._requesting = True
            self.since, self._patience = now, self._limits.request_time

    def _stamp_departures(self) -> None:
        """Have the kernel stamp all further output; called when the client asks for departures."""
        if self._departures:
            self._departures = False  # asked once
            self._stamped = stamps.enable(self.socket, transmit=True)

    def _note_departures(self) -> None:
        """Empty the error queue: until it is, epoll reports the socket as ready.

        The stamp of a reply is mostly there as soon as send() returns, which saves a wake-up.
        """
        if self._stamped:
            for end, left_ns in stamps.drain(self.socket):
                self._connection.transmitted(end, left_ns + self._clock.shift_ns)

    def _discard(self, size: int) -> None:
        """Discard bytes behind our end. Zero bytes are the client's end."""
        self._discarded += size
        if not size or self._discarded > LINGER_BYTES:
            self.close()


def _queued(sock: socket.socket) -> int:
    """Bytes in the kernel that the other end has not taken yet (SIOCOUTQ of tcp(7), unix(7))."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
