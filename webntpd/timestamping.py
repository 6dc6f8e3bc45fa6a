"""A TCP stream for trio that knows when each of its segments left and came.

It sits at the bottom: TLS, WebSocket and HTTP run over it and never notice. Each segment has a
stamp of user space, read just before the system call that sends or just after the one that
receives, with no other task in between; and, where the kernel gives one, the kernel's. The stream
counts the bytes of either direction, so that whoever measures can tell the segment that carried
its request or completed its reply from a pong or a TLS ticket that went along.

One task may send while another receives; two of the same kind may not.
"""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import trio

from webntpd import kernelstamps
from webntpd.clock import Clock
from webntpd.ntp.types import Stamp, StampSource

RECEIVE_SIZE = 16384  # bytes of one read where the caller names no number; a TLS record's maximum

MAX_DEPARTURES = 16  # stamps of what was sent that are kept until someone asks for them

CLOSE_PAIR_NS = 10_000  # readings of two clocks this close count as one instant; 200 are usual
PAIR_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """What one system call sent or received: the direction's byte count at its end, and when.

    The kernel's stamp of what was sent comes later: TimestampedStream.departure has it.
    """

    end: int
    user: Stamp
    kernel: Stamp | None = None

    @property
    def stamp(self) -> Stamp:
        """The best stamp of it that there is."""
        return self.kernel or self.user


def read_stamp(clock: Clock) -> Stamp:
    """Both clocks at one instant, that of the first reading of the wall's.

    Two clocks are two readings, and a task switch in between would pair instants which do not
    belong together: that would look like a step. So the pair is read again, until it is close.
    """
    first = pair = _read_pair(clock)
    for _ in range(PAIR_ATTEMPTS):
        if pair.apart_ns <= CLOSE_PAIR_NS:
            break
        pair = _read_pair(clock)
    since_first_ns = pair.wall_ns - first.wall_ns
    return Stamp(first.wall_ns, pair.monotonic_ns - since_first_ns, StampSource.USER)


class _Pair(NamedTuple):
    monotonic_ns: int
    wall_ns: int
    apart_ns: int


def _read_pair(clock: Clock) -> _Pair:
    before_ns = clock.monotonic_ns()
    wall_ns = clock.realtime_ns()
    return _Pair(before_ns, wall_ns, clock.monotonic_ns() - before_ns)


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
        self.last_sent = self.last_received = Segment(0, read_stamp(self._clock))

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
        user = read_stamp(self._clock)
        count = self._socket.send(data)
        self.last_sent = Segment(self.last_sent.end + count, user)
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
        user = read_stamp(self._clock)
        kernel = self._kernel_stamp(kernel_ns, user)
        if kernel is not None and kernel.wall_ns > user.wall_ns:
            kernel = None  # on the wrong side of the system call: of no clock that we know
        if data:  # the end of the stream is no segment of a reply
            self.last_received = Segment(self.last_received.end + len(data), user, kernel)
        return data

    def departure(self, segment: Segment) -> Stamp:
        """The best stamp of a segment that was sent: the kernel's if it has come by now."""
        self._collect()
        kernel_ns = self._departures.pop(segment.end % kernelstamps.KEY_MODULUS, None)
        kernel = self._kernel_stamp(kernel_ns, segment.user)
        if kernel is not None and kernel.wall_ns >= segment.user.wall_ns:
            return kernel
        return segment.user

    def _kernel_stamp(self, kernel_ns: int | None, user: Stamp) -> Stamp | None:
        """A kernel stamp on both clocks: the kernel only has the wall's, `user` has both."""
        if kernel_ns is None:
            return None
        wall_ns = kernel_ns + self._clock.shift_ns
        monotonic_ns = user.monotonic_ns + wall_ns - user.wall_ns
        return Stamp(wall_ns, monotonic_ns, StampSource.KERNEL)

    def _collect(self) -> None:
        """Take what stamps of departures have come, and forget those that no one asked for."""
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
