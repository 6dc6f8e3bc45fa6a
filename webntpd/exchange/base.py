"""The interface of every exchange: one round trip with one server at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import trio

from webntpd.keys import SAME, Duration, Form, Help
from webntpd.names import Kind
from webntpd.ntp.readings import Reading

CLOSE_TIMEOUT = 1.0
"""Longest time to close a connection in order, s."""


@dataclass(frozen=True, slots=True)
class ExchangeParameters:
    """How to reach one server."""

    url: Annotated[
        str,
        Form.PEER_URL,
        Help(
            "Where the server is. wss:// and ws:// keep one WebSocket open, which measures best;"
            " https:// and http:// send a GET for each sample.",
            example="wss://time.example.org/",
        ),
    ]
    kind: Annotated[
        Kind,
        Help(
            'How to ask: "websocket" for ws(s)://, "http" for http(s)://, or "time-header" for Time'
            " over HTTPS at an http(s):// URL (a HEAD request; /.well-known/time where the URL has"
            " no path).",
            example="websocket",
        ),
    ]
    timeout: Annotated[
        Duration, Help("How long each step may take: connecting, TLS, the request.")
    ] = 5.0
    proxy: Annotated[
        Annotated[str, Form.PROXY_URL] | None,
        Help(
            'An HTTP proxy that allows CONNECT, e.g. "http://user:password@proxy.example.org:3128".'
            " In user and password, / is written %2F, # %23, ? %3F, @ %40, : %3A and % %25. SOCKS,"
            " PAC files, and proxies that want NTLM or Negotiate are not supported. Without this"
            ' key the environment decides (https_proxy, http_proxy, no_proxy); "" means none.',
            example="",
        ),
    ] = None
    ca_file: Annotated[
        Annotated[Path, Form.FILE] | None,
        Help(
            "Certificates to trust instead of the system's, in PEM."
            " Without this key: the system's.",
            example="/etc/ssl/certs/ca-certificates.crt",
        ),
    ] = None
    accept_date: Annotated[
        bool,
        Help("time-header only: make do with a Date header, which is good to half a second."),
    ] = False
    allow_unsynchronised: Annotated[
        bool, Help("Believe a server that says its own clock is not synchronised.")
    ] = False
    interleaved: Annotated[
        bool, Help("Better timestamps, used where server and kernel can: leave them on.")
    ] = True
    kernel_timestamps: Annotated[bool, SAME] = True


class Exchange(Protocol):
    """Measures one server. It opens a connection when it needs one, and keeps it for later."""

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        """Make one round trip and return the readings that it completed, oldest first.

        `last` says that no further exchange follows soon, so the reading must not wait for a
        later reply. Otherwise the result may be empty. Raises Rejected, with the readings that
        were complete before; the exchange is then ready for another measure.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection. A later measure opens a new one."""
        ...


async def say_goodbye(exchange: Exchange) -> None:
    """Close an exchange within CLOSE_TIMEOUT, even if the task is cancelled."""
    with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
        await exchange.aclose()
