"""One open WebSocket to a server, and the stamps of each message on it.

trio-websocket reads in a task of its own, so it answers the server's pings between two measures. It
reads and writes through `_Channel`, which judges the answer to the upgrade: trio-websocket itself
would wait for the whole body of a refusal, and for ever if the server hangs up.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import h11
import httpx
import trio
import trio_websocket
from wsproto.utilities import RemoteProtocolError

from webntpd import __version__
from webntpd.clock.clocks import Clock
from webntpd.exchange.dial import Link
from webntpd.exchange.failure import broken, refused
from webntpd.ntp.readings import Rejection
from webntpd.protocol import wire
from webntpd.protocol.onwire import Trip
from webntpd.protocol.rejected import Rejected

logger = logging.getLogger(__name__)

HEADERS = [(b"User-Agent", f"webntpd/{__version__}".encode())]

GOODBYE = 1.0
"""Longest wait for the server's answer to a close, s."""

FRAMES_AT_ONCE = 64
"""Frames that a server may send for each of our messages: its answer, perhaps in fragments."""
FRAMES_PER_SECOND = 1.0
"""Further frames that a server may send in each second: the pings of an idle connection."""

# RFC 6455 §5.2: after either of these lengths the real length follows, in so many bytes.
_LENGTH_BYTES = {126: 2, 127: 8}

# RFC 6455 §7.4.1: the connection was lost; a message or frame was at fault; a message too big.
_LOST_CODE = 1006
_PROTOCOL_CODES = {1002, 1003, 1007}
_TOO_LARGE_CODE = 1009

