"""The interface of every exchange: one round trip with one server at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from webntpd.names import Kind
from webntpd.ntp.readings import Reading

CLOSE_TIMEOUT = 1.0
"""Longest time to close a connection in order, s."""


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
    """Measures one server. It opens a connection when it needs one, and keeps it for later."""

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        """Make one round trip and return the readings that it completed, oldest first.

        `last` says that no further exchange follows soon, so the reading must not wait for a
        later reply. Otherwise the result may be empty. Raises Rejected, with the readings that
        were complete before; the exchange is then ready for another measure.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection. A later measure opens a new one."""
        ...


async def say_goodbye(exchange: Exchange) -> None:
    """Close an exchange within CLOSE_TIMEOUT, even if the task is cancelled."""
    with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
        await exchange.aclose()
