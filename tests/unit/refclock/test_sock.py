import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import Leap
from webntpd.refclock.base import RefclockError
from webntpd.refclock.sock import SockRefclock, datagram

NOBODY = 65534

# Written by a C program that had chrony's own struct sock_sample: 1489224473.245564 s, offset
# -0.25, leap 1.
GOLDEN = bytes.fromhex(
    "19c3c358000000003cbf030000000000000000000000d0bf0000000001000000000000004b434f53"
)
GOLDEN_SAMPLE = Publication(
    receive_ns=1489224473_245564123, offset=-0.25, error=2**-9, leap=Leap.INSERT
)


def sample(receive_ns: int) -> Publication:
    return Publication(receive_ns=receive_ns, offset=0.25, error=1e-3, leap=Leap.NONE)


class Consumer:
    """A consumer that can be started, stopped and started again on the same path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket: socket.socket | None = None

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(self.path))
        self._socket.setblocking(False)

    def receive(self) -> bytes:
        assert self._socket is not None
        return self._socket.recv(4096)

    def stop(self) -> None:
        if self._socket is not None:
            self._socket.close()


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[Consumer]:
    consumer = Consumer(tmp_path / "consumer.sock")
    yield consumer
    consumer.stop()


@pytest.fixture
def refclock(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> Iterator[SockRefclock]:
    refclock = SockRefclock(consumer.path)
    refclock.open()
    caplog.set_level(logging.INFO)
    yield refclock
    refclock.close()


def test_ready_is_said_of_a_socket_that_is_there(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refclock = SockRefclock(consumer.path)
    refclock.open()
    consumer.start()
    refclock.open()
    assert [record.getMessage() for record in caplog.records] == [
        f"SOCK({consumer.path}): waits for the consumer to make its socket",
        f"SOCK({consumer.path}): ready",
    ]


def test_the_golden_datagram_arrives_byte_for_byte(
    consumer: Consumer, refclock: SockRefclock
) -> None:
    consumer.start()
    refclock.publish(GOLDEN_SAMPLE)
    assert consumer.receive() == GOLDEN
    assert refclock.status.published == 1


def test_a_sample_that_comes_after_close_is_not_sent(
    consumer: Consumer, refclock: SockRefclock
) -> None:
    consumer.start()
    refclock.close()
    refclock.publish(GOLDEN_SAMPLE)
    with pytest.raises(BlockingIOError):
        consumer.receive()
    assert refclock.status.published == refclock.status.failures == 0
    refclock.open()
    refclock.publish(GOLDEN_SAMPLE)
    assert consumer.receive() == GOLDEN


def test_the_golden_datagram_decodes_to_its_sample() -> None:
    fields = struct.unpack("=qqdiiii", GOLDEN)
    assert fields == (1489224473, 245564, -0.25, 0, 1, 0, 0x534F434B)


@given(
    receive_ns=st.integers(min_value=-(2**62), max_value=2**62),
    offset=st.floats(allow_nan=False),
    leap=st.sampled_from(Leap),
)
def test_every_sample_decodes_to_itself_with_its_microseconds_floored(
    receive_ns: int, offset: float, leap: Leap
) -> None:
    publication = Publication(receive_ns=receive_ns, offset=offset, error=1e-3, leap=leap)
    seconds, microseconds, *rest = struct.unpack("=qqdiiii", datagram(publication))
    assert seconds * 10**6 + microseconds == receive_ns // 1000
    assert 0 <= microseconds < 10**6
    assert rest == [offset, 0, leap, 0, 0x534F434B]


def test_the_same_receive_time_is_sent_once(consumer: Consumer, refclock: SockRefclock) -> None:
    consumer.start()
    refclock.publish(sample(1))
    refclock.publish(sample(1))
    consumer.receive()
    with pytest.raises(BlockingIOError):
        consumer.receive()
    assert refclock.status.published == 1


def test_a_restarting_consumer_loses_samples_and_nothing_else(
    consumer: Consumer, refclock: SockRefclock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    for receive_ns in (1, 2):  # it has not started yet
        refclock.publish(sample(receive_ns))
    consumer.start()
    refclock.publish(sample(3))
    consumer.stop()
    for receive_ns in (4, 5):  # its socket is left behind
        refclock.publish(sample(receive_ns))
    consumer.start()
    refclock.publish(sample(6))
    assert consumer.receive() == datagram(sample(6))
    assert (refclock.status.published, refclock.status.failures) == (2, 4)
    assert refclock.status.problem is None
    states = ["no socket", "publishing again", "nobody receives", "publishing again"]
    assert len(caplog.messages) == len(states)
    for state, line in zip(states, caplog.messages, strict=True):
        assert state in line


def test_a_consumer_that_does_not_read_never_blocks_us(
    consumer: Consumer, refclock: SockRefclock
) -> None:
    consumer.start()
    receive_ns = 0
    while not refclock.status.failures:
        receive_ns += 1
        assert receive_ns < 10_000, "the queue never fills"
        refclock.publish(sample(receive_ns))
    assert "is full" in str(refclock.status.problem)


def test_a_socket_that_we_may_not_write_to_names_the_remedy(
    consumer: Consumer, refclock: SockRefclock
) -> None:
    consumer.start()
    consumer.path.chmod(0)
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        refclock.publish(sample(1))
    finally:
        os.seteuid(user)
    assert "no permission" in str(refclock.status.problem)
    assert "must hand it over" in str(refclock.status.problem)


def test_any_other_error_is_shown_in_the_systems_words(
    consumer: Consumer, refclock: SockRefclock
) -> None:
    consumer.path.symlink_to(consumer.path)
    refclock.publish(sample(1))
    assert refclock.status.problem == f"{consumer.path}: Too many levels of symbolic links"


def test_a_path_too_long_for_a_socket_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 108)
    with pytest.raises(RefclockError, match="at most 107 bytes"):
        SockRefclock(path).open()


def test_the_longest_path_is_accepted(tmp_path: Path) -> None:
    consumer = Consumer(tmp_path / ("x" * (106 - len(os.fsencode(tmp_path)))))
    assert len(os.fsencode(consumer.path)) == 107
    consumer.start()
    refclock = SockRefclock(str(consumer.path))
    refclock.open()
    refclock.publish(sample(1))
    assert consumer.receive() == datagram(sample(1))
    consumer.stop()
