"""Who is at the other end of a connection: a client, or a proxy that speaks for its clients."""

import ipaddress
from dataclasses import dataclass

from webntpd.server.clients import UNKNOWN, Client, Clients, address_of
from webntpd.server.parameters import ServerError


@dataclass(frozen=True, slots=True)
class Caller:
    """The other end.

    `direct` is the client that its connection counts towards, None if no limits of an address
    apply to it; `proxy` is its address if it is one of our proxies, empty for a Unix socket.
    """

    reception: "Reception"
    direct: Client | None
    proxy: str | None = None

    def client(self, forwarded_for: str | None) -> Client | None:
        """The client that a request with that X-Forwarded-For counts towards.

        None if no limit applies to it. A proxy that names no client is limited itself.
        """
        if self.proxy is None:
            return self.direct
        if forwarded_for is None:
            return self.reception.clients.find(self.proxy)
        return self.reception.client_of(forwarded_for)


class Reception:
    """Knows the proxies. `trusted` are addresses and networks, and "unix" for Unix sockets."""

    def __init__(self, clients: Clients, trusted: tuple[str, ...]) -> None:
        self.clients = clients
        self._exempt = Caller(self, None)
        self._unix = "unix" in trusted
        self._networks = [network(each) for each in trusted if each != "unix"]

    def caller(self, host: str) -> Caller:
        """Who connects from an address, which is empty for a Unix socket."""
        if self._is_trusted(host) if host else self._unix:
            return Caller(self, None, proxy=host)
        client = self.clients.find(host)
        return self._exempt if client is None else Caller(self, client)

    def client_of(self, forwarded_for: str) -> Client | None:
        """Who is behind our proxies.

        Each appends whom it got the request from. So the last entry that is none of ours is the
        client, and what stands before it is what the client wants us to believe.
        """
        *others, host = (entry.strip() for entry in forwarded_for.split(","))
        while others and self._is_trusted(host):
            host = others.pop()
        return self.clients.find(host or UNKNOWN)

    def _is_trusted(self, host: str) -> bool:
        if not self._networks:
            return False
        address = address_of(host)
        return any(address in network for network in self._networks if address is not None)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network or single address that a text names. Raises ServerError."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ServerError(f"cannot trust proxy {text}: {error}") from error
