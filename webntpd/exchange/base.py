"""One round trip with one server: what every kind of exchange offers to the peer's task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from webntpd.names import Kind
from webntpd.ntp.readings import Reading

CLOSE_TIMEOUT = 1.0
"""Longest time to say goodbye to a server, s."""


@dataclass(frozen=True, slots=True)
class ExchangeParameters:
    """How to reach one server. `timeout` is of each step, s.

    `proxy` is the URL of an HTTP CONNECT proxy; None takes it from the environment, an empty
    text forbids one. `ca_file` replaces the system's store of certificates. `accept_date` lets a
    time-header server do with its Date header.
    """

    url: str
    kind: Kind
    timeout: float = 5.0
    proxy: str | None = None
    ca_file: Path | None = None
    accept_date: bool = False
    allow_unsynchronised: bool = False
    interleaved: bool = True
    kernel_timestamps: bool = True


class Exchange(Protocol):
    """A connection to one server, opened when needed and kept while it lasts."""

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        """Make one round trip and return the readings that it completed, oldest first.

        `last` says that no further exchange follows soon, so that nothing may stay pending for
        a later reply to complete; otherwise the result may be empty. Raises Rejected, with
        the readings that were complete before, and leaves the exchange ready for another measure.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection. A later measure opens a new one."""
        ...


async def say_goodbye(exchange: Exchange) -> None:
    """Close an exchange, also when cancelled. A slow server gets CLOSE_TIMEOUT at most."""
    with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
        await exchange.aclose()
