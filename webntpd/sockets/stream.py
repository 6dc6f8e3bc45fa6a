"""A TCP stream for trio that knows when each of its segments left and came.

It sits at the bottom: TLS, WebSocket and HTTP run over it and never notice. Each segment has a
stamp of user space, read just before the system call that sends or just after the one that
receives, with no other task in between; and, where the kernel gives one, the kernel's. The stream
counts the bytes of either direction, so that its user can tell the segment that carried a request
or completed a reply from a pong or a TLS ticket that went along.

A stamp is one instant on two scales, the wall clock's and RAW's, and errs on the safe side: the RAW
of a departure is not late, that of an arrival not early. The kernel stamps with the wall clock
only, and the consumer may slew or set that clock at the same time. So a kernel stamp is carried
over to RAW from the pairs that user space reads before and after it.

One task may send while another receives; two of the same kind may not.
"""

import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import trio

from webntpd.clock.clocks import Clock, Pair, read_pair
from webntpd.ntp.readings import SLEW_DIVISOR, Stamp, StampSource
from webntpd.sockets import stamps

RECEIVE_SIZE = 16384  # bytes of one read where the caller names no number; a TLS record's maximum

MAX_DEPARTURES = 16
"""Kernel stamps of departures that are kept; older ones are dropped."""

CARRY_TOLERANCE_NS = 4_000
"""A carried stamp may err by this to the wrong side if slews cancel each other around it, ns.

Without this tolerance a wake-up of 30 us would cost each arrival 3 us, and the offset half of that:
always in the same direction, and on a path whose other errors are below 1 us.
"""


class RawBounds(NamedTuple):
    """The earliest and the latest RAW that an instant may have, ns."""

    earliest_ns: int
    latest_ns: int

    @property
    def doubt_ns(self) -> int:
        """How far they are apart."""
        return self.latest_ns - self.earliest_ns


def carry(wall_ns: int, before: Pair, after: Pair) -> RawBounds | None:
    """RAW when the wall clock showed `wall_ns`, between two pairs.

    A step or a slew in one direction moves the stamp by no more than the two scales parted between
    the pairs. Slews that cancel each other may move it by a tenth of its distance from a pair;
    CARRY_TOLERANCE_NS of that is accepted. None if the stamp is not between the pairs: then it is
    of an unknown clock, or the wall clock was set back.
    """
    if not before.wall_ns <= wall_ns <= after.wall_ns:
        return None
    parted_ns = abs((after.wall_ns - after.raw_ns) - (before.wall_ns - before.raw_ns))
    parted_ns += max(before.window_ns, after.window_ns)
    end_ns = after.raw_ns + after.window_ns
    since_ns, until_ns = wall_ns - before.wall_ns, after.wall_ns - wall_ns
    earliest_ns = before.raw_ns + since_ns - _doubt_ns(since_ns, parted_ns)
    latest_ns = end_ns - until_ns + _doubt_ns(until_ns, parted_ns)
    return RawBounds(max(before.raw_ns, earliest_ns), min(end_ns, latest_ns))


