"""The parts of an accepted request that its reply depends on."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

import h11

MAX_HOST = 255
"""Longest host without its port, bytes: that of a domain name (RFC 1035 §2.3.4)."""

# RFC 9112 §3.2: Host = uri-host [ ":" port ], and RFC 3986 §3.2.2 for the host. Clients such as
# httpx leave the zone of a link-local address in.
_HOST = re.compile(
    r"""
    (?P<host>
        \[ (?P<ipv6>[0-9A-Fa-f:.]+) (?:%(?:[\w.~-]|%[0-9A-Fa-f]{2})+)? \]
      | \[ v[0-9A-Fa-f]+ \. [\w.~!$&'()*+,;=:-]+ \]
      | (?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*
    )
    (?: : [0-9]{0,5} )?
    """,
    re.ASCII | re.VERBOSE,
)
# RFC 9112 §3.2.2; an address without a path is that of "/".
_ABSOLUTE = re.compile(r"(?i:https?)://(?P<host>[^/?]+)(?P<rest>.*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A request and its digest.

    `host` is empty where HTTP/1.0 leaves it out. `host` and `path` come from the target if that is
    a whole address. `length` is the Content-Length. `upgrade` says that a WebSocket is wanted,
    `accepts_html` that a browser opens the address as a page. `forwarded_for` is the
    X-Forwarded-For. `fault` is the reason to refuse a request that h11 accepts.
    """

    raw: h11.Request
    method: str
    path: str
    query: str
    host: str
    origin: str | None
    forwarded_for: str | None
    if_none_match: str | None
    length: int
    upgrade: bool
    accepts_html: bool
    fault: str | None

    @classmethod
    def of(cls, raw: h11.Request) -> Self:
        host = _value(raw, b"host") or ""
        target = raw.target.decode("ascii")
        fault = _fault(raw.method, host, target)
        if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
            host, target = absolute.groups()
        path, _, query = target.partition("?")
        return cls(
            raw=raw,
            method=raw.method.decode("ascii"),
            path=path or "/",
            query=query,
            host=host,
            origin=_value(raw, b"origin"),
            forwarded_for=_value(raw, b"x-forwarded-for"),
            if_none_match=_value(raw, b"if-none-match"),
            length=int(_value(raw, b"content-length") or "0"),
            # RFC 9110 §7.8: an upgrade is hop-by-hop, so Connection names it; HTTP/1.0 has none.
            upgrade=raw.method == b"GET"
            and raw.http_version == b"1.1"
            and "websocket" in _tokens(raw, b"upgrade")
            and "upgrade" in _tokens(raw, b"connection"),
            accepts_html=any(
                kind.partition(";")[0].strip() == "text/html" for kind in _tokens(raw, b"accept")
            ),
            fault=fault,
        )


def _fault(method: bytes, host: str, target: str) -> str | None:
    """The fault of a request's Host or target, or None (RFC 9112 §3.2)."""
    if not _is_host(host):
        return "Host is not a host with an optional port"
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None and not _is_host(absolute["host"]):
        return "the target's host is not a host with an optional port"
    if method == b"CONNECT":  # to an authority; it will not be served
        return None
    if "#" in target:
        return "the target has a fragment"
    if absolute is None and not target.startswith("/") and (method, target) != (b"OPTIONS", "*"):
        return "the target is neither a path nor an address"
    return None


def _is_host(value: str) -> bool:
    match = _HOST.fullmatch(value)
    if match is None or len(match["host"]) > MAX_HOST:
        return False
    if match["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            return False
    return True


def _value(raw: h11.Request, name: bytes) -> str | None:
    """All values of a header, joined as RFC 9110 §5.3 has it, or None."""
    values = [value.decode("latin-1") for found, value in raw.headers if found == name]
    return ", ".join(values) if values else None


def _tokens(raw: h11.Request, name: bytes) -> list[str]:
    return [token.strip().lower() for token in (_value(raw, name) or "").split(",")]
