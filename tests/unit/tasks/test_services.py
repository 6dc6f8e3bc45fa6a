"""Services are restarted after any failure at any time, and a replaced one comes back."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from webntpd.tasks.services import ServiceSlot


class RefusalError(Exception):
    """The service cannot start with its parameters."""


class Service:
    """Notes each start. `plan` gives the fault of each start, and whether it comes after ready."""

    def __init__(self, *plan: tuple[Exception | None, bool]) -> None:
        self.plan = list(plan)
        self.starts: list[str] = []
        self.at: list[float] = []
        self.running: set[str] = set()
        self.fails_when_cancelled: Callable[[], Exception] | None = None

    async def __call__(self, parameters: str, /, *, task_status: trio.TaskStatus[object]) -> None:
        self.starts.append(parameters)
        self.at.append(trio.current_time())
        fault, ready = self.plan.pop(0) if self.plan else (None, True)
        await trio.lowlevel.checkpoint()
        if ready:
            task_status.started()
        if fault is not None:
            await trio.sleep(ready)
            raise fault
        self.running.add(parameters)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await self._until_cancelled()
        finally:
            self.running.remove(parameters)

    async def _until_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            if self.fails_when_cancelled is not None:
                raise self.fails_when_cancelled()


def slot(service: Service, nursery: trio.Nursery) -> ServiceSlot[str]:
    return ServiceSlot("service", service, nursery, refusal=RefusalError)


@pytest.mark.parametrize("fault", [RuntimeError("broken"), RefusalError("port in use")])
async def test_a_service_that_fails_after_it_was_ready_is_restarted(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    service = Service((fault, True), (fault, True), (fault, False))
    await slot(service, nursery).change("first")
    await trio.sleep(100)
    assert [later - earlier for earlier, later in pairwise(service.at)] == [2, 3, 4]
    assert service.running == {"first"}
    assert "service failed; restarting it in 1 s" in caplog.text
    assert str(fault) in caplog.text


async def test_a_first_start_that_breaks_is_tried_again_and_holds_up_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    service = Service((RuntimeError("broken"), False))
    await slot(service, nursery).change("first")
    assert service.running == set()
    await trio.sleep(10)
    assert service.running == {"first"}


async def test_a_first_start_that_is_refused_is_raised(nursery: trio.Nursery) -> None:
    service = Service((RefusalError("port in use"), False))
    place = slot(service, nursery)
    with pytest.raises(RefusalError):
        await place.change("first")
    await place.change("first")
    assert service.running == {"first"}


@pytest.mark.parametrize("fault", [RuntimeError("broken"), RefusalError("port in use")])
async def test_a_service_that_cannot_start_leaves_the_old_one_running(
    nursery: trio.Nursery, autojump_clock: MockClock, fault: Exception
) -> None:
    service = Service()
    place = slot(service, nursery)
    await place.change("first")
    service.plan = [(fault, False)]
    with pytest.raises(type(fault)):
        await place.change("second")
    assert service.running == {"first"}
    assert service.starts == ["first", "second", "first"]
    await place.change("third")
    assert service.running == {"third"}


async def test_the_one_before_is_tried_until_it_runs_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    service = Service()
    place = slot(service, nursery)
    await place.change("first")
    service.plan = [(RefusalError("no"), False), (RefusalError("gone, too"), False)]
    with pytest.raises(RefusalError, match="no"):
        await place.change("second")
    await trio.sleep(10)
    assert service.running == {"first"}


async def test_a_failure_of_a_service_that_is_being_replaced_is_logged_and_no_more(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service()
    place = slot(service, nursery)
    await place.change("first")
    service.fails_when_cancelled = lambda: RuntimeError("broken on the way out")
    await place.change("second")
    assert service.running == {"second"}
    assert "broken on the way out" in caplog.text
    await place.change(None)
    assert service.running == set()


async def test_a_service_that_waits_to_be_restarted_can_be_replaced(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    service = Service((RuntimeError("broken"), True))
    place = slot(service, nursery)
    await place.change("first")
    await trio.sleep(1.5)
    await place.change("second")
    await trio.sleep(100)
    assert service.starts == ["first", "second"]
