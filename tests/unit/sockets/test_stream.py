"""The stream against real TCP sockets on loopback, and a clock that counts its readings."""

import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from webntpd.clock.clocks import Clock, Pair, ShiftedClock, SystemClock, read_pair
from webntpd.ntp.readings import StampSource
from webntpd.sockets import stamps
from webntpd.sockets.stream import (
    CARRY_TOLERANCE_NS,
    MAX_DEPARTURES,
    Arrival,
    Departure,
    FloodError,
    RawBounds,
    TimestampedStream,
    carry,
    detach,
)


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


Ends = tuple[TimestampedStream, trio.SocketStream]


async def connected(clock: Clock, *, kernel: bool = True) -> Ends:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        stream = TimestampedStream(detach(client), clock, kernel=kernel)
        return stream, await listener.accept()


@pytest.fixture
async def pair() -> AsyncIterator[Ends]:
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


async def test_no_more_is_received_than_was_expected(pair: Ends) -> None:
    stream, peer = pair
    await peer.send_all(b"12345678")
    stream.expect(4)
    assert await stream.receive_some(4) == b"1234"
    stream.expect(3)
    assert await stream.receive_some(3) == b"567"
    with pytest.raises(FloodError):
        await stream.receive_some(1)


async def test_bytes_are_counted_and_stamped_in_either_direction(pair: Ends) -> None:
    stream, peer = pair
    await stream.send_all(b"12345")
    await stream.send_all(b"678")
    assert stream.last_sent.end == 8
    assert await peer.receive_some() == b"12345678"
    before = stream.last_sent.user.wall_ns
    await peer.send_all(b"abc")
    assert await stream.receive_some(2) == b"ab"
    assert stream.last_received.end == 2
    assert await stream.receive_some() == b"c"
    assert stream.last_received.end == 3
    assert stream.last_received.stamp.wall_ns > before
    assert stream.last_received.stamp.source is StampSource.USER


async def test_the_end_of_the_stream_leaves_the_last_segments_stamp(pair: Ends) -> None:
    stream, peer = pair
    await peer.send_all(b"all")
    await peer.send_eof()
    assert await stream.receive_some() == b"all"
    last = stream.last_received
    assert await stream.receive_some() == b""
    assert stream.last_received is last


async def test_other_tasks_run_before_anything_is_read_or_sent(pair: Ends) -> None:
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


class Ticking(SystemClock):
    """Each reading of either clock is later than the one before by another time."""

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = 0
        self._tick_ns = 0

    def _read(self) -> int:
        self._tick_ns += 1
        self._now_ns += self._tick_ns
        return self._now_ns

    def realtime_ns(self) -> int:
        return 10**18 + self._read()

    def raw_ns(self) -> int:
        return self._read()


async def test_in_user_space_raw_is_early_for_a_departure_and_late_for_an_arrival() -> None:
    stream, peer = await connected(Ticking(), kernel=False)
    async with stream, peer:
        await stream.send_all(b"x")
        departure = stream.departure(stream.last_sent)
        assert departure.raw_ns < departure.wall_ns - 10**18
        await peer.send_all(b"y")
        await stream.receive_some()
        arrival = stream.last_received.stamp
        assert arrival.raw_ns > arrival.wall_ns - 10**18 > departure.wall_ns - 10**18


async def test_sending_nothing_is_no_segment(pair: Ends) -> None:
    stream, _ = pair
    before = stream.last_sent
    await stream.send_all(b"")
    assert stream.last_sent is before


async def test_looking_whether_anything_waits_consumes_nothing(pair: Ends) -> None:
    stream, peer = pair
    assert not stream.is_readable()
    await peer.send_all(b"x")
    await trio.lowlevel.wait_readable(socket_of(stream))
    assert stream.is_readable()
    assert await stream.receive_some() == b"x"
    assert not stream.is_readable()


@pytest.mark.parametrize("linger", [struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)])
async def test_the_end_and_a_reset_are_readable(pair: Ends, linger: bytes) -> None:
    stream, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    await peer.aclose()
    await trio.lowlevel.wait_readable(socket_of(stream))
    assert stream.is_readable()


async def test_a_reset_breaks_the_stream(pair: Ends) -> None:
    stream, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await peer.aclose()
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")


