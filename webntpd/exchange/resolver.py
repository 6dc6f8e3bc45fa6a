"""Looks up the addresses of names. A lookup that hangs holds up no other name.

getaddrinfo(3) cannot be cancelled: a lookup that was given up keeps its thread until it ends. So
each name has a thread of its own, at most one, and takes none of trio's 40.
"""

import socket
from typing import Any
from weakref import WeakValueDictionary

import trio


class Resolver(trio.abc.HostnameResolver):
    """For trio.socket.set_custom_hostname_resolver()."""

    def __init__(self) -> None:
        # A limiter lives as long as a lookup uses it.
        self._limiters: WeakValueDictionary[object, trio.CapacityLimiter] = WeakValueDictionary()

    async def getaddrinfo(
        self, host: bytes | None, port: bytes | str | int | None, *hints: int
    ) -> list[Any]:
        limiter = self._limiters.setdefault(host, trio.CapacityLimiter(1))
        try:
            return await trio.to_thread.run_sync(
                lambda: socket.getaddrinfo(host, port, *hints),
                abandon_on_cancel=True,
                limiter=limiter,
            )
        except RuntimeError as error:  # the system allows no more threads
            raise socket.gaierror(socket.EAI_AGAIN, str(error)) from error

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        """Not supported: webntpd looks up no names of addresses."""
        raise NotImplementedError
