"""No consumer: the wall clock runs as the oscillator does."""

import math

from benchmarks.simulation.consumers.wall import Wall


class Free(Wall):
    """Takes samples and does nothing."""

    def __init__(self, ahead: float) -> None:
        super().__init__(ahead, 0)
        self._next_poll = math.inf

    def take(self, raw: float, offset: float) -> None:
        """The sample is lost."""

    def _poll(self) -> None:
        """There is nothing to do."""
