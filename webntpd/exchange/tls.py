"""TLS over any stream, verified against the system's certificates or a configured file."""

import ssl
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

from webntpd.exchange.failure import tls_reason
from webntpd.ntp.readings import NS_PER_S, Rejection
from webntpd.protocol.rejected import Rejected

_WRONG_TIME = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""


def make_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that verifies by `ca_file` or else the system's store. Raises Rejected."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        named = error.strerror and not isinstance(error, ssl.SSLError)
        reason = error.strerror if named else "there is no certificate in it: it must be a PEM file"
        raise Rejected(Rejection.TLS, f"{ca_file}: {reason}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


async def start_tls(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str, now_ns: int
) -> trio.SSLStream[trio.abc.Stream]:
    """Shake hands with `host` over `stream`. Raises Rejected.

    `now_ns` is the wall clock's time.
    """
    try:
        # HTTP ends its messages itself, and so do its servers: often without a close_notify.
        secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    except ValueError as error:  # a name that no certificate could have
        raise Rejected(Rejection.TLS, f"{host!r}: {error}") from error
    try:
        await secured.do_handshake()
    except trio.BrokenResourceError as error:
        raise Rejected(Rejection.TLS, _reason(error, secured, now_ns)) from error
    return secured


def _reason(
    error: trio.BrokenResourceError, stream: trio.SSLStream[trio.abc.Stream], now_ns: int
) -> str:
    cause = error.__cause__
    if not isinstance(cause, ssl.SSLError):
        return "connection lost in the handshake"
    reason = tls_reason(cause)
    if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in _WRONG_TIME:
        for begin, end in _validity(stream):
            if not begin <= now_ns // NS_PER_S <= end:
                dates = f"it is good from {_date(begin)} to {_date(end)}"
                return f"{reason}: {dates}, and this clock shows {_date(now_ns // NS_PER_S)}"
    return reason


def _validity(stream: trio.SSLStream[trio.abc.Stream]) -> Iterator[tuple[int, int]]:
    """First and last second of validity, Unix time, of each certificate that the server sent.

    Empty if this interpreter does not give access to the certificates.
    """
    try:
        for certificate in _unverified_chain(stream):
            about = certificate.get_info()
            yield (
                ssl.cert_time_to_seconds(about["notBefore"]),
                ssl.cert_time_to_seconds(about["notAfter"]),
            )
    except (AttributeError, TypeError, KeyError, ValueError):
        return


def _unverified_chain(stream: trio.SSLStream[trio.abc.Stream]) -> Iterable[Any]:
    """The certificates that the server sent. The ssl module itself shows verified ones only."""
    inner: Any = stream._ssl_object
    return inner._sslobj.get_unverified_chain() or ()


def _date(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
