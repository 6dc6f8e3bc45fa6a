"""JSON over WebSocket: one connection kept open, a message each way per exchange.

In interleaved mode each reply also tells when the server's kernel sent the reply before it. So the
next reply completes an exchange, and the last exchange of a burst needs a closing one, which gives
no reading of its own. If the next reply never comes, the exchange gives the reading of its own four
timestamps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.dial import Dialer
from webntpd.exchange.failure import step
from webntpd.exchange.session import Session, open_session
from webntpd.ntp.readings import Reading, Rejection
from webntpd.protocol import wire
from webntpd.protocol.onwire import OnWire, Trip
from webntpd.protocol.rejected import Rejected


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """An exchange that is done, and the reading of its own four timestamps."""

    token: str
    trip: Trip
    reply: wire.Reply
    reading: Reading


class WebSocketExchange:
    """An exchange by WebSocket messages. See `webntpd.exchange.base.Exchange`."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock, nursery: trio.Nursery) -> None:
        self._parameters = parameters
        self._clock = clock
        self._on_wire = OnWire(
            local_precision=clock.precision, allow_unsynchronised=parameters.allow_unsynchronised
        )
        self._nursery = nursery
        self._dialer = Dialer(parameters, clock)
        self._session: Session | None = None
        self._pending: _Exchanged | None = None

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        readings: list[Reading] = []
        try:
            readings += await self._advance()
            if last and self._pending is not None:
                # The closing exchange completes the pending one, and is no sample itself.
                readings += await self._advance()
                self._pending = None
        except Rejected as error:
            if self._pending is not None:
                readings.append(self._pending.reading)
            self._drop()
            error.readings = tuple(readings)
            raise
        except BaseException:
            self._drop()
            raise
        return readings

    async def _advance(self) -> list[Reading]:
        """Make an exchange, and return the readings that are complete with it.

        If the exchange fails, the pending one stays pending. If the new reply contradicts the
        pending one, neither gives a reading.
        """
        exchanged, session = await self._exchange()
        previous, self._pending = self._pending, None
        readings = [] if previous is None else [self._interleave(previous, exchanged.reply)]
        if session.subprotocol != wire.INTERLEAVED_SUBPROTOCOL:
            return [*readings, exchanged.reading]
        self._pending = exchanged
        return readings

    def _interleave(self, exchanged: _Exchanged, following: wire.Reply) -> Reading:
        """The reading with T3 from the following reply, or with its own T3 if that tells none."""
        if following.pst_ns is None or following.pit != exchanged.token:
            return exchanged.reading
        # The server sent this reply before it got the next request.
        if following.pst_ns > (following.rt_ns or following.st_ns):
            raise Rejected(Rejection.DISORDERED, "the server says that a reply left after the next")
        if following.pst_ns < exchanged.reply.st_ns:
            raise Rejected(
                Rejection.DISORDERED, "the server says that a reply left before its time"
            )
        return self._on_wire.complete(
            exchanged.reply, exchanged.trip, sent=exchanged.token, pst_ns=following.pst_ns
        )

    async def _exchange(self) -> tuple[_Exchanged, Session]:
        """Make an exchange over the open connection, or else over a new one."""
        session = self._session
        if session is not None:
            exchanged = await self._exchange_reused(session)
            if exchanged is not None:
                return exchanged, session
            session.drop()
        self._session = session = await self._open()
        return await self._exchange_on(session), session

    async def _exchange_reused(self, session: Session) -> _Exchanged | None:
        """An exchange over the open connection; None if the server has closed it.

        Servers may close an idle connection at any time (the reference after 60 s). That is no
        failure, even if our message and the server's close cross on the way. A flood is one.
        """
        if session.is_closed:
            if session.flooded is not None:
                raise session.flooded
            return None
        try:
            return await self._exchange_on(session)
        except Rejected as error:
            if error.rejection is Rejection.CLOSED and not session.cut_short:
                return None
            raise

    async def _exchange_on(self, session: Session) -> _Exchanged:
        token = wire.format_token(self._clock.realtime_ns())
        with step("the reply", self._parameters.timeout):
            round_trip = await session.send_and_receive(token)
        reply, trip = wire.parse_reply(round_trip.answer), round_trip.trip
        return _Exchanged(token, trip, reply, self._on_wire.complete(reply, trip, sent=token))

    async def _open(self) -> Session:
        offered = [wire.SUBPROTOCOL]
        if self._parameters.interleaved:
            offered.insert(0, wire.INTERLEAVED_SUBPROTOCOL)
        link = await self._dialer.dial()
        with step("the WebSocket handshake", self._parameters.timeout):
            return await open_session(self._nursery, link, self._dialer.url, offered, self._clock)

    def _drop(self) -> None:
        self._pending = None
        if self._session is not None:
            self._session.drop()
            self._session = None

    async def aclose(self) -> None:
        try:
            if self._session is not None:
                await self._session.aclose()
        finally:
            self._drop()
