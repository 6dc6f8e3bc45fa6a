"""The clients by address, and the part of the limits that each has used.

An address is kept while it has a connection, and until it has its whole burst again: many clients
open a connection for every request.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from functools import lru_cache

from webntpd.ntp.readings import NS_PER_S
from webntpd.server.parameters import Limits

MAX_ADDRESSES = 65536
"""Most addresses kept."""

LOOPBACK = "this machine"
UNKNOWN = "unknown"

_WITH_PORT = re.compile(r"\[(?P<ipv6>[^]]*:[^]]*)\](?::[0-9]+)?|(?P<ipv4>[0-9.]+):[0-9]+")


class Client:
    """One address. Its requests are counted by the generic cell rate algorithm (ITU-T I.371).

    That is a leaky bucket kept as one number: the time at which it would be empty.
    """

    __slots__ = (
        "_burst_ns", "_empty_ns", "_interval_ns", "_most_connections", "_now_ns", "_share",
        "connections",
    )  # fmt: skip

    def __init__(self, limits: Limits, now_ns: Callable[[], int], share: str = "") -> None:
        self.connections = 0
        self._share = share
        self._most_connections = limits.connections_per_address
        self._now_ns = now_ns
        self._interval_ns = round(NS_PER_S / limits.requests_per_second)
        self._burst_ns = limits.request_burst * self._interval_ns
        self._empty_ns = 0

    @property
    def holders(self) -> tuple[str, ...]:
        """The names under which its connections are counted (see slots.py)."""
        return holders_of(self._share)

    @property
    def retry_after(self) -> int:
        """After how many seconds a request that is refused now would be admitted."""
        wait_ns = self._empty_ns + self._interval_ns - self._burst_ns - self._now_ns()
        return max(1, math.ceil(wait_ns / NS_PER_S))

    @property
    def forgettable(self) -> bool:
        return self.connections == 0 and self._empty_ns <= self._now_ns()

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it may have."""
        return self.connections >= self._most_connections

    def admit(self, requests: int = 1) -> bool:
        """Count that many requests, and return True, unless that is too much.

        More than a burst counts as one burst: it would never be admitted.
        """
        now_ns = self._now_ns()
        cost_ns = self._interval_ns
        if requests != 1:
            cost_ns = min(requests * cost_ns, self._burst_ns)
        empty_ns = max(self._empty_ns, now_ns) + cost_ns
        if empty_ns - now_ns > self._burst_ns:
            return False
        self._empty_ns = empty_ns
        return True


class Clients:
    """The addresses known at the moment. `now_ns` is of a monotonic clock."""

    def __init__(self, limits: Limits, now_ns: Callable[[], int]) -> None:
        self._limits = limits
        self._now_ns = now_ns
        self._known: dict[str, Client] = {}
        self._others = Client(limits, now_ns)

    def find(self, host: str) -> Client | None:
        """The client of an address, which is empty for a Unix socket.

        None if the limits of an address do not apply to it.
        """
        if self._limits.exempt_loopback and share_of(host) == LOOPBACK:
            return None
        return self.find_limited(host)

    def find_limited(self, host: str) -> Client:
        """The client of an address, also of one on this machine.

        Beyond MAX_ADDRESSES, all further addresses share one client.
        """
        share = share_of(host)
        client = self._known.get(share)
        if client is None:
            if len(self._known) >= MAX_ADDRESSES:
                return self._others
            client = self._known[share] = Client(self._limits, self._now_ns, share)
        return client

    def __len__(self) -> int:
        return len(self._known)

    def prune(self) -> None:
        """Forget the addresses without a connection and with their whole burst."""
        for share in [share for share, client in self._known.items() if client.forgettable]:
            del self._known[share]


@lru_cache(maxsize=4096)
def share_of(host: str) -> str:
    """The share of the server that an address uses: its own, or that of its IPv6 /64."""
    if not host:  # a Unix socket's
        return LOOPBACK
    address = address_of(host)
    if address is None:
        return UNKNOWN
    if address.is_loopback:
        return LOOPBACK
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


@lru_cache(maxsize=4096)
def holders_of(share: str) -> tuple[str, ...]:
    """The names under which the connections of a share are counted, the smallest first."""
    if ":" not in share:
        return (share,)
    return (share, str(ipaddress.IPv6Network(share).supernet(new_prefix=48)))


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in a text, None if it is none; some proxies add the port (RFC 7239 §6).

    The address of an IPv4 client is IPv4, also on an IPv6 socket.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        match = _WITH_PORT.fullmatch(text)
        return None if match is None else address_of(match["ipv6"] or match["ipv4"])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
