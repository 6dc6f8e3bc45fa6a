"""A TCP stream for trio that knows when each of its segments left and came.

It sits at the bottom: TLS, WebSocket and HTTP run over it and never notice. Each segment has a
stamp of user space, read just before the system call that sends or just after the one that
receives, with no other task in between; and, where the kernel gives one, the kernel's. The stream
counts the bytes of either direction, so that its user can tell the segment that carried a request
or completed a reply from a pong or a TLS ticket that went along.

A stamp is one instant on two scales, the wall clock's and RAW's, and errs on the safe side: the RAW
of a departure is not late, that of an arrival not early. The kernel stamps with the wall clock
only, and the consumer may slew that clock at the same time. So a kernel stamp is carried over to
RAW from the pairs that user space reads around it, each of which bounds it from either side.

One task may send while another receives; two of the same kind may not.
"""

import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import trio

from webntpd import kernelstamps
from webntpd.clock import Clock, Pair, read_pair
from webntpd.ntp.types import Stamp, StampSource

RECEIVE_SIZE = 16384  # bytes of one read where the caller names no number; a TLS record's maximum

MAX_DEPARTURES = 16
"""Kernel stamps of departures that are kept until someone asks for them."""

# RAW ns in ten ns of the wall clock. chrony slews by 83 334 ppm at most, faster than any other
# consumer: the true figure then lies between 10 / 1.083334 = 9.23 and 10 / 0.916666 = 10.91.
_LEAST_RAW_PER_10 = 9
_MOST_RAW_PER_10 = 11

CARRY_TOLERANCE_NS = 4_000
"""By how much a carried stamp may be on the wrong side, if the slew changes just around it, ns.

Without it, waking up for 30 us costs each arrival 3 us, which is an error of the offset by half of
that: always in the same direction, on a path that is better than 1 us otherwise.
"""

KEPT_PAIRS = 3
"""Pairs that are kept to carry stamps from: around the last send, and after the last receipt."""


class RawBounds(NamedTuple):
    """An instant on the RAW scale lies between these two, ns."""

    earliest_ns: int
    latest_ns: int


def carry(wall_ns: int, *pairs: Pair) -> RawBounds | None:
    """When it was on the RAW scale as the wall clock showed `wall_ns`, from pairs read nearby.

    The bounds hold if the wall clock is slewed steadily between the two pairs around `wall_ns`, and
    otherwise but for CARRY_TOLERANCE_NS. None if the pairs contradict each other: then the wall
    clock was set in between.
    """
    earliest_ns = max(pair.raw_ns + _least_raw(wall_ns - pair.wall_ns) for pair in pairs)
    latest_ns = min(
        pair.raw_ns + pair.window_ns - _least_raw(pair.wall_ns - wall_ns) for pair in pairs
    )
    if earliest_ns > latest_ns:
        return None
    steady = _carry_steadily(wall_ns, pairs) or RawBounds(earliest_ns, latest_ns)
    return RawBounds(
        max(earliest_ns, min(steady.earliest_ns, earliest_ns + CARRY_TOLERANCE_NS)),
        min(latest_ns, max(steady.latest_ns, latest_ns - CARRY_TOLERANCE_NS)),
    )


def _least_raw(wall_ns: int) -> int:
    """The least RAW time in which the wall clock moves by `wall_ns`, which may be negative."""
    return wall_ns * (_LEAST_RAW_PER_10 if wall_ns >= 0 else _MOST_RAW_PER_10) // 10


def _carry_steadily(wall_ns: int, pairs: Iterable[Pair]) -> RawBounds | None:
    """As carry, by the mean rate between the two pairs around `wall_ns`; None unless it has two."""
    before = [pair for pair in pairs if pair.wall_ns <= wall_ns]
    after = [pair for pair in pairs if pair.wall_ns > wall_ns]
    if not before or not after:
        return None
    last, following = max(before, key=_wall_of), min(after, key=_wall_of)
    passed_ns, whole_ns = wall_ns - last.wall_ns, following.wall_ns - last.wall_ns
    earliest_ns = last.raw_ns + (following.raw_ns - last.raw_ns) * passed_ns // whole_ns
    window_ns = last.window_ns + (following.window_ns - last.window_ns) * passed_ns // whole_ns
    return RawBounds(earliest_ns, earliest_ns + window_ns + 2)  # two divisions round down


def _wall_of(pair: Pair) -> int:
    return pair.wall_ns


@dataclass(frozen=True, slots=True)
class Departure:
    """One system call that sent: the byte count at its end, and pairs read before and after it.

    The kernel's stamp of it comes later: TimestampedStream.departure has it.
    """

    end: int
    before: Pair
    after: Pair

    @property
    def user(self) -> Stamp:
        """The stamp of user space: RAW was read first."""
        return Stamp(self.before.wall_ns, self.before.raw_ns, StampSource.USER)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One system call that received: the byte count at its end, and when."""

    end: int
    user: Stamp
    kernel: Stamp | None = None

    @property
    def stamp(self) -> Stamp:
        """The best stamp of it that there is."""
        return self.kernel or self.user


def _arrived(pair: Pair) -> Stamp:
    """The stamp of user space of what came before `pair`: RAW was read last."""
    return Stamp(pair.wall_ns, pair.raw_ns + pair.window_ns, StampSource.USER)


def detach(stream: trio.SocketStream) -> socket.socket:
    """The socket of trio's stream, which is left without one. Options that trio set remain."""
    fileno = stream.socket.detach()
    sock = socket.socket(fileno=fileno)
    sock.settimeout(0)
    return sock


