"""The clock page and its parts: the only files that this server has.

They are part of the program, read once, and the same for everybody. The page runs our own scripts
and nothing else: its Content-Security-Policy lets in neither what other servers have nor what
somebody has written into it. Its addresses are relative, so that it works behind a proxy's prefix.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Self

from webntpd.server.crossorigin import Headers
from webntpd.server.request import Request

CLOCK = "/clock"

_FILES = {
    CLOCK: ("clock.html", "text/html; charset=utf-8"),
    "/clock.css": ("clock.css", "text/css; charset=utf-8"),
    "/clock.js": ("clock.js", "text/javascript; charset=utf-8"),
    "/clock.svg": ("clock.svg", "image/svg+xml"),
    "/plot.js": ("plot.js", "text/javascript; charset=utf-8"),
    "/webntp.js": ("webntp.js", "text/javascript; charset=utf-8"),
}
PATHS = frozenset(_FILES)
"""The paths that serve a page and not the time."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class Page:
    """A file, and the entity tag by which a browser recognises it."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def read(cls, name: str, content_type: str) -> Self:
        body = (resources.files("webntpd.server") / "static" / name).read_bytes()
        return cls(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    @property
    def headers(self) -> Headers:
        """The header fields of a reply with the body."""
        return (
            *self.unchanged_headers,
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        )

    @property
    def unchanged_headers(self) -> Headers:
        """The header fields of a reply without body: the browser's copy is still good.

        no-cache has browsers ask each time, so that all files are of one version of the program.
        """
        return (("Cache-Control", "no-cache"), ("ETag", self.etag), ("Vary", "Accept"))

    def known_to(self, request: Request) -> bool:
        """RFC 9110 §13.1.2: whether the client has it; a proxy may have made the tag a weak one."""
        tags = (request.if_none_match or "").split(",")
        return any(tag.strip().removeprefix("W/") in {self.etag, "*"} for tag in tags)


@cache
def load() -> dict[str, Page]:
    """The pages by path."""
    return {path: Page.read(*file) for path, file in _FILES.items()}


def path_of(request: Request) -> str:
    """Where to look a request up: a browser that opens `/` to read it gets the clock.

    Everything else that asks there is a client of the time, as at any other path.
    """
    opens_root = request.path == "/" and not request.query and request.method == "GET"
    return CLOCK if opens_root and request.accepts_html and not request.upgrade else request.path
