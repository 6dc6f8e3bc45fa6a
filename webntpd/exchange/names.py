"""Looks up the addresses of names, so that a resolver that hangs costs its own name only.

getaddrinfo(3) cannot be cancelled: a lookup that was given up on keeps its thread to the end. So
each name has one thread at most, and none of those that trio lends to everything else.
"""

import socket
from typing import Any
from weakref import WeakValueDictionary

import trio


class Resolver(trio.abc.HostnameResolver):
    """For trio.socket.set_custom_hostname_resolver()."""

    def __init__(self) -> None:
        # A lookup holds on to its limiter.
        self._limiters: WeakValueDictionary[object, trio.CapacityLimiter] = WeakValueDictionary()

    async def getaddrinfo(
        self, host: bytes | None, port: bytes | str | int | None, *hints: int
    ) -> list[Any]:
        limiter = self._limiters.setdefault(host, trio.CapacityLimiter(1))
        return await trio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, *hints),
            abandon_on_cancel=True,
            limiter=limiter,
        )

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        """Nothing here asks for names of addresses."""
        raise NotImplementedError
