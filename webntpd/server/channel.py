"""One client's socket: what arrives is fed to its Connection, what that returns is sent.

A channel never blocks and never grows: while something is left unsent, nothing more is read, so a
client that does not take its replies holds no more of our memory than one read can cause.

It ends in three steps: what was returned is sent; our side is shut down while what the client
still sends is thrown away; the socket is closed when the client's side ends too. To close at once
would make the kernel reset the connection if anything is unread, and our last words, the reason
for closing, would be lost with it.
"""

import math
import select
import socket

from webntpd.clock import Clock
from webntpd.server.connection import Connection

READ_SIZE = 4096
"""Bytes read at a time: it bounds the work that one client can ask for in one pass."""
LINGER = 2.0
"""How long a closed connection is kept for what its client still sends, s,"""
LINGER_BYTES = 65536
"""and how much of that is read."""


class Channel:
    """`deadline` is the time of trio's clock at which the reactor is to close it."""

    __slots__ = (
        "_clock", "_connection", "_discarded", "_lingering", "_unsent", "closed", "deadline",
        "socket",
    )  # fmt: skip

    def __init__(self, client: socket.socket, connection: Connection, clock: Clock) -> None:
        self.socket = client
        self.closed = False
        self.deadline = math.inf
        self._connection = connection
        self._clock = clock
        self._unsent = b""
        self._lingering = False  # our side is shut down
        self._discarded = 0

    @property
    def interest(self) -> int:
        """What epoll is to wait for."""
        return select.EPOLLOUT if self._unsent else select.EPOLLIN

    def handle(self, now: float) -> int:
        """Do what the socket is ready for; return a measure of the work that this was, bytes."""
        try:
            if self._unsent:
                self._send(b"", now)
            return 0 if self._unsent or self.closed else self._read(now)
        except OSError:  # the client is gone, and there is nobody left to tell
            self.close()
            return 0

    def stop(self, now: float) -> None:
        """End the conversation from our side, at once if there is nothing left to say."""
        last_words = self._connection.shutdown()
        if not last_words and not self._unsent:
            self.close()
            return
        try:
            self._send(last_words, now)
        except OSError:
            self.close()

    def close(self) -> None:
        self.closed = True
        self.socket.close()

    def _read(self, now: float) -> int:
        try:
            data = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return 0
        arrived_ns = self._clock.realtime_ns()
        if not data:
            self.close()
        elif self._lingering:
            self._discard(len(data))
        else:
            output = self._connection.receive(data, arrived_ns)
            self._send(output, now)
            return len(data) + len(output)
        return len(data)

    def _send(self, output: bytes, now: float) -> None:
        if self._unsent:
            output = self._unsent + output
        if output:
            try:
                sent = self.socket.send(output)
            except BlockingIOError:
                sent = 0
            self._unsent = output[sent:]
        if self._connection.closing and not self._unsent and not self._lingering:
            self.socket.shutdown(socket.SHUT_WR)
            self._lingering = True
            self.deadline = now + LINGER

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self.close()
