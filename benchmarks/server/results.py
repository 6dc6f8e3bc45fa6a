"""All that one run found out."""

from dataclasses import asdict, dataclass

from benchmarks.server.churn import Churn
from benchmarks.server.clockerror import ClockError
from benchmarks.server.memory import Memory
from benchmarks.server.throughput import Case


@dataclass(frozen=True, slots=True)
class Results:
    """The figures of every phase, in the units that their classes tell; `cores` had the machine."""

    cores: int
    throughput: tuple[Case, ...]
    memory: Memory
    clock_error: tuple[ClockError, ...]
    churn: Churn

    def case(self, contender: str, transport: str, connections: int) -> Case:
        """The case of that description. Raises LookupError."""
        wanted = (contender, transport, connections)
        for each in self.throughput:
            if (each.contender, each.transport, each.connections) == wanted:
                return each
        raise LookupError(wanted)

    def error(self, load: str, way: str) -> ClockError:
        """The clock error of a way to ask under that load. Raises LookupError."""
        for each in self.clock_error:
            if (each.load, each.way) == (load, way):
                return each
        raise LookupError((load, way))

    def as_dict(self) -> dict[str, object]:
        """For JSON: every round and every error, and the figures made of them."""
        found = asdict(self)
        for kept, each in zip(found["throughput"], self.throughput, strict=True):
            kept |= {"rate": each.rate, "core_rate": each.core_rate}
            kept |= {"p50": each.p50, "p99": each.p99}
        for kept, error in zip(found["clock_error"], self.clock_error, strict=True):
            kept |= {"p50": error.p50, "p99": error.p99}
        return found
