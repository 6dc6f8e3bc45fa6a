"""Steps and suspends are noticed, and slewing is not taken for either."""

import errno
import os
import resource

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.fakes.clock import VirtualClock
from webntpd.clock import discontinuity
from webntpd.clock.discontinuity import Discontinuity, DiscontinuityDetector, watch_for_clock_set
from webntpd.ntp.readings import NS_PER_S


class Clocks(VirtualClock):
    """A virtual clock whose RAW runs apart from the other three clocks."""

    def __init__(self) -> None:
        super().__init__()
        self._apart_ns = 0

    def part(self, seconds: float) -> None:
        """The consumer slews by so much, or a hypervisor sets all clocks but RAW."""
        self._apart_ns += round(seconds * NS_PER_S)

    def realtime_ns(self) -> int:
        return super().realtime_ns() + self._apart_ns

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._apart_ns


@pytest.mark.parametrize("step", [0.001, -0.001, 3600.0, -0.25])
async def test_a_step_is_noticed_once_with_its_size(autojump_clock: MockClock, step: float) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    await trio.sleep(1)
    assert detector.check() is None
    clock.step(step)
    assert detector.check() is Discontinuity.STEP
    assert detector.step == pytest.approx(step)
    assert detector.check() is None


async def test_a_suspend_is_told_from_a_step(autojump_clock: MockClock) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    clock.suspend(30)
    assert detector.check() is Discontinuity.SUSPEND
    assert detector.check() is None


async def test_a_short_suspend_after_a_long_time_is_noticed(autojump_clock: MockClock) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    await trio.sleep(3600)
    clock.suspend(0.001)
    assert detector.check() is Discontinuity.SUSPEND


@pytest.mark.parametrize("apart", [0.2, -0.2, 3600.0, -3600.0])
async def test_a_restored_virtual_machine_was_suspended(
    autojump_clock: MockClock, apart: float
) -> None:
    clock = Clocks()
    detector = DiscontinuityDetector(clock)
    await trio.sleep(1)
    clock.part(apart)
    assert detector.check() is Discontinuity.SUSPEND
    assert detector.check() is None


@pytest.mark.parametrize("rate", [0.083334, -0.083334])
async def test_slewing_as_fast_as_any_consumer_does_is_neither(
    autojump_clock: MockClock, rate: float
) -> None:
    clock = Clocks()
    detector = DiscontinuityDetector(clock)
    for elapsed in (0.001, 1, 64, 3600):
        await trio.sleep(elapsed)
        clock.part(elapsed * rate)
        assert detector.check() is None


async def test_a_wall_clock_that_is_corrected_by_itself_is_no_step(
    autojump_clock: MockClock,
) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    await trio.sleep(60)
    clock.step(60 * 499e-6)
    assert detector.check() is None


async def test_the_allowance_grows_with_the_time_between_two_checks(
    autojump_clock: MockClock,
) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    await trio.sleep(1)
    clock.step(60 * 499e-6)
    assert detector.check() is Discontinuity.STEP


class PreemptedClock(VirtualClock):
    """Every so often 5 ms pass before one of the clocks is read."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self._true = VirtualClock()
        self._period = period
        self._readings = 0

    def _passed_ns(self) -> int:
        self._readings += 1
        return self._readings // self._period * 5_000_000

    def realtime_ns(self) -> int:
        return self._true.realtime_ns() + self.stepped_ns + self._passed_ns()

    def raw_ns(self) -> int:
        return self._true.raw_ns() + self._passed_ns()

    def monotonic_ns(self) -> int:
        return self._true.monotonic_ns() + self._passed_ns()

    def boottime_ns(self) -> int:
        return self._true.boottime_ns() + self._passed_ns()


@pytest.mark.parametrize("period", [1, 2, 3, 5, 7, 11])
async def test_a_busy_machine_between_two_readings_is_no_step(
    autojump_clock: MockClock, period: int
) -> None:
    detector = DiscontinuityDetector(PreemptedClock(period))
    for _ in range(50):
        await trio.sleep(0.1)
        assert detector.check() is None


async def test_a_step_is_noticed_on_a_busy_machine(autojump_clock: MockClock) -> None:
    clock = PreemptedClock(7)
    detector = DiscontinuityDetector(clock)
    clock.step(0.001)
    assert detector.check() is Discontinuity.STEP


async def test_the_kernels_word_that_the_clock_was_set_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A pipe stands in for the timer, since no test may set the clock: an empty read end that is
    # readable plays the read that the kernel cancels.
    readable, write = os.pipe()
    os.set_blocking(readable, False)
    told = trio.Event()

    def read(descriptor: int, size: int) -> bytes:
        data = real_read(descriptor, size)
        if descriptor == readable:
            raise OSError(errno.ECANCELED, "cancelled")
        return data

    real_read = os.read
    monkeypatch.setattr(discontinuity, "timerfd_create", lambda *_: readable)
    monkeypatch.setattr(discontinuity, "timerfd_settime", lambda *_: 0)
    monkeypatch.setattr(os, "read", read)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_for_clock_set, told.set)
        await trio.testing.wait_all_tasks_blocked()
        assert not told.is_set()
        os.write(write, b"x")
        await told.wait()
        nursery.cancel_scope.cancel()
    os.close(write)


async def test_the_real_timer_is_armed_and_quiet() -> None:
    told = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_for_clock_set, told.set)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not told.is_set()
        nursery.cancel_scope.cancel()


async def test_a_kernel_that_will_not_tell_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # the kernel then makes no timer
    try:
        await watch_for_clock_set(lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr(discontinuity, "timerfd_settime", lambda *_: -1)
    await watch_for_clock_set(lambda: None)


async def test_a_timer_that_another_error_breaks_ends_the_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readable, write = os.pipe()
    os.write(write, b"x")
    outcomes = [BlockingIOError(), OSError(errno.EIO, "broken")]

    def read(descriptor: int, size: int) -> bytes:
        if descriptor == readable:
            raise outcomes.pop(0)
        return real_read(descriptor, size)

    real_read = os.read
    monkeypatch.setattr(discontinuity, "timerfd_create", lambda *_: readable)
    monkeypatch.setattr(discontinuity, "timerfd_settime", lambda *_: 0)
    monkeypatch.setattr(os, "read", read)
    with pytest.raises(OSError, match="broken"):
        await watch_for_clock_set(lambda: None)
    assert not outcomes
    os.close(write)
