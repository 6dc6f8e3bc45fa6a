"""What a reply depends on in a request that h11 has accepted."""

from dataclasses import dataclass
from typing import Self

import h11


@dataclass(frozen=True, slots=True)
class Request:
    """A request and its digest.

    `host` is empty where HTTP/1.0 leaves it out, `length` what Content-Length declares, `upgrade`
    says that a WebSocket is wanted, `accepts_html` that a browser opens the address as a page, and
    `forwarded_for` is what a proxy says of its client.
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

    @classmethod
    def of(cls, raw: h11.Request) -> Self:
        path, _, query = raw.target.decode("ascii").partition("?")
        return cls(
            raw=raw,
            method=raw.method.decode("ascii"),
            path=path,
            query=query,
            host=_value(raw, b"host") or "",
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
        )


def _value(raw: h11.Request, name: bytes) -> str | None:
    """All values of a header, joined as RFC 9110 §5.3 has it, or None."""
    values = [value.decode("latin-1") for found, value in raw.headers if found == name]
    return ", ".join(values) if values else None


def _tokens(raw: h11.Request, name: bytes) -> list[str]:
    return [token.strip().lower() for token in (_value(raw, name) or "").split(",")]
