"""The counters of the server since the daemon started."""

from dataclasses import dataclass, fields
from typing import Self

from webntpd.status.snapshot import ServerStatus


@dataclass(slots=True)
class Counters:
    """Only the task of the server writes them; other tasks take a snapshot.

    They outlive a server that a reload replaces, so no counter ever goes back.
    """

    connections: int = 0
    accepted: int = 0
    requests: int = 0
    messages: int = 0
    refusals: int = 0

    def add(self, now: Self, *, since: Self) -> None:
        """Add the growth of another's counters from `since` to `now`."""
        for field in fields(self):
            grown = getattr(now, field.name) - getattr(since, field.name)
            setattr(self, field.name, getattr(self, field.name) + grown)

    def status(self) -> ServerStatus:
        return ServerStatus(
            connections=self.connections,
            accepted=self.accepted,
            requests=self.requests,
            messages=self.messages,
            refusals=self.refusals,
        )
