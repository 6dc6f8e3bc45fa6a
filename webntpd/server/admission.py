"""The other end of a connection: a client, or a proxy that speaks for its clients.

A client pays for a connection before anything is read from it, and the price includes one request.
So a client that connects anew for every request pays no more than one that stays. A client over
its rate is turned away before it costs more than the accept.
"""

import ipaddress
from dataclasses import dataclass

from webntpd.server.clients import LOOPBACK, UNKNOWN, Client, Clients, address_of, holders_of
from webntpd.server.parameters import ServerError
from webntpd.server.slots import Connection, ConnectionSlot, ConnectionSlots

TLS_PRICE = 2
"""Price of a TLS connection, requests. Its handshake takes 50 times the work of one."""

MAX_ADDRESS = 80
"""Longest address of a client that a proxy may name, characters: an IPv6 one with zone and port.
Addresses are cached, and other text in their place may have thousands of characters."""
MAPPED_PREFIX = 96
"""Length of ::ffff:0:0/96, which has the IPv4 addresses in it (RFC 4291 §2.5.5.2)."""


@dataclass(slots=True)
class Caller:
    """The other end of one connection.

    `direct` is the client that connects, None if no limits of an address apply to it. `proxy` is
    the address of a trusted proxy, empty for a Unix socket, None if no proxy connects. The
    connection counts towards `holder`, and `slot` is its place. `paid` says that the next request
    is paid already.
    """

    admission: "Admission"
    direct: Client | None
    proxy: str | None = None
    holder: Client | None = None
    slot: ConnectionSlot | None = None
    paid: bool = False

    def client(self, forwarded_for: str | None) -> Client | None:
        """The client that a request with that X-Forwarded-For counts towards.

        None if no limit applies to it. A proxy that names no client is limited itself, on this
        machine too: others may be behind it.
        """
        if self.proxy is None:
            return self.direct
        if forwarded_for is None:
            return self.admission.clients.find_limited(self.proxy)
        return self.admission.client_of(forwarded_for)

    def pay(self, *, tls: bool) -> bool:
        """Charge the client at the other end for a connection. False if it may have none."""
        client = self.direct
        if client is None:
            return True
        self.paid = not client.full and client.admit(TLS_PRICE if tls else 1)
        return self.paid

    def admits(self, client: Client) -> bool:
        """Count a request of a client, unless it is paid for. False if it is one too many."""
        if self.paid:
            self.paid = False
            return True
        return client.admit()

    def enter(self, connection: Connection) -> None:
        """Count the connection from now on."""
        holders = holders_of(self.proxy or LOOPBACK) if self.direct is None else self.direct.holders
        self.slot = self.admission.slots.take(connection, holders)
        self._change_holder(self.direct)

    def hold(self, client: Client | None) -> bool:
        """Count a proxy's connection towards its client. False if that has too many already."""
        if client is not None:
            if client.full:
                return False
            self._change_holder(client)
            if self.slot is not None:
                self.admission.slots.move(self.slot, client.holders)
        return True

    def leave(self) -> None:
        """Count the connection no more."""
        self._change_holder(None)
        if self.slot is not None:
            self.admission.slots.free(self.slot)
            self.slot = None  # else a cycle waits for the garbage collector

    def _change_holder(self, client: Client | None) -> None:
        if self.holder is not None:
            self.holder.connections -= 1
        self.holder = client
        if client is not None:
            client.connections += 1


class Admission:
    """Knows the proxies. `trusted` are addresses and networks, and "unix" for Unix sockets."""

    def __init__(self, clients: Clients, trusted: tuple[str, ...]) -> None:
        self.clients = clients
        self.slots = ConnectionSlots()
        self._unix = "unix" in trusted
        self._networks = [network(each) for each in trusted if each != "unix"]

    def caller(self, host: str) -> Caller:
        """The caller that connects from an address, which is empty for a Unix socket."""
        if self._is_trusted(host) if host else self._unix:
            return Caller(self, None, proxy=host)
        return Caller(self, self.clients.find(host))

    def client_of(self, forwarded_for: str) -> Client | None:
        """The client behind our proxies.

        Each proxy appends the address that it got the request from. So the last entry that is no
        proxy of ours is the client. The client itself wrote the entries before it.
        """
        *others, host = (entry.strip() for entry in forwarded_for.split(","))
        while others and self._is_trusted(host):
            host = others.pop()
        return self.clients.find(host if 0 < len(host) <= MAX_ADDRESS else UNKNOWN)

    def _is_trusted(self, host: str) -> bool:
        if not self._networks:
            return False
        address = address_of(host)
        return any(address in network for network in self._networks if address is not None)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network or single address that a text names. Raises ServerError."""
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ServerError(f"cannot trust proxy {text}: {error}") from error
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= MAPPED_PREFIX:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, found.prefixlen - MAPPED_PREFIX))
    return found
