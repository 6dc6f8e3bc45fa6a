"""The certificate and the key of a server.

The files are read at the start and at each reload. They may become bad later, so their last good
contents are kept. Workers get these contents and never read the files.
"""

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from webntpd.server.parameters import ServerError

logger = logging.getLogger(__name__)

TICKET_KEY_LIFE = 86400.0
"""Lifetime of the keys of session tickets, s. A key that leaks opens no older sessions."""
_MISMATCHES = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate chain and its key, as PEM. `key` is None if the chain's file holds the key."""

    chain: bytes = field(repr=False)
    key: bytes | None = field(repr=False)


class Credentials:
    """A certificate with its key, from the last time that the files were good.

    `pem` is used instead of the files, if it is given. Each context has its own keys for session
    tickets, so a ticket of one context resumes no session in another. Raises ServerError.
    """

    context: ssl.SSLContext
    pem: Pem

    def __init__(self, certificate: Path, key: Path | None, pem: Pem | None = None) -> None:
        self._certificate = certificate
        self._key = key
        try:
            self.use(pem or self._read())
        except OSError as error:  # ssl.SSLError is one
            reason = self._reason(error)
            raise ServerError(f"cannot use certificate {certificate}: {reason}") from error

    def renew(self) -> bool:
        """Read the files anew, for new connections. False if they are bad.

        The old certificate stays in use then.
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
        """Use this for new connections. Raises OSError, and then changes nothing."""
        self.context = _context(pem)
        self.pem = pem

    async def keep_renewing_ticket_keys(self) -> None:
        """Use a new context, with new keys, every day."""
        while True:
            await trio.sleep(TICKET_KEY_LIFE)
            try:
                self.use(self.pem)
            except OSError as error:  # out of descriptors or memory
                logger.warning(
                    "the keys of session tickets stay in use for another day: %s", error.strerror
                )

    def _read(self) -> Pem:
        key = None if self._key is None else self._key.read_bytes()
        return Pem(self._certificate.read_bytes(), key)

    def _reason(self, error: OSError) -> str:
        """The reason why the files cannot be used, and the remedy: OpenSSL gives neither."""
        try:
            pem = self._read()
        except OSError as unreadable:
            which = "" if unreadable.filename == str(self._certificate) else f"key {self._key}: "
            return f"{which}{unreadable.strerror}"
        key = pem.chain if pem.key is None else pem.key
        if b" CERTIFICATE-----" not in pem.chain:
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
    """The path of a file in memory: OpenSSL reads a key from files only."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
