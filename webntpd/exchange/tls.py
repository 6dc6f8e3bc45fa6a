"""TLS over any stream, verified against the system's store or a file of one's own."""

import ssl
from pathlib import Path

import trio

from webntpd.exchange.failure import failed, tls_reason
from webntpd.ntp.types import Rejection


def make_context(ca_file: Path | None) -> ssl.SSLContext:
    """What a client asks of a server's certificate. Raises ExchangeError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        named = error.strerror and not isinstance(error, ssl.SSLError)
        reason = error.strerror if named else "there is no certificate in it: it must be a PEM file"
        raise failed(Rejection.TLS, f"{ca_file}: {reason}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


async def start_tls(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str
) -> trio.SSLStream[trio.abc.Stream]:
    """Shake hands with `host` over `stream`. Raises ExchangeError."""
    try:
        # HTTP ends its messages itself, and so do its servers: often without a close_notify.
        secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        await secured.do_handshake()
    except trio.BrokenResourceError as error:
        raise failed(Rejection.TLS, _reason(error)) from error
    except ValueError as error:  # a name that no certificate could have
        raise failed(Rejection.TLS, f"{host!r}: {error}") from error
    return secured


def _reason(error: trio.BrokenResourceError) -> str:
    if isinstance(error.__cause__, ssl.SSLError):
        return tls_reason(error.__cause__)
    return "connection lost in the handshake"
