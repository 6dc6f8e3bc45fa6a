"""The parameters of the server, its limits, and the one error that setting it up can raise."""

from dataclasses import dataclass, field
from pathlib import Path


class ServerError(Exception):
    """The server cannot run as configured; the text names the address and the reason."""


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


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """What to listen on and what to say.

    `listen` holds addresses: "127.0.0.1:8080", "[::1]:8080", "name:8080", ":8080" for every
    address, where port 0 takes a free one; "unix:/path"; and "systemd" for the sockets that a
    socket unit has opened. At those of `listen_tls` TLS is spoken, with `certificate` and `key`,
    PEM files; the key may be in the certificate's file.

    `allow_cross_origin` lets web pages of every origin read the time, or those of the origins
    listed. `local` declares the machine's clock good whatever the kernel says of it; `max_error`
    replaces the kernel's maximum error, s. With `require_sync` nobody is told the time of a clock
    that is not synchronised. Without `kernel_timestamps` arrivals are read in user space, and
    departures are not told.

    `trusted_proxies` are addresses or networks whose X-Forwarded-For is believed, and "unix" for
    what connects by a Unix socket. `grace` is how long a stop waits for replies and WebSocket
    closes to get through, s. `workers` is the number of processes that serve; with 0 it is done in
    the caller's own loop.
    """

    listen: tuple[str, ...] = ()
    allow_cross_origin: bool | tuple[str, ...] = False
    local: bool = False
    max_error: float | None = None
    listen_tls: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    require_sync: bool = False
    kernel_timestamps: bool = True
    trusted_proxies: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    grace: float = 2.0
    workers: int = 0
