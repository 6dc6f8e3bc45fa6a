"""The rule of CORS, for HTTP and WebSocket: which web pages may read the time.

Only browsers send an Origin and obey the answer. The rule keeps foreign pages from using a
visitor's browser; it does not keep programs from asking.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

Headers = tuple[tuple[str, str], ...]
"""The header fields of a reply."""


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """`allowed` is every origin (True), none (False), or those listed."""

    allowed: bool | tuple[str, ...]

    def headers(self, origin: str | None) -> Headers:
        """The header fields of a reply to a request of that origin."""
        if self.allowed is True:
            return (("Access-Control-Allow-Origin", "*"),)
        if not self.allowed:
            return ()
        # The answer depends on the request's origin: no cache may give it to another one.
        vary = (("Vary", "Origin"),)
        if origin is None or not self._listed(origin):
            return vary
        return (("Access-Control-Allow-Origin", origin), *vary)

    def preflight_headers(self, origin: str | None) -> Headers:
        """The header fields of a reply to OPTIONS, with which a page asks before its request."""
        headers = self.headers(origin)
        if not any(name == "Access-Control-Allow-Origin" for name, _ in headers):
            return headers
        return (
            *headers,
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Headers", "*"),
            ("Access-Control-Max-Age", "86400"),
        )

    def permits_upgrade(self, origin: str | None, host: str) -> bool:
        """Whether a WebSocket may be opened. CORS does not cover those: the server must refuse."""
        if origin is None or self.allowed is True:
            return True
        return _same_origin(origin, host) or self._listed(origin)

    def _listed(self, origin: str) -> bool:
        return isinstance(self.allowed, tuple) and origin.lower() in map(str.lower, self.allowed)


def _same_origin(origin: str, host: str) -> bool:
    """Whether a page came from the host and port that it now talks to."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:  # such as an IPv6 address that never ends
        return False