async def test_a_closed_stream_is_readable_and_refuses_everything(pair: Ends) -> None:
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

    async def send_and_echo(self, data: bytes) -> Departure:
        await self.stream.send_all(data)
        sent = self.stream.last_sent
        await self._peer.send_all(await self._peer.receive_some())
        return sent

    async def round_trip(self, data: bytes) -> tuple[Departure, Arrival]:
        sent = await self.send_and_echo(data)
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
        assert sent.user.raw_ns <= departure.raw_ns <= sent.after.raw_ns + sent.after.window_ns
        assert departure.raw_ns < arrival.raw_ns <= received.user.raw_ns


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
        assert both.stream.departure(sent) == sent.user


async def test_a_departure_beside_which_the_clock_was_set_is_no_later_than_user_spaces() -> None:
    async with echo(SystemClock()) as both:
        await both.warm_up()
        await both.stream.send_all(b"123")
        sent = both.stream.last_sent
        ahead = sent.after._replace(wall_ns=sent.after.wall_ns + 10**7)
        assert both.stream.departure(replace(sent, after=ahead)).raw_ns == sent.user.raw_ns


class Settable(SystemClock):
    """A wall clock that can be set, but only for us: the kernel stamps as before."""

    set_by_ns = 0

    def realtime_ns(self) -> int:
        return super().realtime_ns() + self.set_by_ns


@pytest.mark.parametrize("step_ns", [10**8, -(10**8)])
async def test_an_arrival_after_which_the_clock_was_set_is_after_the_sending_still(
    step_ns: int,
) -> None:
    clock = Settable()
    async with echo(clock) as both:
        await both.warm_up()
        await both.send_and_echo(b"123")
        clock.set_by_ns = step_ns
        assert await both.stream.receive_some() == b"123"
        received = both.stream.last_received
        sent = both.stream.last_sent
        assert sent.after.raw_ns < received.stamp.raw_ns <= received.user.raw_ns


async def test_a_reply_that_came_before_send_returned_has_the_kernels_stamp() -> None:
    clock = SystemClock()
    async with echo(clock) as both:
        await both.warm_up()
        await both.send_and_echo(b"123")
        both.stream._last_pair = read_pair(clock)  # as if read when send() returned
        assert await both.stream.receive_some() == b"123"
        assert both.stream.last_received.stamp.source is KERNEL


async def test_a_departure_that_is_not_stamped_yet_is_user_spaces() -> None:
    async with echo(SystemClock()) as both:
        nothing_sent = both.stream.last_sent
        assert both.stream.departure(nothing_sent) == nothing_sent.user


async def test_stamps_can_be_left_out() -> None:
    stream, peer = await connected(SystemClock(), kernel=False)
    async with stream, peer:
        both = Echo(stream, peer)
        for _ in range(10):
            sent, received = await both.round_trip(b"x")
            assert stream.departure(sent) == sent.user
            assert received.kernel is None


async def test_a_kernel_that_refuses_stamps_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stamps, "SO_TIMESTAMPING_NEW", 9999)
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


# From the wall clock to RAW

FASTEST_SLEW = 83_334e-6
"""More than any consumer's rate, s/s: chrony's is 83 333.333 ppm."""
GRAIN_NS = 2
"""The rounding of all clocks to nanoseconds adds no more than this."""
WRONG_NS = CARRY_TOLERANCE_NS + GRAIN_NS


class SlewedWall:
    """A wall clock that a consumer slews: (for how long by RAW, ns; at what rate), in sequence."""

    def __init__(self, slews: list[tuple[int, float]]) -> None:
        self._slews = slews

    def at(self, raw_ns: int) -> int:
        wall_ns, left_ns = 10.0**9, raw_ns
        for length_ns, rate in self._slews:
            passed_ns = min(left_ns, length_ns)
            wall_ns += passed_ns * (1 + rate)
            left_ns -= passed_ns
        return int(wall_ns + left_ns)

    def pair(self, raw_ns: int, until_wall_ns: int, window_ns: int) -> Pair:
        """Read from `raw_ns` on; the wall clock was read `until_wall_ns` later, at the most."""
        read_ns = raw_ns + min(until_wall_ns, window_ns)
        return Pair(raw_ns, self.at(read_ns), window_ns)


