"""The limits on what the server does for one client, and for all together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds with defaults that suit a public server. Times are in seconds.

    `connections` limits the connections that are open at once, `connections_per_address` those of
    one address. An IPv6 /64 counts as one address. One connection too many closes the longest idle
    one of the address, /64 or /48 that holds most. An address may send `requests_per_second` in the
    long run, HTTP requests and WebSocket frames alike, and `request_burst` of them at once. A
    connection costs one request, which pays for its first one, and a TLS connection costs two.
    `exempt_loopback` exempts clients on this machine from the limits of an address, since a reverse
    proxy runs there. `header_size` limits a request line with its header block, bytes.

    `request_time` limits the time for a request to come in, the TLS handshake included, and the
    time in which a client takes nothing of a reply. `idle_time` limits the silence on a connection.
    For a WebSocket it should be more than a client's longest poll interval.
    """

    connections: int = 16384
    connections_per_address: int = 64
    requests_per_second: float = 10.0
    request_burst: int = 100
    exempt_loopback: bool = True
    header_size: int = 8192
    request_time: float = 10.0
    idle_time: float = 1200.0
