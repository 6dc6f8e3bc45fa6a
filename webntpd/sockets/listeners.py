"""The sockets that the server listens on: TCP, Unix, and those that systemd has opened for us."""

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

BACKLOG = 1024
"""Connections that wait to be accepted; the kernel's own limit may be lower."""
UNIX = "unix:"
UNIX_MODE = 0o660
SYSTEMD = "systemd"
SYSTEMD_TLS = "tls"
"""FileDescriptorName= of the sockets that `listen_tls` takes; `listen` takes all others."""

_BIND_ERRORS: frozenset[int | None] = frozenset(
    {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}
)
_FIRST_PASSED = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START


class ListenError(Exception):
    """A socket cannot listen at an address; the text names the address and the reason."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, and whether TLS is spoken on it.

    `worker` is the number of the worker that it is for, None if they share it, and `file` is to
    be removed after it.
    """

    socket: socket.socket
    tls: bool
    worker: int | None = None
    file: Path | None = None

    @property
    def address(self) -> str:
        """The address in the form of the configuration."""
        name = self.socket.getsockname()
        if self.socket.family is socket.AF_UNIX:
            return f"{UNIX}{name}"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    def close(self) -> None:
        self.socket.close()
        if self.file is not None:
            with suppress(OSError):  # the next server removes it
                self.file.unlink()


async def listen(addresses: Iterable[str], *, tls: bool = False, copies: int = 1) -> list[Listener]:
    """Open a socket for each address that the texts stand for. Raises ListenError.

    Of TCP sockets there are as many copies as workers, on one port.
    """
    listeners: list[Listener] = []
    try:
        for address in addresses:
            try:
                for listener in await _open(address, tls=tls, copies=copies):
                    listeners.append(listener)  # noqa: PERF402 - those before a failure count
            except OSError as error:
                raise ListenError(f"cannot listen on {address}: {_reason(error)}") from error
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def split_address(address: str) -> tuple[str | None, int]:
    """Host and port of "host:port"; the host is None for every address. Raises ListenError."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ListenError(f"cannot listen on {address}: not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(f"cannot listen on {address}: an IPv6 address stands in [brackets]")
    return host or None, int(port)


async def _open(address: str, *, tls: bool, copies: int) -> list[Listener]:
    if address == SYSTEMD:
        return _passed(tls=tls)
    if address.startswith(UNIX):
        return [_unix(Path(address.removeprefix(UNIX)), tls=tls)]
    host, port = split_address(address)
    found = await trio.socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners: list[Listener] = []
    try:
        for family, _, _, _, place in found:
            for worker in range(copies):
                sock = _tcp(family, place, shared=copies > 1)
                listeners.append(Listener(sock, tls, worker))
                place = sock.getsockname()  # noqa: PLW2901 - where port 0 is one port for all
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _tcp(family: int, place: tuple[object, ...], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
        if family == socket.AF_INET6:  # or "::" would take the port of "0.0.0.0" too
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        _start(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _unix(path: Path, *, tls: bool) -> Listener:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)  # else connect() waits while a backlog is full
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            if path.is_socket():  # left behind by one that was killed
                path.unlink()
        except OSError:
            pass  # nothing is there, or nothing that is ours to remove: bind() will tell
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        path.chmod(UNIX_MODE)
        _start(sock)
    except OSError:
        sock.close()
        raise
    return Listener(sock, tls, file=path)


def _passed(*, tls: bool) -> list[Listener]:
    """The sockets of systemd's socket units (sd_listen_fds(3)), which stay open for the next."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise OSError(errno.ENOTCONN, "systemd has passed no socket")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    listeners = []
    for number in range(int(os.environ.get("LISTEN_FDS", "0"))):
        if (names[number : number + 1] == [SYSTEMD_TLS]) is tls:
            sock = socket.socket(fileno=os.dup(_FIRST_PASSED + number))
            with suppress(OSError):  # a Unix socket has no such option
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(0)
            listeners.append(Listener(sock, tls))
    return listeners


def _start(sock: socket.socket) -> None:
    sock.settimeout(0)
    sock.listen(BACKLOG)


def _reason(error: OSError) -> str:
    """Python's own text of some bind() errors repeats the address."""
    if error.errno in _BIND_ERRORS and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno or 0).lower()
    return error.strerror or str(error)