slews = st.lists(
    st.tuples(st.integers(1, 10**6), st.sampled_from([-1.0, 0.0, 1.0]) | st.floats(-1, 1)).map(
        lambda each: (each[0], each[1] * FASTEST_SLEW)
    ),
    max_size=8,
)
spans = st.integers(0, 10**6)
windows = st.integers(GRAIN_NS, 10**5)


@given(slews, spans, spans, st.tuples(windows, windows), st.tuples(windows, windows))
def test_however_the_wall_clock_is_slewed_the_instant_lies_within_the_carried_bounds(
    slews: list[tuple[int, float]],
    waited_ns: int,
    after_ns: int,
    first: tuple[int, int],
    second: tuple[int, int],
) -> None:
    wall = SlewedWall(slews)
    before = wall.pair(0, *first)
    stamped_ns = before.window_ns + waited_ns
    after = wall.pair(stamped_ns + after_ns, *second)
    bounds = carry(wall.at(stamped_ns), before, after)
    assert bounds is not None
    assert bounds.earliest_ns - WRONG_NS <= stamped_ns <= bounds.latest_ns + WRONG_NS
    assert bounds.earliest_ns >= before.raw_ns
    assert bounds.latest_ns <= after.raw_ns + after.window_ns


@given(
    st.floats(-FASTEST_SLEW, FASTEST_SLEW),
    spans,
    spans,
    st.tuples(windows, windows),
    st.tuples(windows, windows),
)
def test_as_long_as_the_slew_is_steady_the_carried_bounds_hold_exactly(
    rate: float, waited_ns: int, after_ns: int, first: tuple[int, int], second: tuple[int, int]
) -> None:
    wall = SlewedWall([(10**9, rate)])
    before = wall.pair(0, *first)
    stamped_ns = before.window_ns + waited_ns
    after = wall.pair(stamped_ns + after_ns, *second)
    bounds = carry(wall.at(stamped_ns), before, after)
    assert bounds is not None
    assert bounds.earliest_ns - GRAIN_NS <= stamped_ns <= bounds.latest_ns + GRAIN_NS


def test_a_wake_up_of_a_few_dozen_microseconds_costs_no_more_than_reading_the_clocks() -> None:
    before, after = Pair(0, 10**9, 200), Pair(50_000, 10**9 + 50_100, 200)
    bounds = carry(10**9 + 20_100, before, after)
    assert bounds is not None
    assert 20_000 - 400 <= bounds.earliest_ns <= bounds.latest_ns <= 20_000 + 600


@given(st.integers(-(10**7), 10**7), spans, spans, st.booleans(), windows)
def test_a_step_beside_the_stamp_widens_the_bounds_by_its_size(
    step_ns: int, waited_ns: int, after_ns: int, early: bool, window_ns: int
) -> None:
    """The wall clock is set between the stamp and one of the pairs."""
    before = Pair(0, 10**9 + window_ns // 2, window_ns)
    stamped_ns = window_ns + waited_ns
    raw_ns = stamped_ns + after_ns
    after = Pair(raw_ns, 10**9 + raw_ns + window_ns // 2 + step_ns, window_ns)
    bounds = carry(10**9 + stamped_ns + step_ns * early, before, after)
    if bounds is not None:
        assert bounds.earliest_ns - GRAIN_NS <= stamped_ns <= bounds.latest_ns + GRAIN_NS


def test_a_stamp_that_is_not_between_the_pairs_is_of_another_clock() -> None:
    before, after = Pair(0, 10**9, 10), Pair(1000, 10**9 + 1000, 10)
    assert carry(10**9 + 500, before, after) == RawBounds(490, 520)
    assert carry(10**9 - 1, before, after) is None
    assert carry(10**9 + 1001, before, after) is None


# The kernel's round trips


async def test_the_least_round_trip_is_kept_for_the_connections_whole_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with echo(SystemClock()) as both:
        known = both.stream.least_round_trip()
        assert known is not None
        for measured, least in (
            (known + 1, known),
            (None, known),
            (known / 2, known / 2),
            (known, known / 2),
        ):
            monkeypatch.setattr(stamps, "least_round_trip", lambda _, each=measured: each)
            assert both.stream.least_round_trip() == least
