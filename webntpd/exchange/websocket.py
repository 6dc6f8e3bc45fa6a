"""JSON over WebSocket: one connection kept open, a message each way per exchange.

trio-websocket reads in a task of its own, in the nursery that the exchange is given, and so it
also answers the server's pings between two polls. `_Channel` is what it reads from and writes to:
it judges the answer to the upgrade, where trio-websocket would wait for the whole body of a
refusal or, when the server hangs up, for ever.
"""

from collections.abc import Sequence

import h11
import httpx
import trio
import trio_websocket
from wsproto.utilities import RemoteProtocolError

from webntpd import __version__, wire
from webntpd.clock import Clock
from webntpd.exchange import ExchangeError, ExchangeParameters
from webntpd.exchange.dial import Dialer, Link
from webntpd.exchange.failure import broken, failed, refused, step
from webntpd.exchange.reply import complete, parse_reply
from webntpd.exchange.tunnel import basic_authorization
from webntpd.ntp.types import Reading, Rejection
from webntpd.timestamping import Segment

GOODBYE = 1.0
"""How long closing may take, s: the server's answer to it is a courtesy."""

# RFC 6455 §7.4.1: the connection was lost; a message or frame was at fault; a message too big.
_LOST_CODE = 1006
_PROTOCOL_CODES = {1002, 1003, 1007}
_TOO_LARGE_CODE = 1009


class WebSocketExchange:
    """An exchange by WebSocket messages. See `webntpd.exchange.Exchange`."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock, nursery: trio.Nursery) -> None:
        self._parameters = parameters
        self._clock = clock
        self._nursery = nursery
        self._dialer = Dialer(parameters, clock)
        self._session: _Session | None = None

    async def measure(self, *, last: bool) -> Sequence[Reading]:  # noqa: ARG002
        try:
            reading = await self._measure_reused()
            if reading is None:
                self._drop()
                self._session = await self._open()
                reading = await self._exchange(self._session)
        except BaseException:
            self._drop()
            raise
        return [reading]

    async def _measure_reused(self) -> Reading | None:
        """A reading over the connection that there is; None when the server has closed it.

        Servers close a connection which has been idle (the reference after 60 s), so that this is
        no failure: not even when our message crosses the closing on its way.
        """
        session = self._session
        if session is None or session.is_closed:
            return None
        try:
            return await self._exchange(session)
        except ExchangeError as error:
            if error.failure.rejection is Rejection.CLOSED and not session.cut_short:
                return None
            raise

    async def _exchange(self, session: "_Session") -> Reading:
        first, session.fresh = session.fresh, False
        token = wire.format_token(self._clock.realtime_ns())
        with step("the reply", self._parameters.timeout):
            departure, message, arrival = await session.ask(token)
        return complete(
            parse_reply(message),
            sent=token,
            t1=departure.stamp,
            t4=arrival.stamp,
            first=first,
            parameters=self._parameters,
            clock=self._clock,
        )

    async def _open(self) -> "_Session":
        channel = _Channel(await self._dialer.dial(), self._clock)
        try:
            with step("the WebSocket handshake", self._parameters.timeout):
                socket = await self._nursery.start(self._keep, channel)
        except BaseException:
            channel.close()
            raise
        return _Session(channel, socket)

    async def _keep(
        self,
        channel: "_Channel",
        *,
        task_status: trio.TaskStatus[trio_websocket.WebSocketConnection],
    ) -> None:
        """Shake hands, then house trio-websocket's reader until the connection ends.

        Raises ExchangeError while shaking hands and nothing later: whoever uses the connection
        next finds it closed.
        """
        url = self._dialer.url
        try:
            async with trio.open_nursery() as nursery:
                socket = await trio_websocket.wrap_client_stream(
                    nursery,
                    channel,  # type: ignore[arg-type]  # annotated too narrowly: any Stream does
                    url.netloc.decode(),
                    url.raw_path.decode(),
                    subprotocols=[wire.SUBPROTOCOL],
                    extra_headers=_headers(url),
                    max_message_size=wire.MAX_REPLY,
                )
                channel.opened = True
                task_status.started(socket)
        except ExceptionGroup as group:
            if not channel.opened:
                raise _handshake_failure(group) from group
        finally:
            channel.close()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.channel.close()
            self._session = None

    async def aclose(self) -> None:
        if self._session is None:
            return
        try:
            with trio.move_on_after(GOODBYE):
                await self._session.socket.aclose()
        finally:
            self._drop()


class _Session:
    """An open WebSocket. `fresh` until its first exchange."""

    def __init__(self, channel: "_Channel", socket: trio_websocket.WebSocketConnection) -> None:
        self.channel = channel
        self.socket = socket
        self.fresh = True

    @property
    def is_closed(self) -> bool:
        return self.channel.closed or self.socket.closed is not None

    @property
    def cut_short(self) -> bool:
        """True if the server hung up within a reply, and not between two."""
        reason = self.socket.closed
        return self.channel.received > 0 and (reason is None or reason.code == _LOST_CODE)

    async def ask(self, message: str) -> tuple[Segment, bytes, Segment]:
        """Send a message and return its last segment, the answer, and the answer's."""
        self.channel.received = 0
        try:
            await self.socket.send_message(message)
            departure = self.channel.stamped.last_sent
            answer = await self.socket.get_message()
            arrival = self.channel.stamped.last_received
        except trio_websocket.ConnectionClosed as closed:
            raise self._closed(closed.reason) from closed
        return departure, answer.encode() if isinstance(answer, str) else answer, arrival

    def _closed(self, reason: trio_websocket.CloseReason | None) -> ExchangeError:
        if self.channel.error is not None:
            return self.channel.error
        if reason is None or reason.code == _LOST_CODE:
            return failed(Rejection.CLOSED, "the server hung up")
        detail = f"closed with {reason.code} {reason.name}: {reason.reason or 'no reason'}"
        if reason.code in _PROTOCOL_CODES:
            return failed(Rejection.PROTOCOL, detail)
        if reason.code == _TOO_LARGE_CODE:
            return failed(Rejection.TOO_LARGE, detail)
        return failed(Rejection.CLOSED, detail)