class TimestampedStream(trio.abc.HalfCloseableStream):
    """A trio stream over a connected, non-blocking TCP socket, which it owns from now on.

    `last_sent` and `last_received` are of the latest system call of either direction. They hold
    from the return of send_all or receive_some until its caller awaits anything. `kernel` asks
    for the kernel's stamps, and then says whether it was not refused.
    """

    def __init__(self, sock: socket.socket, clock: Clock, *, kernel: bool = True) -> None:
        self.kernel = kernel and kernelstamps.enable(sock, transmit=True)
        self._departures: dict[int, int] = {}
        self._socket = sock
        self._clock = clock
        self._sending = False
        self._eof_sent = False
        self._least_round_trip: float | None = None
        pair = read_pair(clock)
        self._pairs = deque([pair], maxlen=KEPT_PAIRS)
        self.last_sent = Departure(0, pair, pair)
        self.last_received = Arrival(0, _arrived(pair))
        self.least_round_trip()

    @contextmanager
    def _sole_sender(self) -> Iterator[None]:
        if self._sending:
            raise trio.BusyResourceError("another task is using this stream to send")
        self._sending = True
        try:
            yield
        except OSError as error:
            raise trio.BrokenResourceError(error.strerror) from error
        finally:
            self._sending = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._sole_sender(), memoryview(data) as rest:
            await trio.lowlevel.checkpoint()
            self._check_open(sending=True)
            done = 0
            while done < len(rest):
                try:
                    done += self._send(rest[done:])
                except BlockingIOError:
                    await self._wait(trio.lowlevel.wait_writable)

    def _send(self, data: memoryview) -> int:
        before = read_pair(self._clock)
        count = self._socket.send(data)
        after = read_pair(self._clock)
        self._pairs += (before, after)
        self.last_sent = Departure(self.last_sent.end + count, before, after)
        return count

    async def wait_send_all_might_not_block(self) -> None:
        with self._sole_sender():
            await trio.lowlevel.checkpoint()
            self._check_open(sending=True)
            await self._wait(trio.lowlevel.wait_writable)

    async def send_eof(self) -> None:
        with self._sole_sender():
            await trio.lowlevel.checkpoint()
            self._check_open()
            self._eof_sent = True
            self._socket.shutdown(socket.SHUT_WR)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self._check_open()
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be at least 1")
        while True:
            try:
                return self._receive(max_bytes or RECEIVE_SIZE)
            except BlockingIOError:
                await self._wait(trio.lowlevel.wait_readable)
            except OSError as error:
                raise trio.BrokenResourceError(error.strerror) from error

    def _receive(self, max_bytes: int) -> bytes:
        data, kernel_ns = kernelstamps.receive(self._socket, max_bytes)
        pair = read_pair(self._clock)
        self._pairs.append(pair)
        if data:  # the end of the stream is no segment of a reply
            end = self.last_received.end + len(data)
            kernel = self._kernel_arrival(kernel_ns, pair)
            self.last_received = Arrival(end, _arrived(pair), kernel)
        return data

    def _kernel_arrival(self, kernel_ns: int | None, pair: Pair) -> Stamp | None:
        """The kernel's stamp of what was received before `pair` was read, if it can be one."""
        if kernel_ns is None:
            return None
        wall_ns = kernel_ns + self._clock.shift_ns
        bounds = carry(wall_ns, *self._pairs)
        if wall_ns > pair.wall_ns or bounds is None:
            return None  # of a clock that we do not know, or of one that was set just now
        return Stamp(wall_ns, bounds.latest_ns, StampSource.KERNEL)

    def departure(self, sent: Departure) -> Stamp:
        """The best stamp of what was sent: the kernel's if it has come by now."""
        self._collect()
        kernel_ns = self._departures.pop(sent.end % kernelstamps.KEY_MODULUS, None)
        if kernel_ns is None:
            return sent.user
        wall_ns = kernel_ns + self._clock.shift_ns
        bounds = carry(wall_ns, sent.before, sent.after, *self._pairs)
        if wall_ns < sent.before.wall_ns or bounds is None:
            return sent.user
        return Stamp(wall_ns, bounds.earliest_ns, StampSource.KERNEL)

    def least_round_trip(self) -> float | None:
        """The least round trip that the kernel has measured on this connection until now, s.

        None where it measures none. Ask at each exchange: the kernel forgets after five minutes.
        """
        seen = kernelstamps.least_round_trip(self._socket)
        known = self._least_round_trip
        self._least_round_trip = known if seen is None else min(seen, known or seen)
        return self._least_round_trip

    def _collect(self) -> None:
        """Take the stamps of departures that have come, and forget those that no one asked for."""
        if self.kernel:
            for end, kernel_ns in kernelstamps.drain(self._socket):
                # The first one counts: a segment that is sent again gets another.
                self._departures.setdefault(end, kernel_ns)
            while len(self._departures) > MAX_DEPARTURES:
                del self._departures[next(iter(self._departures))]

    async def _wait(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        # As long as a stamp is in the error queue, the socket counts as ready: we would spin.
        self._collect()
        await ready(self._socket)

    def is_readable(self) -> bool:
        """True if data, the end of the stream or an error waits. Data is left where it is."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _check_open(self, *, sending: bool = False) -> None:
        if self._socket.fileno() < 0 or (sending and self._eof_sent):
            raise trio.ClosedResourceError("this stream was closed")

    def close(self) -> None:
        """Close at once, from a cancelled task too. Tasks that wait on the stream wake up."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()
