"""The stream against real TCP sockets on loopback, and a clock that counts its readings."""

import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from webntpd import kernelstamps
from webntpd.clock import Clock, ShiftedClock, SystemClock
from webntpd.ntp.types import StampSource
from webntpd.timestamping import MAX_DEPARTURES, Segment, TimestampedStream, detach, read_stamp


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


async def connected(clock: Clock, *, kernel: bool = True) -> Pair:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        stream = TimestampedStream(detach(client), clock, kernel=kernel)
        return stream, await listener.accept()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    stream, peer = await connected(CountingClock(), kernel=False)
    async with stream, peer:
        yield stream, peer


async def test_it_is_a_half_closeable_stream_as_trio_understands_it() -> None:
    async def make_pair() -> tuple[TimestampedStream, TimestampedStream]:
        stream, peer = await connected(CountingClock())
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
    assert stream.last_received.stamp.wall_ns > before
    assert stream.last_received.stamp.source is StampSource.USER


async def test_the_end_of_the_stream_leaves_the_last_segments_stamp(pair: Pair) -> None:
    stream, peer = pair
    await peer.send_all(b"all")
    await peer.send_eof()
    assert await stream.receive_some() == b"all"
    last = stream.last_received
    assert await stream.receive_some() == b""
    assert stream.last_received is last


async def test_other_tasks_run_before_anything_is_read_or_sent(pair: Pair) -> None:
    stream, peer = pair
    await peer.send_all(b"abc")
    before = stream.last_received, stream.last_sent
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.receive_some()
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.send_all(b"xyz")
    assert (stream.last_received, stream.last_sent) == before
    assert await stream.receive_some() == b"abc"


class Interrupted(SystemClock):
    """A machine which does something else between the first readings of the two clocks."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times
        self._late_ns = 0

    def realtime_ns(self) -> int:
        wall_ns = super().realtime_ns()
        if self._times:
            self._times -= 1
            self._late_ns += 10**9
        return wall_ns + self._late_ns

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._late_ns


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_task_switch_between_two_readings_does_not_part_the_clocks(times: int) -> None:
    clock = Interrupted(times)
    stamp = read_stamp(clock)
    before = clock.monotonic_ns()
    parted_ns = (clock.realtime_ns() - before) - (stamp.wall_ns - stamp.monotonic_ns)
    assert abs(parted_ns) < 10**6


def test_a_machine_that_is_always_interrupted_still_gets_its_stamp() -> None:
    before_ns = SystemClock().realtime_ns()
    assert before_ns <= read_stamp(Interrupted(1000)).wall_ns < before_ns + 2 * 10**9


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


# The kernel's stamps


class Echo:
    """A stream with kernel stamps, and a peer that sends back what it gets."""

    def __init__(self, stream: TimestampedStream, peer: trio.SocketStream) -> None:
        self.stream = stream
        self._peer = peer

    async def round_trip(self, data: bytes) -> tuple[Segment, Segment]:
        await self.stream.send_all(data)
        sent = self.stream.last_sent
        await self._peer.send_all(await self._peer.receive_some())
        assert await self.stream.receive_some() == data
        return sent, self.stream.last_received

    async def warm_up(self) -> None:
        """Until the kernel, which takes its time at first, stamps either way."""
        with trio.fail_after(10):
            while True:
                sent, received = await self.round_trip(b"x")
                if self.stream.departure(sent).source is received.stamp.source is KERNEL:
                    return
                await trio.sleep(0.001)


KERNEL = StampSource.KERNEL


@asynccontextmanager
async def echo(clock: Clock) -> AsyncIterator[Echo]:
    stream, peer = await connected(clock)
    async with stream, peer:
        yield Echo(stream, peer)


async def test_kernel_stamps_lie_between_the_system_calls() -> None:
    clock = SystemClock()
    async with echo(clock) as both:
        await both.warm_up()
        sent, received = await both.round_trip(b"123")
        departure, arrival = both.stream.departure(sent), received.stamp
        assert departure.source is arrival.source is KERNEL
        assert sent.user.wall_ns <= departure.wall_ns <= arrival.wall_ns <= received.user.wall_ns
        for kernel, user in ((departure, sent.user), (arrival, received.user)):
            assert kernel.wall_ns - user.wall_ns == kernel.monotonic_ns - user.monotonic_ns


async def test_kernel_stamps_are_read_through_the_clock() -> None:
    async with echo(ShiftedClock(1000.0)) as both:
        await both.warm_up()
        sent, received = await both.round_trip(b"123")
        departure, arrival = both.stream.departure(sent), received.stamp
        assert departure.source is arrival.source is KERNEL
        assert sent.user.wall_ns <= departure.wall_ns <= arrival.wall_ns <= received.user.wall_ns


async def test_a_kernel_stamp_on_the_wrong_side_of_its_system_call_is_none() -> None:
    clock = SystemClock()  # soon as under a library that fakes the time, but not the stamps
    async with echo(clock) as both:
        await both.warm_up()
        clock.shift_ns = 10**9
        sent, received = await both.round_trip(b"123")
        assert received.stamp is received.user
        clock.shift_ns = -(10**9)
        assert both.stream.departure(sent) is sent.user


async def test_a_departure_that_is_not_stamped_yet_is_user_spaces() -> None:
    async with echo(SystemClock()) as both:
        nothing_sent = both.stream.last_sent
        assert both.stream.departure(nothing_sent) is nothing_sent.user


async def test_stamps_can_be_left_out() -> None:
    stream, peer = await connected(SystemClock(), kernel=False)
    async with stream, peer:
        both = Echo(stream, peer)
        for _ in range(10):
            sent, received = await both.round_trip(b"x")
            assert stream.departure(sent) is sent.user
            assert received.kernel is None


async def test_a_kernel_that_refuses_stamps_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernelstamps, "SO_TIMESTAMPING_NEW", 9999)
    async with echo(SystemClock()) as both:
        assert not both.stream.kernel
        _, received = await both.round_trip(b"123")
        assert received.stamp.source is StampSource.USER


class Steps(trio.abc.Instrument):
    """Counts how often a task runs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith(self._name)


