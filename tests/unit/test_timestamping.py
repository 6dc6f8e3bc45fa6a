"""The stream against real TCP sockets on loopback, and a clock that counts its readings."""

import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from webntpd.clock import SystemClock
from webntpd.ntp.types import StampSource
from webntpd.timestamping import TimestampedStream, detach


class CountingClock(SystemClock):
    """Each reading of the wall is one more than the last."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0

    def realtime_ns(self) -> int:
        self.readings += 1
        return self.readings


def socket_of(stream: TimestampedStream) -> socket.socket:
    return stream._socket


Pair = tuple[TimestampedStream, trio.SocketStream]


async def connected() -> Pair:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return TimestampedStream(detach(client), CountingClock()), await listener.accept()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    stream, peer = await connected()
    async with stream, peer:
        yield stream, peer


async def test_it_is_a_half_closeable_stream_as_trio_understands_it() -> None:
    async def make_pair() -> tuple[TimestampedStream, TimestampedStream]:
        stream, peer = await connected()
        return stream, TimestampedStream(detach(peer), CountingClock())

    async def clog(stream: TimestampedStream) -> None:
        while True:
            await stream.send_all(bytes(65536))

    async def make_clogged_pair() -> tuple[TimestampedStream, TimestampedStream]:
        pair = await make_pair()
        with trio.move_on_after(0.1):  # the kernel finds room for a little more, for a while
            async with trio.open_nursery() as nursery:
                for stream in pair:
                    nursery.start_soon(clog, stream)
        return pair

    await trio.testing.check_half_closeable_stream(make_pair, make_clogged_pair)


async def test_bytes_are_counted_and_stamped_in_either_direction(pair: Pair) -> None:
    stream, peer = pair
    await stream.send_all(b"12345")
    await stream.send_all(b"678")
    assert stream.last_sent.end == 8
    assert await peer.receive_some() == b"12345678"
    before = stream.last_sent.stamp.wall_ns
    await peer.send_all(b"abc")
    assert await stream.receive_some(2) == b"ab"
    assert stream.last_received.end == 2
    assert await stream.receive_some() == b"c"
    assert stream.last_received.end == 3
    assert stream.last_received.stamp.wall_ns == before + 2
    assert stream.last_received.stamp.source is StampSource.USER


async def test_the_end_of_the_stream_leaves_the_last_segments_stamp(pair: Pair) -> None:
    stream, peer = pair
    await peer.send_all(b"all")
    await peer.send_eof()
    assert await stream.receive_some() == b"all"
    last = stream.last_received
    assert await stream.receive_some() == b""
    assert stream.last_received is last


async def test_sending_nothing_is_no_segment(pair: Pair) -> None:
    stream, _ = pair
    before = stream.last_sent
    await stream.send_all(b"")
    assert stream.last_sent is before


async def test_looking_whether_anything_waits_consumes_nothing(pair: Pair) -> None:
    stream, peer = pair
    assert not stream.is_readable()
    await peer.send_all(b"x")
    await trio.lowlevel.wait_readable(socket_of(stream))
    assert stream.is_readable()
    assert await stream.receive_some() == b"x"
    assert not stream.is_readable()


@pytest.mark.parametrize("linger", [struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)])
async def test_the_end_and_a_reset_are_readable(pair: Pair, linger: bytes) -> None:
    stream, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    await peer.aclose()
    await trio.lowlevel.wait_readable(socket_of(stream))
    assert stream.is_readable()


async def test_a_reset_breaks_the_stream(pair: Pair) -> None:
    stream, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await peer.aclose()
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")


async def test_a_closed_stream_is_readable_and_refuses_everything(pair: Pair) -> None:
    stream, _ = pair
    stream.close()
    stream.close()
    assert stream.is_readable()
    with pytest.raises(trio.ClosedResourceError):
        await stream.send_eof()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()
