"""The parameters of the server, its limits, and the one error that setting it up can raise."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from webntpd.keys import SAME, Duration, Form, Help, Positive


class ServerError(Exception):
    """The server cannot run as configured; the text names the address and the reason."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds with defaults that suit a public server. Times are in seconds."""

    connections: Annotated[
        Positive,
        Help(
            "Connections open at once, in all and of one address; an IPv6 /64 counts as one. With"
            " one too many in all, the longest idle one of the address, /64 or /48 that holds most"
            " is closed."
        ),
    ] = 16384
    connections_per_address: Annotated[Positive, SAME] = 64
    requests_per_second: Annotated[
        Duration,
        Help(
            "The requests and WebSocket frames of one address: each second in the long run, and at"
            " once. A connection costs as much as its first request, one with TLS twice that. This"
            " machine's addresses are exempt from the limits of an address, since a reverse proxy"
            " sits there."
        ),
    ] = 10.0
    request_burst: Annotated[Positive, SAME] = 100
    exempt_loopback: Annotated[bool, SAME] = True
    header_size: Annotated[
        int,
        Ge(256),
        Le(65536),
        Help(
            "The largest request line with its headers, bytes; how long a request may take to come"
            " in, the TLS handshake included, or a reply to be taken; and how long a connection may"
            " be silent. A WebSocket is silent for a client's whole poll interval."
        ),
    ] = 8192
    request_time: Annotated[Duration, SAME] = 10.0
    idle_time: Annotated[Duration, SAME] = 1200.0


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """The addresses to listen on, and what to reply.

    `grace` is how long a stop waits until replies and WebSocket closes are sent, s.
    """

    listen: Annotated[
        tuple[Annotated[str, Form.LISTEN_ADDRESS], ...],
        Help(
            'The addresses to listen at, e.g. ["0.0.0.0:8080", "[::]:8080"]. ":8080" is every'
            ' address. With none there is no server. "unix:/run/webntpd/socket" is a Unix socket,'
            ' "systemd" the sockets that a socket unit has opened.'
        ),
    ] = ()
    listen_tls: Annotated[
        tuple[Annotated[str, Form.LISTEN_ADDRESS], ...],
        Help(
            "The same with TLS, and its certificate and key, in PEM; one file may hold both. After"
            " a renewal `systemctl reload webntpd` reads them anew, and no connection ends by that."
        ),
    ] = ()
    certificate: Annotated[
        Annotated[Path, Form.FILE] | None, Help("", example="/etc/webntpd/certificate.pem")
    ] = None
    key: Annotated[Annotated[Path, Form.FILE] | None, Help("", example="/etc/webntpd/key.pem")] = (
        None
    )
    allow_cross_origin: Annotated[
        bool | tuple[Annotated[str, Form.ORIGIN], ...],
        Help(
            "May pages of other origins ask? false, true for all, or a list such as"
            ' ["https://www.example.org"].'
        ),
    ] = False
    local: Annotated[
        bool, Help("Declare this machine's clock good, even if the kernel does not.")
    ] = False
    max_error: Annotated[
        Duration | None,
        Help(
            "The largest error of this machine's clock. Without this key: the kernel's estimate.",
            example=0.001,
        ),
    ] = None
    require_sync: Annotated[
        bool,
        Help("Answer 503 while this machine's clock is not synchronised; else the replies say so."),
    ] = False
    kernel_timestamps: Annotated[
        bool, Help("Better timestamps, used where the kernel can: leave them on.")
    ] = True
    trusted_proxies: Annotated[
        tuple[Annotated[str, Form.CLIENT], ...],
        Help(
            'Reverse proxies whose X-Forwarded-For is believed: addresses, networks, "unix" for'
            " Unix sockets."
        ),
    ] = ()
    workers: Annotated[
        int,
        Ge(0),
        Le(256),
        Help(
            "Processes that serve, for more than one core; 0 serves within the daemon. Each holds"
            " clients to its own share of the limits on connections, and counts for itself what one"
            " address sends."
        ),
    ] = 0
    limits: Limits = field(default_factory=Limits)
    grace: float = 2.0
