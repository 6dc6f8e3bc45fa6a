"""The base of all consumers: a wall clock that follows RAW, except for their corrections."""

import math
from abc import ABC, abstractmethod


class Wall(ABC):
    """A wall clock and its consumer. All times are s since the start, by RAW or by the wall clock.

    `ahead` is wall - RAW. Instants must not go back from one call to the next.
    """

    def __init__(self, ahead: float, poll: int) -> None:
        self.ahead = ahead
        self._at = 0.0
        self._rate = 0.0  # d(ahead)/d(RAW)
        self._changes_at = math.inf  # when a slew ends
        self._interval = 2.0**poll
        self._next_poll = self._interval

    def read(self, raw: float) -> float:
        """The wall clock at RAW `raw`, s."""
        self.advance(raw)
        return raw + self.ahead

    def advance(self, raw: float) -> None:
        """Go on to RAW `raw`: slews end, and the consumer polls when a poll is due."""
        while True:
            event = min(self._changes_at, self._next_poll)
            if event > raw:
                break
            self._move(event)
            if event == self._changes_at:
                self._slew_ended()
            else:
                self._next_poll += self._interval
                self._poll()
        self._move(raw)

    @abstractmethod
    def take(self, raw: float, offset: float) -> None:
        """A sample is published: the wall clock is `offset` behind true time at RAW `raw`."""

    def step(self, raw: float, by: float) -> None:
        """The wall clock is set, without the consumer's knowledge."""
        self.advance(raw)
        self.ahead += by

    def resume(self, raw: float, slept: float) -> None:
        """The machine wakes; the kernel has moved the wall clock on by `slept`, and RAW stood."""
        self.step(raw, slept)

    def _move(self, raw: float) -> None:
        self.ahead += self._rate * (raw - self._at)
        self._at = raw

    def _slew_ended(self) -> None:
        self._changes_at = math.inf

    @abstractmethod
    def _poll(self) -> None:
        """The consumer's own interval is over."""
