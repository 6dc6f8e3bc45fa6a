"""Who is at the other end of a connection: a client, or a proxy that speaks for its clients."""

import ipaddress
from dataclasses import dataclass

from webntpd.server.clients import Client, Clients
from webntpd.server.parameters import ServerError


@dataclass(frozen=True, slots=True)
class Caller:
    """The other end. `direct` is its client, None if no limits of an address apply to it."""

    clients: Clients
    direct: Client | None
    is_proxy: bool = False

    def client(self, forwarded_for: str | None) -> Client | None:
        """Who sent a request with that X-Forwarded-For; None if no limit applies to him.

        Proxies append to that header, so only its last entry is from one that we trust.
        """
        if not self.is_proxy or forwarded_for is None:
            return self.direct
        return self.clients.find(forwarded_for.rpartition(",")[2].strip())


class Reception:
    """Knows the proxies. `trusted` are addresses and networks, and "unix" for Unix sockets."""

    def __init__(self, clients: Clients, trusted: tuple[str, ...]) -> None:
        self.clients = clients
        self._unix = "unix" in trusted
        self._networks = [network(each) for each in trusted if each != "unix"]

    def caller(self, host: str) -> Caller:
        """Who connects from an address, which is empty for a Unix socket."""
        if self._is_proxy(host):
            return Caller(self.clients, None, is_proxy=True)
        return Caller(self.clients, self.clients.find(host))

    def _is_proxy(self, host: str) -> bool:
        if not host:
            return self._unix
        if not self._networks:
            return False
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(address in network for network in self._networks)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network or single address that a text names. Raises ServerError."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ServerError(f"cannot trust proxy {text}: {error}") from error
