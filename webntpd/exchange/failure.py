"""How whatever goes wrong in an exchange gets its one name.

Every library's exception ends here as an ExchangeError: a peer's task knows no other.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
import trio

from webntpd.exchange.base import ExchangeError
from webntpd.ntp.readings import NS_PER_S, Failure, Rejection
from webntpd.protocol import wire
from webntpd.sockets.stream import FloodError

MAX_SHOWN = 300  # characters of a failure's detail


def failed(rejection: Rejection, detail: str, *, retry_after: float | None = None) -> ExchangeError:
    """The error to raise for a named reason. `detail` may hold what a server said."""
    return ExchangeError(Failure(rejection, printable(detail), retry_after))


def printable(text: str) -> str:
    """`text` on one line of bounded length, so that no server forges log lines."""
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in shown)


@contextmanager
def step(name: str, timeout: float) -> Iterator[None]:
    """One step of an exchange, which must end within `timeout` s or be named in the failure."""
    try:
        with trio.fail_after(timeout):
            yield
    except trio.TooSlowError as error:
        raise failed(Rejection.TIMEOUT, f"{name} took longer than {timeout:g} s") from error


def broken(error: Exception) -> ExchangeError:
    """A stream that broke: TLS says why as its cause, and so does a socket by its message."""
    if isinstance(error, FloodError):
        return failed(Rejection.PROTOCOL, str(error))
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return failed(Rejection.TLS, tls_reason(cause))
    return failed(Rejection.CLOSED, f"connection lost: {error or type(error).__name__}")


def tls_reason(error: ssl.SSLError) -> str:
    """OpenSSL's own words, without the codes around them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")


def refused(status: int, headers: httpx.Headers, now_ns: int) -> ExchangeError:
    """An HTTP status that is no reply. `now_ns` is of the wall clock, for Retry-After."""
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    retry_after = parse_retry_after(headers, now_ns)
    if 300 <= status < 400 and "location" in headers:
        detail = f"{phrase}, to {headers['location']}"
        return failed(Rejection.REDIRECT, detail, retry_after=retry_after)
    return failed(Rejection.HTTP_STATUS, phrase, retry_after=retry_after)


def parse_retry_after(headers: httpx.Headers, now_ns: int) -> float | None:
    """Seconds to wait, from a Retry-After of either form (RFC 9110 §10.2.3).

    A date is taken relative to the server's own Date where there is one: the local clock is not
    to be trusted, it is what is being set. What cannot be read is as good as absent.
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
    except wire.WireError:
        return None
    return max(0.0, (until_ns - now_ns) / NS_PER_S)
