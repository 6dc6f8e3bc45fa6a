"""Kernel timestamps from real sockets on loopback, which any Linux since 5.1 gives."""

import errno
import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from webntpd.sockets import stamps

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        one = socket.create_connection(listener.getsockname()[:2])
        other, _ = listener.accept()
        with one, other:
            one.settimeout(0)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a segment for each send
            yield one, other


def readable(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll()


def warm_up(sock: socket.socket, other: socket.socket) -> int:
    """Send and receive until the kernel, which takes its time at first, stamps either way.

    Returns the number of bytes sent.
    """
    for count in range(1, 1000):
        sock.send(b"x")
        other.send(other.recv(1))
        readable(sock)
        _, received_ns = stamps.receive(sock, 1)
        ends = [end for end, _ in stamps.drain(sock)]
        if ends and received_ns is not None:
            assert ends == [count]
            return count
        time.sleep(0.001)
    pytest.fail("the kernel gives no timestamps")


def test_a_transmit_stamp_names_the_end_of_its_send_and_lies_behind_its_call(pair: Pair) -> None:
    sock, other = pair
    assert stamps.enable(sock, transmit=True)
    sent = warm_up(sock, other)
    before_ns = time.time_ns()
    sock.send(b"123")
    sock.send(b"4567")
    other.recv(7)
    [(first, first_ns), (second, second_ns)] = stamps.drain(sock)
    assert (first, second) == (sent + 3, sent + 7)
    assert before_ns <= first_ns <= second_ns <= time.time_ns()
    assert not list(stamps.drain(sock))


def test_a_receive_stamp_comes_with_the_data_and_lies_before_its_call(pair: Pair) -> None:
    sock, other = pair
    assert stamps.enable(sock, transmit=True)
    warm_up(sock, other)
    before_ns = time.time_ns()
    other.send(b"abc")
    readable(sock)
    assert not list(stamps.drain(sock))
    data, stamp_ns = stamps.receive(sock, 100)
    assert data == b"abc"
    assert stamp_ns is not None
    assert before_ns <= stamp_ns <= time.time_ns()


def test_receive_stamps_alone_leave_the_error_queue_empty(pair: Pair) -> None:
    sock, other = pair
    assert stamps.enable(sock, transmit=False)
    sock.send(b"x")
    other.recv(1)
    assert not list(stamps.drain(sock))


def test_without_stamps_data_comes_alone(pair: Pair) -> None:
    sock, other = pair
    other.send(b"abc")
    readable(sock)
    assert stamps.receive(sock, 100) == (b"abc", None)
    other.close()
    readable(sock)
    assert stamps.receive(sock, 100) == (b"", None)


class Picky(socket.socket):
    """A socket whose kernel knows only some of the flags."""

    known = 0

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if value & ~self.known:
            raise OSError(errno.EINVAL, "Invalid argument")
        super().setsockopt(level, option, value)


def test_a_kernel_that_refuses_is_told_from_one_that_is_merely_old(pair: Pair) -> None:
    with Picky(fileno=pair[0].detach()) as sock:
        assert not stamps.enable(sock, transmit=True)
        sock.known = stamps.SOF_TIMESTAMPING_OPT_ID_TCP - 1
        assert stamps.enable(sock, transmit=True)


Control = list[tuple[int, int, bytes]]


class Scripted(socket.socket):
    """A socket that receives these control messages, each list with one call."""

    def __init__(self, *messages: Control) -> None:
        super().__init__()
        self.messages = list(messages)

    def recvmsg(self, *_: int) -> tuple[bytes, Control, int, None]:
        if not self.messages:
            raise BlockingIOError
        return b"", self.messages.pop(), 0, None


CREDENTIALS = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, bytes(12))


def test_a_control_message_of_something_else_is_no_transmit_stamp() -> None:
    with Scripted(
        [CREDENTIALS],
        [(socket.SOL_SOCKET, stamps.SO_TIMESTAMPING_NEW, bytes(48))],
        [
            (socket.SOL_SOCKET, stamps.SO_TIMESTAMPING_NEW, b"\1" * 48),
            (socket.IPPROTO_IP, stamps.IP_RECVERR, bytes(32)),
        ],
    ) as sock:
        assert not list(stamps.drain(sock))
        assert not sock.messages


def test_a_control_message_of_something_else_is_no_receive_stamp() -> None:
    with Scripted([CREDENTIALS]) as sock:
        assert stamps.receive(sock, 1) == (b"", None)


# Round trips


def test_the_kernel_has_a_round_trip_from_the_handshake_on(pair: Pair) -> None:
    sock, _ = pair
    least = stamps.least_round_trip(sock)
    assert least is not None
    assert 0 < least < 1


def test_a_socket_that_is_not_tcp_or_not_open_has_no_round_trips() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert stamps.least_round_trip(sock) is None
    assert stamps.least_round_trip(sock) is None


SMOOTHED, LEAST = 25_000, 20_000  # us
UNKNOWN = 2**32 - 1


def tcp_info(smoothed: int, least: int) -> bytes:
    """A struct tcp_info of linux/tcp.h up to tcpi_min_rtt, its other numbers distinct or 0."""
    numbers = [*range(100, 115), smoothed, *range(116, 124)]
    return struct.pack("=8B24I4Q2I2I", *bytes(8), *numbers, 0, 0, 0, 0, 0, 0, 0, least)


@pytest.mark.parametrize(
    ("info", "least"),
    [
        (tcp_info(SMOOTHED, LEAST), 0.02),
        (tcp_info(LEAST, SMOOTHED), 0.02),
        (tcp_info(SMOOTHED, UNKNOWN), 0.025),
        (tcp_info(0, LEAST), 0.02),
        (tcp_info(0, UNKNOWN), None),
        (tcp_info(SMOOTHED, LEAST)[:104], 0.025),  # as from a kernel before 4.6
        (tcp_info(SMOOTHED, LEAST)[:71], None),
        (b"", None),
    ],
)
def test_round_trips_are_read_as_far_as_they_are_told(info: bytes, least: float | None) -> None:
    class Told(socket.socket):
        def getsockopt(self, *_: int) -> bytes:  # type: ignore[override]
            return info

    with Told() as sock:
        assert stamps.least_round_trip(sock) == least
