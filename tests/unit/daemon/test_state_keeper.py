"""The keeper of the state file: the times and the content of its writes, and failures."""

import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.unit.builders import WALL_NS
from webntpd.daemon.state import INTERVAL, State, StateKeeper, load_state
from webntpd.ntp.estimates import Estimate, Frequency, NoEstimate, Verdict
from webntpd.status.snapshot import Status

FREQUENCY = Frequency(-12.5e-6, 2e-8, 1e-10)
ESTIMATE = Estimate(0, WALL_NS, 0.001, 1e-6, 1e-5, FREQUENCY, "a")


def status(
    estimate: Estimate | NoEstimate = ESTIMATE,
    frequency: Frequency | None = FREQUENCY,
    wall_ns: int = WALL_NS,
) -> Status:
    return Status(0, (), Verdict(estimate, {}, frequency=frequency), wall_ns=wall_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is to be; its directory can be taken away."""
    directory = tmp_path / "var"
    directory.mkdir()
    return directory / "state"


@asynccontextmanager
async def running(keeper: StateKeeper) -> AsyncIterator[None]:
    """The keeper runs inside; behind it all of its writing is done."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        yield
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """The keeper writes in a thread, for which the virtual clock waits but a moment."""
    for _ in range(100):
        if condition():
            return
        await trio.sleep(INTERVAL / 2)
    raise AssertionError("it never comes true")


async def test_the_newest_frequency_is_written_every_hour(
    path: Path, patient_clock: MockClock
) -> None:
    keeper = StateKeeper(path)
    async with running(keeper):
        keeper.observe(status())
        keeper.observe(status(wall_ns=WALL_NS + 1))
        await trio.sleep(INTERVAL - 1)
        assert load_state(path) is None
        await trio.sleep(2)
        await until(lambda: load_state(path) == State(FREQUENCY, WALL_NS + 1))
        keeper.observe(status(wall_ns=WALL_NS + 2))
        assert load_state(path) == State(FREQUENCY, WALL_NS + 1)
        await trio.sleep(INTERVAL)
        await until(lambda: load_state(path) == State(FREQUENCY, WALL_NS + 2))


async def test_it_is_written_once_more_at_the_end(path: Path, autojump_clock: MockClock) -> None:
    keeper = StateKeeper(path)
    async with running(keeper):
        await trio.sleep(1)
        keeper.observe(status())
    assert load_state(path) == State(FREQUENCY, WALL_NS)


@pytest.mark.parametrize(
    "shown",
    [status(frequency=None), *(status(estimate=reason) for reason in NoEstimate)],
    ids=["no line", *(reason.name for reason in NoEstimate)],
)
async def test_without_the_frequency_of_a_majority_there_is_no_file(
    shown: Status, path: Path, autojump_clock: MockClock
) -> None:
    keeper = StateKeeper(path)
    async with running(keeper):
        keeper.observe(shown)
        await trio.sleep(2 * INTERVAL)
    assert list(path.parent.iterdir()) == []


async def test_the_last_frequency_of_a_majority_outlives_the_majority(
    path: Path, autojump_clock: MockClock
) -> None:
    keeper = StateKeeper(path)
    async with running(keeper):
        keeper.observe(status())
        keeper.observe(status(NoEstimate.NO_MAJORITY, wall_ns=WALL_NS + 1))
    assert load_state(path) == State(FREQUENCY, WALL_NS)


def test_a_state_is_written_once(path: Path) -> None:
    keeper = StateKeeper(path)
    keeper.observe(status())
    keeper.save()
    path.unlink()
    keeper.save()
    assert not path.exists()


def test_each_digit_is_written(path: Path) -> None:
    frequency = Frequency(math.pi * 1e-5, math.e * 1e-8, 1e-10)
    keeper = StateKeeper(path)
    keeper.observe(status(frequency=frequency))
    keeper.save()
    assert load_state(path) == State(frequency, WALL_NS)


def test_without_a_state_nothing_is_written(path: Path) -> None:
    StateKeeper(path).save()
    assert not path.exists()


async def test_a_failure_does_not_end_the_keeper(
    path: Path, patient_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = StateKeeper(path)
    path.parent.rmdir()
    async with running(keeper):
        keeper.observe(status())
        await trio.sleep(INTERVAL + 1)
        await until(lambda: bool(caplog.records))
        path.parent.mkdir()
        await trio.sleep(INTERVAL)
        await until(lambda: load_state(path) == State(FREQUENCY, WALL_NS))
    assert len(caplog.records) == 1


def test_a_failure_is_logged_once_for_each_reason(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = StateKeeper(path)
    keeper.observe(status())
    path.parent.rmdir()
    keeper.save()
    keeper.save()
    [gone] = caplog.records
    assert gone.levelno == logging.WARNING
    assert str(path) in gone.getMessage()

    path.parent.touch()  # a file where the directory should be
    keeper.save()
    keeper.save()
    assert len(caplog.records) == 2


def test_a_failure_after_a_success_is_logged_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = StateKeeper(path)
    keeper.observe(status())
    path.parent.rmdir()
    keeper.save()
    path.parent.mkdir()
    keeper.save()
    assert load_state(path) == State(FREQUENCY, WALL_NS)

    keeper.observe(status(wall_ns=WALL_NS + 1))
    path.unlink()
    path.parent.rmdir()
    keeper.save()
    assert len(caplog.records) == 2
    assert caplog.records[0].getMessage() == caplog.records[1].getMessage()
