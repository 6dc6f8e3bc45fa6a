"""Which stamps a WebSocket session takes for a message's, among other traffic."""

import ssl
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
import wsproto
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import AcceptConnection, Message, Ping, Request, TextMessage

from tests.fakes.server import FakeSocket, Script, Visitor, reply_json, serve
from tests.unit.conftest import ExchangeTo
from webntpd.clock.clocks import Pair, SystemClock
from webntpd.exchange.dial import Link
from webntpd.exchange.session import FrameCounter, Session, is_one_frame, open_session
from webntpd.ntp.readings import Rejection, Stamp, StampSource
from webntpd.protocol.rejected import Rejected
from webntpd.sockets.stream import Arrival, Departure

USER, KERNEL = StampSource.USER, StampSource.KERNEL


class Instant(trio.abc.Stream):
    """A link whose every segment is there at once; the n-th of either direction is stamped n.

    It is both the stream and the one with the stamps, and as that lets other tasks run before it
    reads. The server in it answers each message with `answers`, each a segment of its own.
    """

    def __init__(self, *answers: wsproto.events.Event) -> None:
        self.last_sent = self._departure(0, 0)
        self.last_received = self._arrival(0, 0)
        self._answers = answers
        self._server = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._segments: list[bytes] = []
        self._number = 0
        self._readers = trio.lowlevel.ParkingLot()

    @staticmethod
    def _departure(end: int, number: int) -> Departure:
        return Departure(end, Pair(number, number, 0), Pair(number, number, 0))

    @staticmethod
    def _arrival(end: int, number: int) -> Arrival:
        return Arrival(end, Stamp(number, number, USER), Stamp(number, number, KERNEL))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.last_sent = self._departure(self.last_sent.end + len(data), self.last_sent.end)
        self._server.receive_data(bytes(data))
        for event in self._server.events():
            if isinstance(event, Request):
                self._segments.append(self._server.send(AcceptConnection()))
            elif isinstance(event, Message):
                self._segments += [self._server.send(answer) for answer in self._answers]
        if self._segments:
            self._readers.unpark_all()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        if not self._segments:
            await self._readers.park()
        data = self._segments.pop(0)
        self._number += 1
        self.last_received = self._arrival(self.last_received.end + len(data), self._number)
        return data

    def departure(self, sent: Departure) -> Stamp:
        return sent.user

    def least_round_trip(self) -> float | None:
        return 0.25

    def expect(self, size: int) -> None:
        pass

    def close(self) -> None:
        self._segments.clear()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


async def session_over(nursery: trio.Nursery, stream: Instant) -> Session:
    link = Link(stream, stream, direct=True)  # type: ignore[arg-type]
    return await open_session(nursery, link, httpx.URL("ws://server/"), [], SystemClock())


@pytest.mark.parametrize("attempt", range(20))  # trio runs what is ready in random order
async def test_the_stamp_is_the_answers_whatever_follows_at_once(
    nursery: trio.Nursery,
    attempt: int,
) -> None:
    session = await session_over(nursery, Instant(TextMessage("the answer"), Ping(), Ping()))
    answered = await session.send_and_receive("the question")
    assert answered.answer == b"the answer"
    assert (answered.trip.t4.wall_ns, answered.trip.t4.source) == (
        2,
        KERNEL,
    )  # 1 is the handshake's
    assert answered.trip.least_round_trip == 0.25
    nursery.cancel_scope.cancel()


async def test_a_kernel_stamp_is_not_trusted_when_more_came_before_the_answer(
    nursery: trio.Nursery,
) -> None:
    session = await session_over(nursery, Instant(Ping(), TextMessage("the answer")))
    answered = await session.send_and_receive("the question")
    assert (answered.trip.t4.wall_ns, answered.trip.t4.source) == (3, USER)
    nursery.cancel_scope.cancel()


