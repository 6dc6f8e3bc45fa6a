"""A task that fails is run again, later each time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from webntpd.tasks.restart import DEFAULT_BACKOFF, Backoff, EndedError, keep_running


async def test_a_task_that_fails_is_restarted_after_growing_delays(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    started: list[float] = []

    async def fail_four_times() -> None:
        started.append(trio.current_time())
        await trio.sleep(DEFAULT_BACKOFF.last + 1 if len(started) == 4 else 0)
        if len(started) < 6:
            raise RuntimeError("broken")

    await keep_running("task", fail_four_times)
    pauses = [later - earlier for earlier, later in pairwise(started)]
    assert pauses == [1, 2, 4, DEFAULT_BACKOFF.last + 1 + 1, 2]
    assert "task failed; restarting it in 1 s" in caplog.text


async def test_a_task_that_ends_is_restarted_without_a_traceback(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    paused: list[tuple[float, float]] = []

    @contextmanager
    def pause(delay: float) -> Iterator[None]:
        began = trio.current_time()
        yield
        paused.append((delay, trio.current_time() - began))

    async def end_thrice() -> None:
        if len(paused) < 3:
            raise EndedError("ended (7)")

    await keep_running("worker 1", end_thrice, backoff=Backoff(0.5, 1.0), pause=pause)
    assert paused == [(0.5, 0.5), (1.0, 1.0), (1.0, 1.0)]
    assert caplog.messages[0] == "worker 1 ended (7); restarting it in 0.5 s"
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(
    ("errors", "logged"),
    [
        ([KeyboardInterrupt()], []),
        ([KeyboardInterrupt(), RuntimeError()], ["task failed while it ended"]),
    ],
    ids=["alone", "with a failure"],
)
async def test_a_task_that_is_ended_from_outside_is_not_restarted(
    errors: list[BaseException], logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def end() -> None:
        raise BaseExceptionGroup("ended", errors)

    with pytest.raises(BaseExceptionGroup) as caught:
        await keep_running("task", end)
    assert caught.value.exceptions == (errors[0],)
    assert caplog.messages == logged
