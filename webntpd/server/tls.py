"""TLS around a conversation, without its socket: OpenSSL works on memory only.

So the steps of a handshake run as its bytes arrive, in the same pass as other clients' requests.
The stamps of arrival and departure belong to the TCP segments underneath.
"""

import ssl
from contextlib import suppress

from webntpd.server.connection import MAX_OUTPUT, Connection

_RECORD = 16384
"""Largest TLS record, bytes (RFC 8446 §5.1)."""


class TlsConnection:
    """A Connection inside TLS, to be used in its place."""

    __slots__ = (
        "_incoming",
        "_inner",
        "_outgoing",
        "_plain_end",
        "_ready",
        "_sent",
        "_tls",
        "closing",
        "paused",
        "steady",
    )  # fmt: skip

    def __init__(self, inner: Connection, context: ssl.SSLContext) -> None:
        self.closing = False
        self.steady = False
        self.paused = False
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._ready = False  # the handshake is done
        self._plain_end = 0  # bytes that the inner conversation has returned since it is
        self._sent = 0  # interleaved, and what has become of them outside

    @property
    def interleaved(self) -> bool:
        return self._inner.interleaved

    @property
    def requesting(self) -> bool:
        return not self._ready or self._inner.requesting

    def receive(self, data: bytes, arrived_ns: int) -> bytes:
        """As Connection.receive."""
        if self.closing or not data:
            return b""
        self._incoming.write(data)
        return self.resume(arrived_ns)

    def resume(self, arrived_ns: int) -> bytes:
        """As Connection.resume."""
        self.paused = False
        try:
            if not self._ready:
                self._tls.do_handshake()
                self._ready = True
            while not self.closing and self._outgoing.pending < MAX_OUTPUT:
                self._converse(arrived_ns)
            self.paused = not self.closing
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # the alert that says why is in what goes out
            self.closing = True
        return self._output()

    def transmitted(self, position: int, left_ns: int) -> None:
        """As Connection.transmitted."""
        if (position - self._sent) % 2**32 == 0:
            self._inner.transmitted(self._plain_end, left_ns)

    def shutdown(self) -> bytes:
        """As Connection.shutdown."""
        if self.closing:
            return b""
        self.paused = False
        last_words = self._inner.shutdown()
        if self._ready:
            with suppress(ssl.SSLError):
                self._write(last_words)
            self._close()
        self.closing = True
        return self._output()

    def _converse(self, arrived_ns: int) -> None:
        if self._inner.paused:
            self._write(self._inner.resume(arrived_ns))
        elif plain := self._tls.read(_RECORD):
            self._write(self._inner.receive(plain, arrived_ns))
        else:
            self._close()
        if self._inner.closing:
            self._close()

    def _write(self, reply: bytes) -> None:
        if reply:
            self._tls.write(reply)
            if self._inner.interleaved:
                self._plain_end += len(reply)

    def _close(self) -> None:
        """Say close_notify (RFC 8446 §6.1); the answer to it will be thrown away."""
        self.closing = True
        with suppress(ssl.SSLError):
            self._tls.unwrap()

    def _output(self) -> bytes:
        output = self._outgoing.read()
        if self._inner.interleaved:
            self._sent += len(output)
        self.steady = self._ready and self._inner.steady and not self.closing
        return output
