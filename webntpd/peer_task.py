"""Runs one peer: does what its state machine asks for, and tells it what came of it."""

from collections.abc import Sequence

import trio

from webntpd.clock import Clock
from webntpd.exchange import Exchange, ExchangeError
from webntpd.ntp.peer import Peer
from webntpd.ntp.types import (
    NS_PER_S,
    Action,
    Disconnect,
    Failure,
    Measure,
    PeerReport,
    Reading,
    Report,
    Wait,
)

CLOSE_TIMEOUT = 1.0
"""How long a cancelled peer may take to say goodbye to its server, s."""


class PeerTask:
    """One peer, its exchange, and the channels that connect it to the rest.

    `reports` takes each of its reports; whatever `alarms` delivers says that the local clock
    jumped.
    """

    def __init__(
        self,
        peer: Peer,
        exchange: Exchange,
        clock: Clock,
        reports: trio.MemorySendChannel[PeerReport],
        alarms: trio.MemoryReceiveChannel[None],
    ) -> None:
        self._peer = peer
        self._exchange = exchange
        self._clock = clock
        self._reports = reports
        self._alarms = alarms

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            actions: Sequence[Action] = self._peer.start(self._clock.monotonic_ns())
            while True:
                actions = await self._perform(actions)
        finally:
            with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._exchange.aclose()

    async def _perform(self, actions: Sequence[Action]) -> Sequence[Action]:
        """Do all of `actions`, whose last one leads to the next ones."""
        following: Sequence[Action] = ()
        for action in actions:
            match action:
                case Report(report):
                    await self._reports.send(report)
                case Disconnect():
                    await self._exchange.aclose()
                case Measure(last):
                    following = await self._measure(last=last)
                case Wait(until_ns):
                    following = await self._wait(until_ns)
        return following

    async def _wait(self, until_ns: int) -> Sequence[Action]:
        remaining = (until_ns - self._clock.monotonic_ns()) / NS_PER_S
        with trio.move_on_after(max(0.0, remaining)):
            await self._alarms.receive()
            return self._peer.on_discontinuity(self._clock.monotonic_ns())
        return self._peer.on_timer(self._clock.monotonic_ns())

    async def _measure(self, *, last: bool) -> Sequence[Action]:
        outcome: Sequence[Reading] | Failure
        try:
            outcome = await self._exchange.measure(last=last)
        except ExchangeError as error:
            outcome = error.failure
        now_ns = self._clock.monotonic_ns()
        if self._jumped():
            # What straddles a step says nothing of the clock as it is now.
            return self._peer.on_discontinuity(now_ns)
        if isinstance(outcome, Failure):
            return self._peer.on_failure(outcome, now_ns)
        return self._peer.on_readings(outcome, now_ns)

    def _jumped(self) -> bool:
        try:
            self._alarms.receive_nowait()
        except trio.WouldBlock:
            return False
        return True
