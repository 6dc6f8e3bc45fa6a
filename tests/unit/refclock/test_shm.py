"""The segment's bytes are judged by an independent decoding, never by the class that wrote them."""

import ctypes
import errno
import logging
import os
import pwd
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.harness import require_root
from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import Leap
from webntpd.refclock import sysvipc
from webntpd.refclock.shm import Segment, ShmRefclock, ShmTime, precision_exponent

IPC_RMID = 0
NOBODY = 65534
VALID = slice(48, 52)

# Written by a C program that had ntpd's own struct shmTime: receive 1489224473.245564123, offset
# -0.25, leap 1, precision -9, count 2, valid.
GOLDEN = bytes.fromhex(
    "010000000200000018c3c35800000000ec300f000000000019c3c358000000003cbf030001000000f7ffffff"
    "00000000010000005b1a573bdb02a30e00000000000000000000000000000000000000000000000000000000"
    "0000000000000000"
)
GOLDEN_SAMPLE = Publication(
    receive_ns=1489224473_245564123, offset=-0.25, error=2**-9, leap=Leap.INSERT
)


class Segments:
    """The consumer's side: makes, reads, marks as read, and removes segments."""

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.key = 0x4E545030 + unit

    def create(self, mode: int, size: int = 96) -> None:
        sysvipc.get(self.key, size, sysvipc.IPC_CREAT | mode)

    def read(self) -> bytes:
        with self._mapped() as address:
            return ctypes.string_at(address, 96)

    def fields(self) -> tuple[int, ...]:
        """mode, count, clock s and us, receive s and us, leap, precision, nsamples, valid, ns."""
        return struct.unpack("=iiqi4xqiiiiiII32x4x", self.read())

    def consume(self) -> None:
        with self._mapped() as address:
            ctypes.memset(address + 48, 0, 4)

    def remove(self) -> None:
        libc = ctypes.CDLL(None)
        libc.shmctl(sysvipc.get(self.key, 0, 0), IPC_RMID, None)

    def exists(self) -> bool:
        try:
            sysvipc.get(self.key, 0, 0)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _mapped(self) -> Iterator[int]:
        address = sysvipc.attach(sysvipc.get(self.key, 0, 0))
        try:
            yield address
        finally:
            sysvipc.detach(address)


@pytest.fixture
def _root() -> None:
    """Only root can be several users."""
    require_root()


@pytest.fixture
def segments() -> Iterator[Segments]:
    """A free unit, far from those that a consumer could be configured for.

    Processes that run tests at the same time begin to look at different ones.
    """
    found = next(
        candidate
        for unit in range(10_000 + os.getpid() % 1_000 * 30, 50_000)
        if not (candidate := Segments(unit)).exists()
    )
    yield found
    if found.exists():
        found.remove()


@pytest.fixture
def refclock(segments: Segments) -> Iterator[ShmRefclock]:
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    yield refclock
    refclock.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's power to attach to anything; an ordinary user stays what they are."""
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def sample(receive_ns: int = 1_000_000_001, offset: float = 0.0) -> Publication:
    return Publication(receive_ns=receive_ns, offset=offset, error=1e-3, leap=Leap.NONE)


def test_the_golden_segment_decodes_to_its_sample() -> None:
    decoded = ShmTime.from_buffer_copy(GOLDEN)
    assert ctypes.sizeof(ShmTime) == 96
    assert (decoded.mode, decoded.count, decoded.valid) == (1, 2, 1)
    assert (decoded.clock_sec, decoded.clock_usec, decoded.clock_nsec) == (
        1489224472, 995564, 995564123,
    )  # fmt: skip
    assert (decoded.receive_sec, decoded.receive_usec, decoded.receive_nsec) == (
        1489224473, 245564, 245564123,
    )  # fmt: skip
    assert (decoded.leap, decoded.precision, decoded.nsamples) == (1, -9, 0)


def test_the_first_sample_gives_the_golden_segment(
    segments: Segments, refclock: ShmRefclock
) -> None:
    refclock.publish(GOLDEN_SAMPLE)
    assert segments.read() == GOLDEN


def test_a_new_segment_is_private_to_its_owner(segments: Segments, refclock: ShmRefclock) -> None:
    found = sysvipc.look_up(segments.key)
    assert (found.uid, found.mode, found.doomed) == (os.geteuid(), 0o600, False)
    assert refclock.status.published == 0


