"""HTTP CONNECT proxies (RFC 9110 §9.3.6): which one to use, and a tunnel through it.

A tunnel is asked for in front of every scheme, plain http and ws too: only so do the proxy's own
buffers and caches stay out of what is measured.
"""

import base64
import urllib.request
from dataclasses import dataclass

import h11
import httpx
import trio

from webntpd.exchange.failure import broken, failed, refused
from webntpd.ntp.types import Rejection

_ENVIRONMENT_SCHEME = {"ws": "http", "wss": "https"}
_DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens. `authorization` is the value of its header, if it wants one."""

    host: str
    port: int
    tls: bool
    authorization: str | None

    def __str__(self) -> str:
        return f"proxy {self.host}:{self.port}"


def basic_authorization(url: httpx.URL) -> str | None:
    """The header's value for the user and password in a URL (RFC 7617)."""
    if not url.userinfo:
        return None
    credentials = f"{url.username}:{url.password}".encode()
    return f"Basic {base64.b64encode(credentials).decode()}"


def proxy_for(url: httpx.URL, setting: str | None) -> Proxy | None:
    """The proxy on the way to `url`. Raises ExchangeError if it makes no sense.

    `setting` is a proxy's URL, empty for none; None asks the environment: https_proxy,
    http_proxy, all_proxy, no_proxy, as every other program reads them.
    """
    text = _from_environment(url) if setting is None else setting
    return parse_proxy(text) if text else None


def _from_environment(url: httpx.URL) -> str | None:
    proxies = urllib.request.getproxies()
    scheme = _ENVIRONMENT_SCHEME.get(url.scheme, url.scheme)
    if urllib.request.proxy_bypass(f"{url.host}:{effective_port(url)}"):
        return None
    return proxies.get(scheme) or proxies.get("all")


def effective_port(url: httpx.URL) -> int:
    """The port of a URL, be it the scheme's default."""
    scheme = _ENVIRONMENT_SCHEME.get(url.scheme, url.scheme)
    return url.port or _DEFAULT_PORT[scheme]


def parse_proxy(text: str) -> Proxy:
    """A proxy's URL; without a scheme it is http. Raises ExchangeError."""
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        host = url.host
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: a host that is no IDN
        raise failed(Rejection.PROXY, f"proxy URL: {error}") from error
    if url.scheme not in _DEFAULT_PORT or not host:
        raise failed(Rejection.PROXY, f"proxy URL {url!r} is not http://host or https://host")
    return Proxy(host, effective_port(url), url.scheme == "https", basic_authorization(url))


async def open_tunnel(stream: trio.abc.Stream, proxy: Proxy, authority: str, now_ns: int) -> None:
    """Make of `stream`, which leads to the proxy, one that leads to `authority` (host:port).

    Raises ExchangeError. `now_ns` is of the wall clock.
    """
    connection = h11.Connection(h11.CLIENT)
    request_headers = [("Host", authority)]
    if proxy.authorization is not None:
        request_headers.append(("Proxy-Authorization", proxy.authorization))
    request = h11.Request(method="CONNECT", target=authority, headers=request_headers)
    try:
        await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
        response = await _read_response(stream, connection)
    except trio.BrokenResourceError as error:
        raise failed(Rejection.PROXY, f"{proxy}: {broken(error).failure.detail}") from error
    except h11.RemoteProtocolError as error:
        raise failed(Rejection.PROXY, f"{proxy}: not HTTP: {error}") from error
    if not 200 <= response.status_code < 300:
        headers = httpx.Headers(list(response.headers))
        failure = refused(response.status_code, headers, now_ns).failure
        detail = f"{proxy}: {failure.detail}"
        raise failed(Rejection.PROXY, detail, retry_after=failure.retry_after)
    if connection.trailing_data[0]:
        raise failed(Rejection.PROXY, f"{proxy}: sent data of its own into the tunnel")


async def _read_response(stream: trio.abc.Stream, connection: h11.Connection) -> h11.Response:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            data = await stream.receive_some(4096)  # h11 takes 16 KiB of headers and no more
            if not data:
                raise trio.BrokenResourceError("the proxy hung up")
            connection.receive_data(bytes(data))
