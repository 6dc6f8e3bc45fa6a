"""What the server has done since the daemon started."""

from dataclasses import dataclass, fields
from typing import Self

from webntpd.status.snapshot import ServerStatus


@dataclass(slots=True)
class Counters:
    """Written by the server's own task only; everyone else takes a snapshot.

    They outlive a server that a reload replaces: what is counted in them never goes back.
    """

    connections: int = 0
    accepted: int = 0
    requests: int = 0
    messages: int = 0
    refusals: int = 0

    def add(self, now: Self, *, since: Self) -> None:
        """Add what another's counters have become `now`, `since` they were last added."""
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
