"""Names the reason of each failed exchange.

Every library's exception becomes a Rejected here: a peer's task knows no other.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
import trio

from webntpd.ntp.readings import NS_PER_S, Rejection
from webntpd.protocol import wire
from webntpd.protocol.rejected import Rejected
from webntpd.sockets.stream import FloodError


@contextmanager
def step(name: str, timeout: float) -> Iterator[None]:
    """One step of an exchange, which must end within `timeout` s or be named in the failure."""
    try:
        with trio.fail_after(timeout):
            yield
    except trio.TooSlowError as error:
        raise Rejected(Rejection.TIMEOUT, f"{name} took longer than {timeout:g} s") from error


def broken(error: Exception) -> Rejected:
    """The rejection for a broken stream: the reason is TLS's as its cause, or its own message."""
    if isinstance(error, FloodError):
        return Rejected(Rejection.PROTOCOL, str(error))
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return Rejected(Rejection.TLS, tls_reason(cause))
    return Rejected(Rejection.CLOSED, f"connection lost: {error or type(error).__name__}")


def tls_reason(error: ssl.SSLError) -> str:
    """OpenSSL's own words, without the codes around them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")


def refused(status: int, headers: httpx.Headers, now_ns: int) -> Rejected:
    """The rejection for an HTTP status without a reading; `now_ns` is the wall clock's time."""
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    retry_after = parse_retry_after(headers, now_ns)
    if 300 <= status < 400 and "location" in headers:
        detail = f"{phrase}, to {headers['location']}"
        return Rejected(Rejection.REDIRECT, detail, retry_after=retry_after)
    return Rejected(Rejection.HTTP_STATUS, phrase, retry_after=retry_after)


def parse_retry_after(headers: httpx.Headers, now_ns: int) -> float | None:
    """Seconds to wait, from a Retry-After of either form (RFC 9110 §10.2.3).

    A date counts relative to the server's own Date if there is one, since the local clock may be
    wrong. None if there is no Retry-After, or none that can be read.
    """
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        until_ns = wire.parse_http_date(value)
        if "date" in headers:
            now_ns = wire.parse_http_date(headers["date"])
    except Rejected:
        return None
    return max(0.0, (until_ns - now_ns) / NS_PER_S)
