"""How often to ask (RFC 5905 §11.3): seldom while the clock is steady, often while it is not.

The RFC judges by the system's offset. Here data flows one way, from the peers to the system, and a
peer's own offset will not do: a peer with a constant bias would never slow down. So a peer compares
the movement of its guess away from its line, between two polls, with the jitter that it had before.
The new jitter contains that movement, which would hardly ever exceed it.
"""

from collections.abc import Callable

from webntpd.ntp.readings import NS_PER_S

Rng = Callable[[], float]
"""A source of numbers uniform in [0, 1)."""

SPREAD = 0.05
"""Each interval is longer or shorter by up to this share, so that a fleet never fires together."""
STEADY_GATE = 4.0
"""PGATE of RFC 5905: a change of less than this many jitters counts as steady."""
LIMIT = 30
"""The count of the hysteresis at which the interval changes (RFC 5905 §11.3)."""


class PollAdaptation:
    """The log2 of the poll interval in seconds, between `minpoll` and `maxpoll`."""

    def __init__(self, minpoll: int, maxpoll: int) -> None:
        self._minpoll = minpoll
        self._maxpoll = maxpoll
        self._count = 0
        self.poll = minpoll

    def update(self, change: float, jitter: float) -> None:
        """Take the change of the offset over one poll and the jitter before it, s."""
        steady = abs(change) < STEADY_GATE * jitter
        step = max(self.poll, 1)  # a poll of 0 is to grow as well
        self._count += step if steady else -2 * step
        if abs(self._count) > LIMIT:
            self._shift(1 if steady else -1)

    def reset(self) -> None:
        """Begin again with the shortest interval."""
        self._count = 0
        self.poll = self._minpoll

    def _shift(self, by: int) -> None:
        shifted = min(max(self.poll + by, self._minpoll), self._maxpoll)
        self._count = 0 if shifted != self.poll else by * LIMIT
        self.poll = shifted


def interval_ns(poll: int, rng: Rng) -> int:
    """2^poll seconds with the spread, ns."""
    return round(2.0**poll * NS_PER_S * (1 + SPREAD * (2 * rng() - 1)))
