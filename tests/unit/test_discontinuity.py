"""Steps and suspends are noticed, and slewing is not taken for either."""

import errno
import os

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.fakes.clock import VirtualClock
from webntpd import discontinuity
from webntpd.discontinuity import Discontinuity, DiscontinuityDetector, watch_for_clock_set


@pytest.mark.parametrize("step", [0.001, -0.001, 3600.0, -0.25])
async def test_a_step_is_noticed_once(autojump_clock: MockClock, step: float) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    await trio.sleep(1)
    assert detector.check() is None
    clock.step(step)
    assert detector.check() is Discontinuity.STEP
    assert detector.check() is None


async def test_a_suspend_is_told_from_a_step(autojump_clock: MockClock) -> None:
    clock = VirtualClock()
    detector = DiscontinuityDetector(clock)
    clock.suspend(30)
    assert detector.check() is Discontinuity.SUSPEND


async def test_what_a_slewed_clock_may_do_is_no_step(autojump_clock: MockClock) -> None:
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
    monkeypatch.setattr(discontinuity, "_timer_cancelled_on_set", lambda: readable)
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
    def refuse() -> int:
        raise OSError(errno.ENOSYS, "no timerfd")

    monkeypatch.setattr(discontinuity, "_timer_cancelled_on_set", refuse)
    await watch_for_clock_set(lambda: None)
