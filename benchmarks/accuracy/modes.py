"""The ways of asking that are compared, and what is kept of each exchange."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from webntpd.ntp.readings import NS_PER_S, Reading


class Transport(StrEnum):
    HTTP = "http"
    WS = "ws"
    WSS = "wss"


class Asking(StrEnum):
    """How the client asks. Several modes can be read off the same exchanges."""

    FRESH = "fresh"  # user space's stamps, a new connection for each exchange
    USER = "user"  # user space's stamps
    KERNEL = "kernel"  # the kernel's stamps
    INTERLEAVED = "interleaved"  # the kernel's stamps, at the server's end too

    @property
    def transports(self) -> tuple[Transport, ...]:
        if self is Asking.INTERLEAVED:
            return (Transport.WS, Transport.WSS)
        return tuple(Transport)


class Series(NamedTuple):
    """One way of asking over one transport."""

    transport: Transport
    asking: Asking

    def __str__(self) -> str:
        return f"{self.transport} {self.asking}"

    @classmethod
    def parse(cls, text: str) -> "Series":
        transport, asking = text.split()
        return cls(Transport(transport), Asking(asking))


class Sample(NamedTuple):
    """The four timestamps of one exchange, ns, and the label that its reading bore."""

    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    provenance: str

    @classmethod
    def of(cls, reading: Reading) -> "Sample":
        return cls(
            reading.t1_ns, reading.t2_ns, reading.t3_ns, reading.t4_ns, str(reading.provenance)
        )

    @property
    def offset(self) -> float:
        """RFC 5905 §8, s: the error, as the true offset is zero."""
        return ((self.t2_ns - self.t1_ns) + (self.t3_ns - self.t4_ns)) / 2 / NS_PER_S

    @property
    def delay(self) -> float:
        """RFC 5905 §8, s."""
        return ((self.t4_ns - self.t1_ns) - (self.t3_ns - self.t2_ns)) / NS_PER_S

    def with_two_stamps(self) -> "Sample":
        """As a client sees it that knows `st` alone: T2 = T3."""
        return self._replace(t2_ns=self.t3_ns)


@dataclass(frozen=True, slots=True)
class Mode:
    """One line of the table. `provenance` is what its readings must be made of to count."""

    name: str
    asking: Asking
    provenance: str
    two_stamps: bool = False

    def samples(self, taken: Iterable[Sample]) -> Sequence[Sample]:
        """Those of a series that are of this mode; the others fell back to lesser stamps."""
        kept = [sample for sample in taken if sample.provenance == self.provenance]
        return [sample.with_two_stamps() for sample in kept] if self.two_stamps else kept


REFERENCE = Mode("user, new connection", Asking.FRESH, "four-stamp user", two_stamps=True)
USER = Mode("user, two stamps", Asking.USER, "four-stamp user", two_stamps=True)
KERNEL = Mode("kernel, two stamps", Asking.KERNEL, "four-stamp kernel", two_stamps=True)
FOUR = Mode("kernel, four stamps (rt)", Asking.KERNEL, "four-stamp kernel")
INTERLEAVED = Mode("interleaved", Asking.INTERLEAVED, "interleaved kernel")
MODES = (REFERENCE, USER, KERNEL, FOUR, INTERLEAVED)