def _doubt_ns(distance_ns: int, parted_ns: int) -> int:
    """How far slews and steps may have moved a stamp at this distance from a pair, ns."""
    return max(parted_ns, distance_ns // SLEW_DIVISOR - CARRY_TOLERANCE_NS)


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
        pair = self.before
        return Stamp(pair.wall_ns, pair.raw_ns, StampSource.USER, pair.window_ns)


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
    """The stamp of user space for an arrival just before `pair`: its last reading of RAW."""
    return Stamp(pair.wall_ns, pair.raw_ns + pair.window_ns, StampSource.USER, pair.window_ns)


def detach(stream: trio.SocketStream) -> socket.socket:
    """The socket of trio's stream, which is left without one. Options that trio set remain."""
    fileno = stream.socket.detach()
    sock = socket.socket(fileno=fileno)
    sock.settimeout(0)
    return sock


class FloodError(trio.BrokenResourceError):
    """The other end sent more bytes than TimestampedStream.expect() allows."""


class TimestampedStream(trio.abc.HalfCloseableStream):
    """A trio stream over a connected, non-blocking TCP socket, which it owns from now on.

    `last_sent` and `last_received` are of the latest system call of either direction. They hold
    from the return of send_all or receive_some until its caller awaits anything. `kernel` asks
    for the kernel's stamps, and then says whether it was not refused.
    """

    def __init__(self, sock: socket.socket, clock: Clock, *, kernel: bool = True) -> None:
        self.kernel = kernel and stamps.enable(sock, transmit=True)
        self._departures: dict[int, int] = {}
        self._socket = sock
        self._clock = clock
        self._sending = False
        self._eof_sent = False
        self._least_round_trip: float | None = None
        self._last_expected: float = math.inf
        pair = read_pair(clock)
        self._last_pair = pair
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
        self._last_pair = after
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

    def expect(self, size: int) -> None:
        """Receive at most `size` bytes from now on, until this is called again.

        receive_some raises FloodError beyond that. The TLS layer above reads until it has data to
        hand over, so only this layer can bound TLS's own messages.
        """
        self._last_expected = self.last_received.end + size

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
        data, kernel_ns = stamps.receive(self._socket, max_bytes)
        before, pair = self._last_pair, read_pair(self._clock)
        self._last_pair = pair
        if data:  # the end of the stream is no segment of a reply
            end = self.last_received.end + len(data)
            kernel = self._kernel_arrival(kernel_ns, before, pair)
            self.last_received = Arrival(end, _arrived(pair), kernel)
            if end > self._last_expected:
                raise FloodError(f"the other end sent too many bytes: {end} on this connection")
        return data

    def _kernel_arrival(self, kernel_ns: int | None, before: Pair, after: Pair) -> Stamp | None:
        """The kernel's stamp of an arrival between two pairs; None where it is not between them."""
        if kernel_ns is None:
            return None
        wall_ns = kernel_ns + self._clock.shift_ns
        # On one machine a reply may come before send() returns, and so before the last pair.
        bounds = carry(wall_ns, before, after) or carry(wall_ns, self.last_sent.before, after)
        return bounds and Stamp(wall_ns, bounds.latest_ns, StampSource.KERNEL, bounds.doubt_ns)

    def departure(self, sent: Departure) -> Stamp:
        """The best stamp of a system call that sent: the kernel's, if it has come by now."""
        self._collect()
        kernel_ns = self._departures.pop(sent.end % stamps.KEY_MODULUS, None)
        if kernel_ns is None:
            return sent.user
        wall_ns = kernel_ns + self._clock.shift_ns
        # The device may take a segment only after the system call has returned.
        bounds = carry(wall_ns, sent.before, sent.after) or carry(
            wall_ns, sent.before, self._last_pair
        )
        if bounds is None:
            return sent.user
        return Stamp(wall_ns, bounds.earliest_ns, StampSource.KERNEL, bounds.doubt_ns)

    def least_round_trip(self) -> float | None:
        """The least round trip that the kernel has measured on this connection until now, s.

        None where it measures none. Ask at each exchange: the kernel forgets after five minutes.
        """
        seen = stamps.least_round_trip(self._socket)
        known = self._least_round_trip
        self._least_round_trip = known if seen is None else min(seen, known or seen)
        return self._least_round_trip

    def _collect(self) -> None:
        """Take the stamps of departures that have come; drop the oldest beyond MAX_DEPARTURES."""
        if self.kernel:
            for end, kernel_ns in stamps.drain(self._socket):
                # The first one counts: a segment that is sent again gets another.
                self._departures.setdefault(end, kernel_ns)
            while len(self._departures) > MAX_DEPARTURES:
                del self._departures[next(iter(self._departures))]

    async def _wait(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        # A stamp in the error queue makes the socket count as ready: without this we would spin.
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
