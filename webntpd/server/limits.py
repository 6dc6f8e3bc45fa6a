"""The limits on what the server does for one client, and for all together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds with defaults that suit a public server. Times are in seconds.

    `connections` are those open at once in all, `connections_per_address` those of one address,
    of which an IPv6 /64 counts as one. With one too many in all, the longest idle connection of the
    address, /64 or /48 that holds most makes room. An address may send `requests_per_second` in the
    long run, HTTP requests and WebSocket frames alike, and `request_burst` of them at once. A
    connection costs one, which pays for its first request, and a TLS connection two. Clients on
    this machine are exempt from the limits of an address if `exempt_loopback`, since a reverse
    proxy sits there. `header_size` bounds a request line with its header block, bytes;
    `request_time` is what a request may take to come in, the TLS handshake included, and how long
    a client may take nothing of a reply; `idle_time` is how long a connection may be silent, which
    for a WebSocket should be more than a client's longest poll interval.
    """

    connections: int = 16384
    connections_per_address: int = 64
    requests_per_second: float = 10.0
    request_burst: int = 100
    exempt_loopback: bool = True
    header_size: int = 8192
    request_time: float = 10.0
    idle_time: float = 1200.0