# Bytes that TLS adds to what it carries in one record: its header and an AEAD's tag, 21 with
# ChaCha20 in TLS 1.2 and 29 with AES-GCM there, 22 in TLS 1.3. Another record with the shortest
# WebSocket frame in it brings at least 21 + 2 more.
_MAX_ONE_RECORD = 21 + 21 + 2 - 1


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The answer to a message, and the stamps of both."""

    answer: bytes
    trip: Trip


class Session:
    """An open WebSocket. `subprotocol` is the one that the server chose."""

    def __init__(
        self,
        channel: "_Channel",
        socket: trio_websocket.WebSocketConnection,
        reader: trio.CancelScope,
    ) -> None:
        self.subprotocol = socket.subprotocol
        self._channel = channel
        self._socket = socket
        self._reader = reader
        self._fresh = True

    @property
    def is_closed(self) -> bool:
        return self._channel.closed or self._socket.closed is not None

    @property
    def flooded(self) -> Rejected | None:
        """The failure, if the session was closed because the server sent too much."""
        error = self._channel.error
        return error if error and error.rejection is Rejection.PROTOCOL else None

    @property
    def cut_short(self) -> bool:
        """Whether the server hung up within an answer, and not between two."""
        reason = self._socket.closed
        return self._channel.received > 0 and (reason is None or reason.code == _LOST_CODE)

    async def send_and_receive(self, message: str) -> RoundTrip:
        """Send a message and wait for the next one. Raises Rejected."""
        first, self._fresh = self._fresh, False
        stamped = self._channel.link.stamped
        self._channel.begin_exchange()
        before = stamped.last_received.end
        try:
            if self.subprotocol == wire.INTERLEAVED_SUBPROTOCOL:
                # After a pause the first segment is some microseconds slower on its way through
                # the kernel, whose caches are cold: a delay of one direction only, that is an
                # error. We send an unsolicited pong first (RFC 6455 §5.5.3), so the pong pays
                # that delay.
                await self._socket.pong()
            await self._socket.send_message(message)
            sent = stamped.last_sent
            answer = await self._socket.get_message()
            # The reader goes on to the next segment now. But the stream lets other tasks run before
            # each read, so this task, which the reader woke with the answer, runs first.
            arrived = stamped.last_received
        except trio_websocket.ConnectionClosed as closed:
            raise self._closed(closed.reason) from closed
        if isinstance(answer, str):
            answer = answer.encode()
        # The kernel stamps the last bytes. If more than the answer came, such as a ping or a TLS
        # ticket behind it, the stamp may belong to the other message.
        alone = is_one_frame(arrived.end - before, len(answer), tls=self._channel.tls)
        t4 = arrived.stamp if alone else arrived.user
        return RoundTrip(answer, self._channel.link.trip(sent, t4, first=first))

    def _closed(self, reason: trio_websocket.CloseReason | None) -> Rejected:
        if self._channel.error is not None:
            return self._channel.error
        if reason is None or reason.code == _LOST_CODE:
            return Rejected(Rejection.CLOSED, "the server hung up")
        detail = f"closed with {reason.code} {reason.name}: {reason.reason or 'no reason'}"
        if reason.code in _PROTOCOL_CODES:
            return Rejected(Rejection.PROTOCOL, detail)
        if reason.code == _TOO_LARGE_CODE:
            return Rejected(Rejection.TOO_LARGE, detail)
        return Rejected(Rejection.CLOSED, detail)

    def drop(self) -> None:
        """Close at once, from a cancelled task too."""
        self._channel.close()
        # A reader with an unsolicited message would wait for ever to hand it over.
        self._reader.cancel()

    async def aclose(self) -> None:
        """Say goodbye and close."""
        try:
            with trio.move_on_after(GOODBYE), self._channel.farewell:
                await self._socket.aclose()
        finally:
            self.drop()


def is_one_frame(received: int, payload: int, *, tls: bool) -> bool:
    """Whether `received` bytes are one unfragmented frame of `payload` bytes, and nothing else."""
    header = 2 if payload < 126 else 4  # RFC 6455 §5.2, and a server does not mask
    overhead = received - header - payload
    return 0 < overhead <= _MAX_ONE_RECORD if tls else overhead == 0


async def open_session(
    nursery: trio.Nursery, link: Link, url: httpx.URL, subprotocols: Sequence[str], clock: Clock
) -> Session:
    """Shake hands over `link`. Raises Rejected, and has closed the link then.

    The session's reader is a task in `nursery` until the session ends. It never raises: the next
    use of the session finds it closed.
    """
    channel = _Channel(link, clock)
    socket, reader = await nursery.start(_keep, channel, url, subprotocols)
    return Session(channel, socket, reader)


async def _keep(
    channel: "_Channel",
    url: httpx.URL,
    subprotocols: Sequence[str],
    *,
    task_status: trio.TaskStatus[tuple[trio_websocket.WebSocketConnection, trio.CancelScope]],
) -> None:
    """Shake hands, then run trio-websocket's reader until the connection ends."""
    try:
        async with trio.open_nursery() as nursery:
            socket = await trio_websocket.wrap_client_stream(
                nursery,
                channel,  # type: ignore[arg-type]  # annotated too narrowly: any Stream does
                url.netloc.decode(),
                url.raw_path.decode(),
                subprotocols=subprotocols,
                extra_headers=HEADERS,
                max_message_size=wire.MAX_REPLY,
            )
            channel.opened = True
            task_status.started((socket, nursery.cancel_scope))
    except ExceptionGroup as group:
        if not channel.opened:
            raise _handshake_failure(group) from group
        logger.debug("the WebSocket's reader failed", exc_info=group)
    finally:
        channel.close()


class FrameCounter:
    """Counts the frames of a stream without reading them (RFC 6455 §5.2). A server masks none."""

    def __init__(self) -> None:
        self._unread = b""  # the beginning of a header that is not whole yet
        self._left = 0  # bytes of the current frame that are still to come

    def feed(self, data: bytes) -> int:
        """The number of frames whose header `data` completes."""
        data = self._unread + data
        at = frames = 0
        while True:
            step = min(self._left, len(data) - at)
            at += step
            self._left -= step
            size = data[at + 1] & 0x7F if at + 2 <= len(data) else 0
            header = 2 + _LENGTH_BYTES.get(size, 0)
            if at + header > len(data):
                self._unread = data[at:]
                return frames
            self._left = header + (
                size if header == 2 else int.from_bytes(data[at + 2 : at + header])
            )
            frames += 1