class _Channel(trio.abc.Stream):
    """A link as trio-websocket sees it. `received` counts bytes since someone last set it to 0."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.stamped = link.stamped
        self._stream = link.stream
        self._clock = clock
        self._upgrade = _upgrade_judge()
        self.opened = False
        self.closed = False
        self.received = 0
        self.error: ExchangeError | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        # Only the reader comes here, and only when it has handed over what it read before. Whom
        # that woke runs first, and so reads the stamp of its own message, not a later one's.
        await trio.lowlevel.checkpoint()
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError as error:
            self.error = broken(error)
            if not self.opened:
                raise self.error from error
            raise
        self.received += len(data)
        if not self.opened:
            self._judge(data)
        return data

    def _judge(self, data: bytes) -> None:
        """Raise ExchangeError as soon as `data` shows that there will be no WebSocket."""
        if not data:
            raise failed(Rejection.CLOSED, "the server hung up in the WebSocket handshake")
        self._upgrade.receive_data(data)
        try:
            event = self._upgrade.next_event()
        except h11.RemoteProtocolError as error:
            raise failed(Rejection.PROTOCOL, str(error)) from error
        if isinstance(event, h11.Response):
            if 200 <= event.status_code < 300:
                detail = f"the answer to the upgrade is {event.status_code}, not 101"
                raise failed(Rejection.HANDSHAKE, detail)
            headers = httpx.Headers(list(event.headers))
            raise refused(event.status_code, headers, self._clock.realtime_ns())

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    def close(self) -> None:
        self.closed = True
        self.stamped.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


def _upgrade_judge() -> h11.Connection:
    """A parser of the answer to an upgrade: h11 wants to know that one was asked for."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", ""), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
    connection.send(h11.Request(method="GET", target="/", headers=headers))
    connection.send(h11.EndOfMessage())
    return connection


def _headers(url: httpx.URL) -> list[tuple[bytes, bytes]]:
    headers = [(b"User-Agent", f"webntpd/{__version__}".encode())]
    authorization = basic_authorization(url)
    if authorization is not None:
        headers.append((b"Authorization", authorization.encode()))
    return headers


def _handshake_failure(group: ExceptionGroup[Exception]) -> ExchangeError:
    """What broke the handshake: the channel's verdict, or else what wsproto did not like."""
    error: BaseException = group.exceptions[0]
    if isinstance(error, ExchangeError):
        return error
    # trio-websocket trips over its own attempt to tell the server what was wrong, and so hides it.
    while error.__context__ is not None and not isinstance(error, RemoteProtocolError):
        error = error.__context__
    return failed(Rejection.HANDSHAKE, str(error))
