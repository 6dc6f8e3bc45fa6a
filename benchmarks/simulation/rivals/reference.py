"""The reference client's rule: the mean of four, less those of twice the least delay.

It does not know `rt`: theta = st - t4 + delta/2 with delta = t4 - t1. Of several servers it takes
the one of the least delay. Each packet's error counts as of its own instant: the clock that the
client disciplines hardly drifts meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.simulation.rivals.packet import Packet
from webntpd.ntp.readings import NS_PER_S

SAMPLES = 4
ONE_ROUND = 10.0
"""It asks all servers at once: results that lie farther apart than this, s, are of two rounds."""


@dataclass(frozen=True)
class Result:
    """One server's part: `error` and `delay` as averaged, s, as of RAW `at_ns`."""

    error: float
    delay: float
    at_ns: int


class ReferenceRule:
    """Takes the packets of all servers as they come; each fourth of a server makes a result."""

    def __init__(self) -> None:
        self._pending: dict[str, list[Packet]] = {}
        self._results: list[Result] = []

    def on_packet(self, packet: Packet) -> float | None:
        packets = self._pending.setdefault(packet.server, [])
        packets.append(packet)
        if len(packets) < SAMPLES:
            return None
        result = average(packets)
        packets.clear()
        self._results = [
            earlier
            for earlier in self._results
            if result.at_ns - earlier.at_ns < ONE_ROUND * NS_PER_S
        ]
        self._results.append(result)
        return min(self._results, key=lambda each: each.delay).error

    def on_poll_end(
        self,
        server: str,  # noqa: ARG002 - the protocol's
        raw: float,  # noqa: ARG002
        x_true: float,  # noqa: ARG002
        *,
        answered: bool,  # noqa: ARG002
    ) -> float | None:
        return None

    def on_suspend(self) -> None:
        self._pending.clear()

    def on_leave(self, server: str) -> None:
        self._pending.pop(server, None)


def average(packets: Sequence[Packet]) -> Result:
    """The rule itself."""
    least = min(packet.round_trip for packet in packets)
    kept = [packet for packet in packets if packet.round_trip < 2 * least]
    return Result(
        error=sum(packet.two_stamp_x - packet.x_true for packet in kept) / len(kept),
        delay=sum(packet.round_trip for packet in kept) / len(kept),
        at_ns=packets[-1].r4_ns,
    )