class _Channel(trio.abc.Stream):
    """A link as trio-websocket sees it. `received` counts bytes since the exchange began."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.tls = isinstance(link.stream, trio.SSLStream)
        self.farewell = trio.CancelScope()  # ended with the connection
        self._clock = clock
        self._upgrade = _upgrade_judge()
        self.opened = False
        self.closed = False
        self.received = 0
        self.error: Rejected | None = None
        self._frames: FrameCounter | None = None  # there are none before the answer to the upgrade
        self._frame_count = 0
        self._began = trio.current_time()

    def begin_exchange(self) -> None:
        """Call before each of our messages: received bytes and frames are counted from here on."""
        self.received = self._frame_count = 0
        self._began = trio.current_time()
        self.link.expect_reply()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = bytes(await self.link.stream.receive_some(max_bytes))
        except trio.BrokenResourceError as error:
            self.error = broken(error)
            if not self.opened:
                raise self.error from error
            raise
        self.received += len(data)
        if self._frames is not None:
            self._count(self._frames, data)
        else:
            self._judge(data)
        return data

    def _count(self, frames: FrameCounter, data: bytes) -> None:
        """Count frames. Raises trio.BrokenResourceError if the server sent too many."""
        self._frame_count += frames.feed(data)
        allowed = FRAMES_AT_ONCE + FRAMES_PER_SECOND * (trio.current_time() - self._began)
        if self._frame_count > allowed:
            detail = f"the server sent {self._frame_count} WebSocket frames for one message"
            self.error = Rejected(Rejection.PROTOCOL, detail)
            raise trio.BrokenResourceError(detail)

    def _judge(self, data: bytes) -> None:
        """Raise Rejected as soon as `data` shows that there will be no WebSocket."""
        if not data:
            raise Rejected(Rejection.CLOSED, "the server hung up in the WebSocket handshake")
        self._upgrade.receive_data(data)
        try:
            event = self._upgrade.next_event()
        except h11.RemoteProtocolError as error:
            raise Rejected(Rejection.PROTOCOL, str(error)) from error
        if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
            self._frames = FrameCounter()
            self._count(self._frames, self._upgrade.trailing_data[0])
        if isinstance(event, h11.Response):
            if 200 <= event.status_code < 300:
                detail = f"the answer to the upgrade is {event.status_code}, not 101"
                raise Rejected(Rejection.HANDSHAKE, detail)
            headers = httpx.Headers(list(event.headers))
            raise refused(event.status_code, headers, self._clock.realtime_ns())

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.link.stream.send_all(data)

    # trio.abc.SendStream wants this method, and trio-websocket never calls it.
    async def wait_send_all_might_not_block(self) -> None:  # pragma: no cover
        await self.link.stream.wait_send_all_might_not_block()

    def close(self) -> None:
        self.closed = True
        self.farewell.cancel()
        self.link.stamped.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


def _upgrade_judge() -> h11.Connection:
    """A parser for the answer to an upgrade. h11 must first see the request."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", ""), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
    connection.send(h11.Request(method="GET", target="/", headers=headers))
    connection.send(h11.EndOfMessage())
    return connection


def _handshake_failure(group: ExceptionGroup[Exception]) -> Rejected:
    """The reason of a failed handshake: the channel's verdict, or else wsproto's complaint."""
    error: BaseException = group.exceptions[0]
    if isinstance(error, Rejected):
        return error
    # trio-websocket fails when it tells the server the fault, and so hides the fault.
    while error.__context__ is not None and not isinstance(error, RemoteProtocolError):
        error = error.__context__
    return Rejected(Rejection.HANDSHAKE, str(error))
