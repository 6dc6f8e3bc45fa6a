"""The addresses and ports of the hour, and the connections of the abusers."""

import socket
import struct
from dataclasses import dataclass
from random import Random

NETWORK = "2001:db8::/32"
"""Every address of it is local in the namespace, so that a client may come from any."""
SERVER = "2001:db8::1"
NETWORK_COMMANDS = (
    ("ip", "link", "set", "lo", "up"),
    ("ip", "address", "add", f"{SERVER}/128", "dev", "lo", "nodad"),
    ("ip", "-6", "route", "add", "local", NETWORK, "dev", "lo"),
)
HTTP, HTTPS, METRICS = 8080, 8443, 9976
GOOD = (8091, 8092, 8093)
"""Ports on loopback of servers that the daemon polls, and that are right."""
LIAR_WS, LIAR_HTTP = 8094, 8095
"""Ports on loopback of servers that the daemon polls, and that are wrong."""
POLITE = "2001:db8:ffff::1"

PRIVATE = """\
local = true
[leap]
url = ""
[state]
file = ""
[control]
socket = ""
"""
"""The end of a configuration with a [server] that leaves nothing outside of its process."""

TIMEOUT = 2.0  # s, of each step of an abuser's
_IPV6_FREEBIND = 78  # linux/in6.h
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Crowd:
    """Addresses of one kind of abuse: its own /40, so that no two kinds share a limit."""

    number: int
    random: Random

    def address(self, network: int | None = None, host: int = 1) -> str:
        """An address in one of 2^24 /64s, in a /48 of its own for each of the first 256."""
        if network is None:
            network = self.random.getrandbits(24)
        return f"2001:db8:{self.number:02x}{network & 0xFF:02x}:{network >> 8:x}::{host:x}"


def connect(
    source: str, port: int, *, timeout: float = TIMEOUT, window: int | None = None
) -> socket.socket:
    """A connection from that address. `window` is the size of its receive buffer, bytes."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        if window is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        made.settimeout(timeout)
        made.bind((source, 0))
        made.connect((SERVER, port))
    except BaseException:
        made.close()
        raise
    return made


def reset(connection: socket.socket) -> None:
    """Close with a reset in place of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


def upgrade(host: bytes = b"[2001:db8::1]") -> bytes:
    """A request for a WebSocket."""
    return (
        b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % host
    )


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A short frame as a client masks it, with a mask of zeros."""
    return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload


def request(*headers: bytes, host: bytes = b"[2001:db8::1]") -> bytes:
    """A GET of the time."""
    return b"\r\n".join(
        [b"GET /json?1489217288.328757 HTTP/1.1", b"Host: " + host, *headers, b"", b""]
    )