class Failing(Instant):
    """Breaks in a way that no stream should, once the handshake is over."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await super().receive_some(max_bytes)
        if self._number > 1:
            raise ArithmeticError
        return data


async def test_a_reader_that_fails_ends_its_session_and_nothing_else(
    nursery: trio.Nursery,
) -> None:
    session = await session_over(nursery, Failing(TextMessage("the answer")))
    with pytest.raises(Rejected) as caught:
        await session.send_and_receive("the question")
    assert caught.value.failure.rejection is Rejection.CLOSED
    await trio.testing.wait_all_tasks_blocked()
    assert session.is_closed
    assert not nursery.child_tasks


def in_one_piece(*, ping: bool) -> Script:
    async def script(visitor: Visitor) -> None:
        websocket = FakeSocket(visitor)
        await websocket.accept()
        while True:
            reply = TextMessage(reply_json(await websocket.token()).decode())
            await visitor.send(
                websocket.frame(reply) + (websocket.frame(Ping(b"behind")) if ping else b"")
            )

    return script


async def test_the_kernels_stamp_is_taken_when_the_answer_came_alone_and_only_then(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    alone = exchange_to((await serve(nursery, in_one_piece(ping=False))).url("ws"))
    behind = exchange_to((await serve(nursery, in_one_piece(ping=True))).url("ws"))
    with trio.fail_after(10):
        while True:  # the kernel takes its time with its first stamps
            [reading] = await alone.measure(last=True)
            if reading.provenance.t1 is reading.provenance.t4 is KERNEL:
                break
            await trio.sleep(0.001)
    [reading] = await behind.measure(last=True)
    assert (reading.provenance.t1, reading.provenance.t4) == (KERNEL, USER)


async def test_the_kernels_stamp_is_taken_under_tls_too(
    nursery: trio.Nursery, exchange_to: ExchangeTo, context: ssl.SSLContext, ca_file: Path
) -> None:
    server = await serve(nursery, in_one_piece(ping=False), context=context)
    exchange = exchange_to(server.url("wss"), ca_file=ca_file)
    with trio.fail_after(10):
        while True:  # the kernel takes its time with its first stamps
            [reading] = await exchange.measure(last=True)
            if reading.provenance.t1 is reading.provenance.t4 is KERNEL:
                break
            await trio.sleep(0.001)
    assert server.connections == 1


def frame_of(payload: int) -> bytes:
    """An unmasked frame of `payload` bytes, by wsproto."""
    server = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
    return server.send(TextMessage("x" * payload))


@given(st.integers(0, 4096), st.integers(-4096, 4096), st.booleans())
def test_one_frame_is_told_from_more_and_from_less(payload: int, more: int, tls: bool) -> None:
    frame = len(frame_of(payload))
    assert is_one_frame(frame, payload, tls=False)
    assert is_one_frame(frame + more, payload, tls=False) == (more == 0)
    # 21 bytes is the least that a record of TLS adds, and 2 the shortest frame.
    assert is_one_frame(frame + more, payload, tls=True) == (0 < more < 2 * 21 + 2)


@given(st.lists(st.integers(0, 70_000), max_size=6), st.data())
def test_frames_are_counted_however_they_are_cut_into_pieces(
    payloads: list[int], data: st.DataObject
) -> None:
    stream = b"".join(frame_of(payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    counter = FrameCounter()
    pieces = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    assert sum(counter.feed(stream[begin:end]) for begin, end in pieces) == len(payloads)


def test_frames_are_counted_byte_by_byte() -> None:
    counter = FrameCounter()
    stream = frame_of(0) + frame_of(125) + frame_of(126) + frame_of(65_536) + frame_of(1)
    assert sum(counter.feed(stream[at : at + 1]) for at in range(len(stream))) == 5


class Pinging(Instant):
    """Pings every ten seconds, as servers do to keep a connection."""

    async def ping_for(self, seconds: float) -> None:
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            self._segments.append(self._server.send(Ping()))
            self._readers.unpark_all()
            await trio.sleep(10)


async def test_the_pings_of_a_long_pause_are_no_flood(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    stream = Pinging(TextMessage("the answer"))
    session = await session_over(nursery, stream)
    await stream.ping_for(100_000)
    await session.send_and_receive("the question")
    assert not session.is_closed
    nursery.cancel_scope.cancel()


async def test_pings_that_come_at_once_are_a_flood(nursery: trio.Nursery) -> None:
    session = await session_over(nursery, Instant(TextMessage("the answer"), *[Ping()] * 64))
    await session.send_and_receive("the question")
    await trio.testing.wait_all_tasks_blocked()
    assert session.is_closed
    assert session.flooded is not None
    assert session.flooded.failure.rejection is Rejection.PROTOCOL
