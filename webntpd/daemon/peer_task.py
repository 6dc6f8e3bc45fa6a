"""Runs one peer: carries out the actions of its state machine, and reports how they ended."""

from collections.abc import Callable, Sequence

import trio

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import Exchange, say_goodbye
from webntpd.ntp.actions import Action, Disconnect, Measure, PeerReport, Report, Wait
from webntpd.ntp.peer import Peer
from webntpd.ntp.readings import NS_PER_S, Failure, Reading
from webntpd.protocol.rejected import Rejected


class PeerTask:
    """One peer, its exchange, and the channels that connect it to the rest.

    `reports` takes each of its reports; an item from `alarms` says that the machine was suspended.
    `correct` takes a smear out of a reading, or drops a reading of an unknown smear.
    """

    def __init__(
        self,
        peer: Peer,
        exchange: Exchange,
        clock: Clock,
        reports: trio.MemorySendChannel[PeerReport],
        alarms: trio.MemoryReceiveChannel[None],
        correct: Callable[[Reading], Reading | None] = lambda reading: reading,
    ) -> None:
        self._peer = peer
        self._exchange = exchange
        self._clock = clock
        self._reports = reports
        self._alarms = alarms
        self._correct = correct

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            actions: Sequence[Action] = self._peer.start(self._clock.raw_ns())
            while True:
                actions = await self._perform(actions)
        finally:
            await say_goodbye(self._exchange)

    async def _perform(self, actions: Sequence[Action]) -> Sequence[Action]:
        """Carry out `actions`; the last one gives the next actions."""
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
        remaining = (until_ns - self._clock.raw_ns()) / NS_PER_S
        with trio.move_on_after(max(0.0, remaining)):
            await self._alarms.receive()
            return self._peer.on_suspend(self._clock.raw_ns())
        return self._peer.on_timer(self._clock.raw_ns())

    async def _measure(self, *, last: bool) -> Sequence[Action]:
        failure: Failure | None = None
        readings: Sequence[Reading] = ()
        try:
            readings = await self._exchange.measure(last=last)
        except Rejected as error:
            failure, readings = error.failure, error.readings
        now_ns = self._clock.raw_ns()
        if self._slept():
            # An exchange across a suspend does not measure the present X.
            return self._peer.on_suspend(now_ns)
        readings = [right for each in readings if (right := self._correct(each)) is not None]
        if failure is not None:
            return self._peer.on_failure(failure, now_ns, readings)
        return self._peer.on_readings(readings, now_ns)

    def _slept(self) -> bool:
        try:
            self._alarms.receive_nowait()
        except trio.WouldBlock:
            return False
        return True
