"""HTTP CONNECT proxies (RFC 9110 §9.3.6): which one to use, and a tunnel through it.

Plain http and ws go through a tunnel, too: without one, the proxy's own buffers and caches would
delay what is measured.
"""

import base64
import re
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

import h11
import httpx
import trio

from webntpd.exchange.failure import broken, refused
from webntpd.ntp.readings import Rejection
from webntpd.protocol.rejected import Rejected

_ENVIRONMENT_SCHEME = {"ws": "http", "wss": "https"}
_DEFAULT_PORT = {"http": 80, "https": 443}
MAX_PORT = 65535

_SUPPORTED = "the http:// or https:// URL of a proxy that allows CONNECT"
_ENCODING = "in user and password, / is written %2F, # %23, ? %3F, @ %40, : %3A and % %25"
_AUTHORITY = re.compile(r"([^/?#]*)(.*)", re.DOTALL)  # RFC 3986 §3.2
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")  # RFC 3986 §2.1
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address of a proxy. `authorization` is the Proxy-Authorization to send, None for none."""

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
    """The proxy on the way to `url`. Raises Rejected if it is invalid.

    `setting` is a proxy's URL, empty for none; None asks the environment: https_proxy,
    http_proxy, all_proxy, no_proxy, as every other program reads them.
    """
    text = _from_environment(url) if setting is None else setting
    try:
        return parse_proxy(text) if text else None
    except ValueError as error:
        place = "of the environment" if setting is None else "of the configuration"
        raise Rejected(Rejection.PROXY, f"the proxy {place}: {error}") from error


def _from_environment(url: httpx.URL) -> str | None:
    proxies = urllib.request.getproxies()
    scheme = _ENVIRONMENT_SCHEME.get(url.scheme, url.scheme)
    if urllib.request.proxy_bypass(f"{url.host}:{effective_port(url)}"):
        return None
    return proxies.get(scheme) or proxies.get("all")


def effective_port(url: httpx.URL) -> int:
    """The port of a URL, or the default port of its scheme."""
    scheme = _ENVIRONMENT_SCHEME.get(url.scheme, url.scheme)
    return url.port or _DEFAULT_PORT[scheme]


def parse_proxy(text: str) -> Proxy:
    """Parse a proxy's URL; without a scheme it is http.

    Raises ValueError. Its message shows no text that may be part of a password.
    """
    scheme, separator, rest = text.rpartition("://")
    scheme = scheme.lower() if separator else "http"
    if scheme.startswith("socks"):
        raise ValueError(f"SOCKS is not supported, only {_SUPPORTED}")
    authority, path = _AUTHORITY.fullmatch(rest).groups()  # type: ignore[union-attr]  # matches all
    if scheme.startswith("pac") or path.endswith((".pac", ".dat")):
        raise ValueError(f"a PAC file is not supported: name the proxy in it, {_SUPPORTED}")
    if scheme not in _DEFAULT_PORT:
        raise ValueError(f"must be {_SUPPORTED}")
    # The text after the last @ holds no password. Without an @, any part may be one.
    shown = f", not ...@{rest.rpartition('@')[2]}" if "@" in rest else ""
    reason = f"must be http://[user:password@]host[:port]{shown}; {_ENCODING}"
    if "@" in path or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(reason)
    if _STRAY_PERCENT.search(authority.rpartition("@")[0]):
        raise ValueError(reason)
    try:
        url = httpx.URL(f"{scheme}://{authority}")
        host, port = url.host, effective_port(url)
    except (httpx.InvalidURL, ValueError):  # ValueError: a host that is no IDN
        raise ValueError(reason) from None  # the cause quotes what it could not read
    if not host or url.port == 0 or port > MAX_PORT:
        raise ValueError(reason)
    return Proxy(host, port, scheme == "https", basic_authorization(url))


async def open_tunnel(stream: trio.abc.Stream, proxy: Proxy, authority: str, now_ns: int) -> None:
    """Turn `stream`, which leads to the proxy, into one that leads to `authority` (host:port).

    Raises Rejected. `now_ns` is of the wall clock.
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
        raise Rejected(Rejection.PROXY, f"{proxy}: {broken(error).detail}") from error
    except h11.RemoteProtocolError as error:
        raise Rejected(Rejection.PROXY, f"{proxy}: not HTTP: {error}") from error
    if not 200 <= response.status_code < 300:
        headers = httpx.Headers(list(response.headers))
        failure = refused(response.status_code, headers, now_ns).failure
        detail = f"{proxy}: {failure.detail}"
        if response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            detail += f": {_about_authentication(proxy, headers)}"
        raise Rejected(Rejection.PROXY, detail, retry_after=failure.retry_after)
    if connection.trailing_data[0]:
        raise Rejected(Rejection.PROXY, f"{proxy}: sent data of its own into the tunnel")


def _about_authentication(proxy: Proxy, headers: httpx.Headers) -> str:
    """The authentication schemes that a proxy offers, and the remedy (RFC 9110 §11.7.1)."""
    offered = ", ".join(_schemes(headers.get_list("proxy-authenticate"))) or "nothing"
    if "basic" not in offered.lower().split(", "):
        return f"it offers {offered}: webntpd speaks only Basic, and neither NTLM nor Negotiate"
    if proxy.authorization is None:
        return f"it offers {offered}: put user and password into the URL of the proxy; {_ENCODING}"
    return f"it offers {offered}, and refuses this user and password"


def _schemes(challenges: Iterable[str]) -> Iterator[str]:
    """The names of the schemes. Commas separate the schemes, and the parameters of a scheme."""
    for challenge in challenges:
        for part in _QUOTED.sub("", challenge).split(","):
            name, *_ = part.split() or [""]
            if name and "=" not in name:
                yield name


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
