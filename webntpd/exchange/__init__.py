"""One round trip with one server: what every kind of exchange offers to the peer's task."""

from collections.abc import Sequence
from typing import Protocol

from webntpd.ntp.types import Failure, Reading


class ExchangeError(Exception):
    """An exchange that gave no reading, with its named reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.rejection}: {failure.detail}")
        self.failure = failure


class Exchange(Protocol):
    """A connection to one server, opened when needed and kept while it lasts."""

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        """Make one round trip and return the readings that it completed, oldest first.

        `last` says that no further exchange follows soon, so that nothing may stay pending for
        a later reply to complete; otherwise the result may be empty. Raises ExchangeError, and
        leaves the exchange ready for another measure.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection. A later measure opens a new one."""
        ...
