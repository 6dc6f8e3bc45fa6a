"""What the server has done since it started."""

from dataclasses import dataclass

from webntpd.status import ServerStatus


@dataclass(slots=True)
class Counters:
    """Written by the server's own task only; everyone else takes a snapshot."""

    connections: int = 0
    accepted: int = 0
    requests: int = 0
    messages: int = 0
    refusals: int = 0

    def status(self) -> ServerStatus:
        return ServerStatus(
            connections=self.connections,
            accepted=self.accepted,
            requests=self.requests,
            messages=self.messages,
            refusals=self.refusals,
        )
