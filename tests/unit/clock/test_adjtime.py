"""The state of the kernel's clock, as the kernel or the configuration tells it."""

import ctypes
import errno
import logging
from functools import partial

import pytest

from webntpd.clock import adjtime
from webntpd.clock.adjtime import ClockState, clock_state_source, kernel_state

as_told = partial(clock_state_source, local=False, max_error=None)
GOOD = ClockState(synchronised=True, max_error=0.25)


def test_this_machines_kernel_tells_a_maximum_error_within_its_own_limit() -> None:
    try:
        state = kernel_state()
    except PermissionError as error:  # in many containers
        pytest.skip(str(error))
    assert state.max_error is not None
    assert 0 <= state.max_error <= 16


def test_the_kernel_is_believed() -> None:
    assert as_told(kernel=lambda: GOOD)() == GOOD


def test_a_configured_maximum_error_replaces_the_kernels() -> None:
    state = clock_state_source(local=False, max_error=0.5, kernel=lambda: GOOD)
    assert state() == ClockState(synchronised=True, max_error=0.5)


@pytest.mark.parametrize("max_error", [None, 0.125])
def test_a_clock_declared_good_is_not_asked_about(max_error: float | None) -> None:
    def never() -> ClockState:
        pytest.fail("the kernel was asked")

    state = clock_state_source(local=True, max_error=max_error, kernel=never)
    assert state() == ClockState(synchronised=True, max_error=max_error)


def test_a_sandbox_that_forbids_to_ask_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    fails = True

    def kernel() -> ClockState:
        if fails:
            raise PermissionError(1, "Operation not permitted")
        return GOOD

    state = as_told(kernel=kernel)
    with caplog.at_level(logging.WARNING):
        assert [state(), state()] == [ClockState(synchronised=False, max_error=None)] * 2
        assert len(caplog.records) == 1
        fails = False
        assert state() == GOOD
        fails = True
        state()
        assert len(caplog.records) == 2


def test_a_call_that_the_kernel_refuses_raises_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(adjtime, "ntp_adjtime", refuse)
    with pytest.raises(PermissionError, match="ntp_adjtime: Operation not permitted"):
        kernel_state()
