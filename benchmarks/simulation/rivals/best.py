"""The best sample of the last eight polls of all servers: chosen by its true error, so a limit."""

from collections import deque

from benchmarks.simulation.rivals.packet import Packet

POLLS = 8


class BestSample:
    """Knows the truth, and can only choose."""

    def __init__(self) -> None:
        self._burst: dict[str, list[float]] = {}
        self._polls: dict[str, deque[float]] = {}

    def on_packet(self, packet: Packet) -> float | None:
        self._burst.setdefault(packet.server, []).append(packet.error)
        return None

    def on_poll_end(
        self,
        server: str,
        raw: float,  # noqa: ARG002 - the protocol's
        x_true: float,  # noqa: ARG002
        *,
        answered: bool,
    ) -> float | None:
        burst = self._burst.pop(server, ())
        if burst:
            polls = self._polls.setdefault(server, deque(maxlen=POLLS))
            polls.append(min(burst, key=abs))
        errors = [error for polls in self._polls.values() for error in polls]
        return min(errors, key=abs) if errors and answered else None

    def on_suspend(self) -> None:
        self._burst.clear()
        self._polls.clear()

    def on_leave(self, server: str) -> None:
        self._burst.pop(server, None)
        self._polls.pop(server, None)
