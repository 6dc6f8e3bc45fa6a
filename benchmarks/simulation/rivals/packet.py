"""An exchange as all estimators see it, and the protocol of rivals."""

from dataclasses import dataclass
from typing import Protocol

from benchmarks.simulation.oscillator import X_BASE_NS
from webntpd.ntp.readings import NS_PER_S


@dataclass(frozen=True, slots=True)
class Packet:
    """A usable exchange. `x_true` is X in its middle, which no estimator knows.

    `r1_ns` and `r4_ns` are RAW; `t2_ns` and `t3_ns` are the server's, in the middle of the step
    that the server cuts its times to. `resolution` is that step, s. `filling` says that it is one
    of an iburst.
    """

    server: str
    r1_ns: int
    r4_ns: int
    t2_ns: int
    t3_ns: int
    resolution: float
    x_true: float
    filling: bool

    @property
    def x(self) -> float:
        """X beyond X_BASE_NS as this exchange alone says it, s."""
        doubled_ns = self.t2_ns + self.t3_ns - self.r1_ns - self.r4_ns
        return (doubled_ns - 2 * X_BASE_NS) / 2 / NS_PER_S

    @property
    def two_stamp_x(self) -> float:
        """X for a client that does not know `rt`, s."""
        doubled_ns = 2 * self.t3_ns - self.r1_ns - self.r4_ns
        return (doubled_ns - 2 * X_BASE_NS) / 2 / NS_PER_S

    @property
    def error(self) -> float:
        """How far `x` is off, s."""
        return self.x - self.x_true

    @property
    def delay(self) -> float:
        """The round trip less the server's own time, s."""
        return (self.r4_ns - self.r1_ns - self.t3_ns + self.t2_ns) / NS_PER_S

    @property
    def round_trip(self) -> float:
        """The round trip with the server's own time, s."""
        return (self.r4_ns - self.r1_ns) / NS_PER_S


class Rival(Protocol):
    """An estimator that gets the same packets. It returns the errors of what it publishes, s."""

    def on_packet(self, packet: Packet) -> float | None:
        """An exchange was answered."""
        ...

    def on_poll_end(
        self, server: str, raw: float, x_true: float, *, answered: bool
    ) -> float | None:
        """A poll of a server is over at RAW `raw`, where X is `x_true`, s."""
        ...

    def on_suspend(self) -> None:
        """The machine slept: X has jumped."""
        ...

    def on_leave(self, server: str) -> None:
        """The configuration has lost a server."""
        ...