@given(
    receive_ns=st.integers(min_value=0, max_value=2**62),
    offset=st.floats(min_value=-86400 * 365, max_value=86400 * 365),
)
def test_clock_minus_receive_is_the_offset_and_fractions_are_floored(
    receive_ns: int, offset: float
) -> None:
    segments = next(s for unit in range(50_000, 60_000) if not (s := Segments(unit)).exists())
    segments.create(0o600)
    segment = Segment(sysvipc.get(segments.key, 0, 0))
    try:
        segment.write(sample(receive_ns, offset))
        fields = segments.fields()
    finally:
        segment.close()
        segments.remove()
    clock_s, clock_us, receive_s, receive_us = fields[2:6]
    clock_ns, receive_fraction = fields[10:]
    assert receive_s * 10**9 + receive_fraction == receive_ns
    assert clock_s * 10**9 + clock_ns - receive_ns == round(offset * 10**9)
    assert 0 <= clock_ns < 10**9
    assert (clock_us, receive_us) == (clock_ns // 1000, receive_fraction // 1000)


def test_a_reader_can_tell_each_step_of_a_write(segments: Segments) -> None:
    steps = []

    class Watched(Segment):
        def _fence(self) -> None:
            super()._fence()
            steps.append(segments.fields())

    segments.create(0o600)
    segment = Watched(sysvipc.get(segments.key, 0, 0))
    segment.write(sample(1 * 10**9))
    steps.clear()
    segment.write(sample(2 * 10**9))
    seen = [(count, receive_s, valid) for _, count, _, _, receive_s, _, _, _, _, valid, *_ in steps]
    assert seen == [(3, 1, 0), (3, 2, 0), (4, 2, 0)]
    assert segments.read()[VALID] == struct.pack("=i", 1)
    segment.close()


def test_the_same_receive_time_is_published_once(segments: Segments, refclock: ShmRefclock) -> None:
    refclock.publish(sample(1, offset=0.25))
    segments.consume()
    before = segments.read()
    refclock.publish(sample(1, offset=0.5))
    assert segments.read() == before
    assert refclock.status.published == 1


POLL_NS = 16 * 10**9


def test_samples_that_nobody_reads_are_counted(segments: Segments, refclock: ShmRefclock) -> None:
    for receive_ns in range(3):
        refclock.publish(sample(POLL_NS * receive_ns))
    assert refclock.status.not_consumed == 2
    assert refclock.status.problem == "not consumed"
    segments.consume()
    refclock.publish(sample(POLL_NS * 3))
    assert refclock.status.not_consumed == 2
    assert refclock.status.problem is None
    assert refclock.status.published == 4


def test_a_sample_left_by_an_earlier_writer_is_taken_back(segments: Segments) -> None:
    first = ShmRefclock(segments.unit)
    first.open()
    first.publish(sample())
    second = ShmRefclock(segments.unit)
    second.open()
    assert segments.fields()[9] == 0
    second.publish(sample())
    assert second.status.not_consumed == 0
    first.close()
    second.close()


def test_closing_takes_the_sample_back_and_leaves_the_segment(
    segments: Segments, refclock: ShmRefclock
) -> None:
    refclock.publish(sample())
    assert segments.fields()[9] == 1
    refclock.close()
    assert segments.fields()[9] == 0
    refclock.close()


def test_a_sample_that_comes_after_closing_is_not_published(
    segments: Segments, refclock: ShmRefclock
) -> None:
    refclock.close()
    refclock.publish(sample())
    assert segments.read()[VALID] == bytes(4)
    assert refclock.status.published == 0


@pytest.mark.parametrize("recreated", [False, True])
def test_a_removed_segment_is_replaced_and_said_so(
    segments: Segments,
    refclock: ShmRefclock,
    caplog: pytest.LogCaptureFixture,
    recreated: bool,
) -> None:
    refclock.publish(sample(1))
    segments.remove()
    assert not segments.exists()
    if recreated:
        segments.create(0o600)
    refclock.publish(sample(2 * 10**9))
    assert segments.fields()[4] == 2
    assert refclock.status.published == 2
    assert "removed" in caplog.text
    caplog.clear()
    refclock.publish(sample(3 * 10**9))
    assert "removed" not in caplog.text


def test_a_segment_that_others_can_write_is_used_with_a_warning(
    segments: Segments, caplog: pytest.LogCaptureFixture
) -> None:
    segments.create(0o666)
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    refclock.publish(sample())
    assert segments.fields()[9] == 1
    (warning,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert hex(segments.key) in warning
    assert "mode 0666" in warning
    assert "owner" in warning
    refclock.close()


def problem_of(segments: Segments) -> str:
    """The problem in the status of an output that could not be opened."""
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    assert refclock.status.published == 0
    refclock.close()
    return str(refclock.status.problem)


def test_a_forbidden_segment_names_key_owner_mode_and_remedy(segments: Segments) -> None:
    segments.create(0o000)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    with unprivileged():
        problem = problem_of(segments)
    for part in (
        f"cannot attach to shared memory, key {segments.key:#x}, owner {owner}, mode 0000",
        f"ipcrm -M {segments.key:#x}",
    ):
        assert part in problem


def test_a_segment_of_another_size_is_reported_with_the_remedy(segments: Segments) -> None:
    segments.create(0o600, size=95)
    problem = problem_of(segments)
    assert "mode 0600: it has fewer than the 96 bytes of a refclock; stop" in problem
    assert f"ipcrm -M {segments.key:#x}" in problem


def test_an_output_that_could_not_be_opened_is_tried_again(
    segments: Segments, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    segments.create(0o600, size=95)
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    refclock.publish(sample(1))
    assert (refclock.status.published, refclock.status.failures) == (0, 1)
    segments.remove()
    refclock.publish(sample(2))
    assert segments.fields()[9] == 1
    assert (refclock.status.published, refclock.status.problem) == (1, None)
    assert caplog.text.count("fewer than the 96 bytes") == 1
    assert "publishing again" in caplog.text
    refclock.close()


def give_away(segments: Segments, uid: int) -> None:
    """Change a segment's owner, as its creator may; the creator stays."""
    shmid = sysvipc.get(segments.key, 0, 0)
    found = sysvipc._ShmidDs()
    found.uid, found.mode = uid, 0o666
    assert ctypes.CDLL(None).shmctl(shmid, 1, ctypes.byref(found)) == 0  # IPC_SET


STRANGER = 60_123  # the number of no user


def create_as(segments: Segments, uid: int, mode: int = 0o666) -> None:
    os.seteuid(uid)
    try:
        segments.create(mode)
    finally:
        os.seteuid(0)


@pytest.mark.system
@pytest.mark.usefixtures("_root")
@pytest.mark.parametrize("mode", [0o666, 0o600])
@pytest.mark.parametrize("disguised", [False, True])
def test_a_strangers_segment_is_refused_and_left_alone(
    segments: Segments, mode: int, disguised: bool
) -> None:
    create_as(segments, STRANGER, mode)
    if disguised:
        give_away(segments, 0)
    before = segments.read()
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    refclock.publish(sample())
    problem = str(refclock.status.problem)
    assert (f"owner root, creator {STRANGER}," if disguised else f"owner {STRANGER},") in problem
    assert "owners" in problem
    assert f"ipcrm -M {segments.key:#x}" in problem
    assert (refclock.status.published, refclock.status.failures) == (0, 1)
    assert segments.read() == before
    segments.remove()
    refclock.publish(sample(2))
    assert refclock.status.problem is None
    assert segments.fields()[9] == 1
    refclock.close()


@pytest.mark.system
@pytest.mark.usefixtures("_root")
def test_our_own_segment_that_has_got_a_strange_owner_is_refused(segments: Segments) -> None:
    segments.create(0o666)
    give_away(segments, STRANGER)
    assert f"owner {STRANGER}" in problem_of(segments)


@pytest.mark.system
@pytest.mark.usefixtures("_root")
def test_an_unprivileged_daemon_refuses_strangers_and_takes_roots(segments: Segments) -> None:
    create_as(segments, STRANGER, 0o600)
    with unprivileged():  # and so may not even attach
        assert f"refusing shared memory, key {segments.key:#x}, owner {STRANGER}," in problem_of(
            segments
        )
    segments.remove()
    segments.create(0o666)
    with unprivileged():
        assert problem_of(segments) == "None"


@pytest.mark.system
@pytest.mark.usefixtures("_root")
def test_a_segment_of_a_named_user_is_used(segments: Segments) -> None:
    create_as(segments, STRANGER)
    refclock = ShmRefclock(segments.unit, owners=frozenset({STRANGER}))
    refclock.open()
    refclock.publish(sample())
    assert segments.fields()[9] == 1
    refclock.close()


def test_a_segment_that_cannot_be_made_is_an_error_with_its_key(
    segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: int, size: int, flags: int) -> int:
        del key, size
        raise OSError(errno.ENOSPC, "full") if flags else FileNotFoundError

    monkeypatch.setattr(sysvipc, "get", full)  # the kernel's own limit is not ours to exhaust
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    assert re.search(f"cannot create .* key {segments.key:#x}: full", str(refclock.status.problem))


def test_an_owner_without_a_name_is_shown_by_number(
    segments: Segments, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    segments.create(0o666)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # a system that knows no user
    refclock = ShmRefclock(segments.unit)
    refclock.open()
    assert f"owner {os.geteuid()}," in caplog.text
    refclock.close()


def test_a_segment_taken_away_while_running_is_a_counted_failure(
    segments: Segments, refclock: ShmRefclock, caplog: pytest.LogCaptureFixture
) -> None:
    refclock.publish(sample(1))
    segments.remove()
    segments.create(0o000)
    with unprivileged():
        refclock.publish(sample(2))
        refclock.publish(sample(3))
    assert (refclock.status.published, refclock.status.failures) == (1, 2)
    assert "mode 0000" in str(refclock.status.problem)
    assert caplog.text.count("mode 0000") == 1
    segments.remove()
    refclock.publish(sample(4 * 10**9))
    assert refclock.status.problem is None
    assert segments.fields()[4] == 4


@given(st.floats(min_value=2**-30, max_value=16.0))
def test_the_precision_is_the_least_power_of_two_that_covers_the_error(error: float) -> None:
    exponent = precision_exponent(error)
    assert 2.0 ** (exponent - 1) < error <= 2.0**exponent


@pytest.mark.parametrize(
    ("error", "exponent"), [(0.0, -30), (1e-300, -30), (1.0, 0), (16.5, 4), (float("inf"), 4)]
)
def test_the_precision_stays_within_what_consumers_can_use(error: float, exponent: int) -> None:
    assert precision_exponent(error) == exponent