async def test_a_stream_that_waits_with_stamps_pending_does_not_spin(
    nursery: trio.Nursery,
) -> None:
    async def waits() -> None:
        await both.stream.receive_some()

    async with echo(SystemClock()) as both:
        await both.warm_up()
        await both.stream.send_all(b"its stamp is pending")
        assert pending(both.stream)
        steps = Steps("waits")
        trio.lowlevel.add_instrument(steps)
        nursery.start_soon(waits)
        with trio.fail_after(10):  # a task that spins is never blocked
            await trio.testing.wait_all_tasks_blocked()
        await both.stream.send_all(b"its stamp comes while the other task waits")
        with trio.fail_after(10):
            await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
        assert steps.count <= 4  # it starts, passes a checkpoint, and wakes up once or twice
        nursery.cancel_scope.cancel()


async def test_an_idle_stream_with_stamps_pending_is_not_taken_for_closed() -> None:
    async with echo(SystemClock()) as both:
        await both.warm_up()
        await both.stream.send_all(b"its stamp is pending")
        assert pending(both.stream)
        assert not both.stream.is_readable()


def pending(stream: TimestampedStream) -> bool:
    """True if anything is in the socket's error queue."""
    poll = select.poll()
    poll.register(socket_of(stream), 0)
    return bool(poll.poll(0))


async def test_stamps_that_no_one_asks_for_do_not_pile_up() -> None:
    async with echo(SystemClock()) as both:
        await both.warm_up()
        for _ in range(3 * MAX_DEPARTURES):
            sent, _ = await both.round_trip(b"x")
        assert both.stream.departure(sent).source is KERNEL
        assert len(both.stream._departures) < MAX_DEPARTURES
