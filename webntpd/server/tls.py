"""TLS around a conversation, without its socket either: OpenSSL works on memory only.

So a handshake takes its steps as its bytes arrive, in the same pass as everyone else's requests,
and the stamps of arrival and departure are those of the TCP segments underneath.
"""

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from webntpd.server.connection import MAX_OUTPUT, Connection
from webntpd.server.parameters import ServerError

logger = logging.getLogger(__name__)

_RECORD = 16384
"""Largest TLS record, bytes (RFC 8446 §5.1)."""


_MISMATCHES = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate's chain and its key in PEM form, the key None if it is with the chain."""

    chain: bytes = field(repr=False)
    key: bytes | None = field(repr=False)


class Credentials:
    """A certificate with its key, as the files held them when they were last good.

    `pem` is used instead of what the files hold now.
    """

    def __init__(self, certificate: Path, key: Path | None, pem: Pem | None = None) -> None:
        self._certificate = certificate
        self._key = key
        try:
            self.use(pem or self._read())
        except OSError as error:  # ssl.SSLError is one
            raise ServerError(
                f"cannot use certificate {certificate}: {self._reason(error)}"
            ) from error

    def renew(self) -> bool:
        """Read the files anew for connections to come; whether that is done, or they are bad.

        What was read before stays in use then.
        """
        try:
            self.use(self._read())
        except OSError as error:
            logger.warning(
                "certificate %s is not read anew, the old one stays in use: %s",
                self._certificate,
                self._reason(error),
            )
            return False
        return True

    def use(self, pem: Pem) -> None:
        """Use this for connections to come. Raises OSError, and changes nothing then."""
        self.context = _context(pem)
        self.pem = pem

    def _read(self) -> Pem:
        key = None if self._key is None else self._key.read_bytes()
        return Pem(self._certificate.read_bytes(), key)

    def _reason(self, error: OSError) -> str:
        """Why the files cannot be used, and what to do: OpenSSL does not tell."""
        try:
            certificate = self._certificate.read_bytes()
            key = certificate if self._key is None else self._key.read_bytes()
        except OSError as unreadable:
            which = "" if unreadable.filename == str(self._certificate) else f"key {self._key}: "
            return f"{which}{unreadable.strerror}"
        if b" CERTIFICATE-----" not in certificate:
            return "there is no certificate in it: it must be a PEM file"
        if b"PRIVATE KEY-----" not in key:
            return (
                f"there is no private key in {self._key or 'it'}: name the key's PEM file by `key`"
            )
        if b"ENCRYPTED" in key:
            return "its key is encrypted, and a service has no password: decrypt it"
        if isinstance(error, ssl.SSLError) and error.reason in _MISMATCHES:
            return f"the private key in {self._key or 'it'} belongs to another certificate"
        return error.strerror or str(error)


def _context(pem: Pem) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    with ExitStack() as files:
        chain = files.enter_context(_in_memory(pem.chain))
        key = None if pem.key is None else files.enter_context(_in_memory(pem.key))
        # Without a password OpenSSL would ask for an encrypted key's at the terminal, and wait.
        context.load_cert_chain(chain, key, password="")
    return context


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """The path of a file that is in no file system: OpenSSL takes a key from a file only."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


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
