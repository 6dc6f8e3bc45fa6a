"""How the server is set up, and the one error that setting it up can raise."""

from dataclasses import dataclass, field
from pathlib import Path

from webntpd.server.limits import Limits


class ServerError(Exception):
    """The server cannot run as configured; the text names the address and the reason."""


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
