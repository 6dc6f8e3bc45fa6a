"""The sockets that the server listens on."""

import errno
import os
import socket
from collections.abc import Iterable

import trio

from webntpd.server.parameters import ServerError

BACKLOG = 1024
"""Connections that wait to be accepted; the kernel's own limit may be lower."""


def split_address(address: str) -> tuple[str | None, int]:
    """Host and port of "host:port"; the host is None for every address. Raises ServerError."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ServerError(f"cannot listen on {address}: not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ServerError(f"cannot listen on {address}: an IPv6 address stands in [brackets]")
    return host or None, int(port)


def shown_address(listener: socket.socket) -> str:
    """Where a socket listens, in the form that split_address takes."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family is socket.AF_INET6 else f"{host}:{port}"


async def listen(addresses: Iterable[str]) -> list[socket.socket]:
    """Open a socket for each address that the texts stand for. Raises ServerError."""
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            for family, place in await _resolve(address):
                listeners.append(_bound(family, place, address))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


async def _resolve(address: str) -> list[tuple[int, tuple[object, ...]]]:
    host, port = split_address(address)
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ServerError(f"cannot listen on {address}: {error.strerror}") from error
    return [(family, place) for family, _, _, _, place in found]


def _bound(family: int, place: tuple[object, ...], address: str) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.settimeout(0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
        if family == socket.AF_INET6:  # or "::" would take the port of "0.0.0.0" too
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or errno.EINVAL).lower()
        raise ServerError(f"cannot listen on {address}: {reason}") from error
    return listener
