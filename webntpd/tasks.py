"""Tasks that outlive their own failures, and services that a reload starts, replaces or stops."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import trio

log = logging.getLogger(__name__)

FIRST_RESTART_DELAY = 1.0
LAST_RESTART_DELAY = 300.0
"""A task that failed is restarted after the first, then each time after twice as long, s."""

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


async def keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a task until it is cancelled or ends by itself; when it fails, start it again."""
    delay = FIRST_RESTART_DELAY
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception:
            log.exception("%s failed; restarting it in %.0f s", name, delay)
        else:
            return
        if trio.current_time() - started > LAST_RESTART_DELAY:
            delay = FIRST_RESTART_DELAY
        await trio.sleep(delay)
        delay = min(2 * delay, LAST_RESTART_DELAY)


class Service(Protocol[P_contra]):
    """Runs until cancelled; says by `task_status` when it is ready."""

    def __call__(
        self, parameters: P_contra, /, *, task_status: trio.TaskStatus[object]
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class Running(Generic[P]):
    """A service's task from outside; `stopped` is set once it has let go of everything."""

    parameters: P
    scope: trio.CancelScope
    stopped: trio.Event


class Slot(Generic[P]):
    """The place of one service, which runs there with the parameters that it was last given.

    `refusal` is what the service raises when it cannot start with its parameters. Later failures
    are its own: it is restarted.
    """

    def __init__(
        self,
        name: str,
        service: Service[P],
        nursery: trio.Nursery,
        *,
        refusal: type[Exception] | tuple[()] = (),
    ) -> None:
        self._name = name
        self._service = service
        self._refusal = refusal
        self._nursery = nursery
        self._running: Running[P] | None = None

    async def change(self, wanted: P | None) -> None:
        """Run the service with these parameters from now on, with None not at all.

        Returns when it is ready. Raises its refusal, and then nothing runs.
        """
        running = self._running
        if wanted == (running.parameters if running else None):
            return
        if running:
            running.scope.cancel()
            await running.stopped.wait()
            self._running = None
        if wanted is not None:
            running = Running(wanted, trio.CancelScope(), trio.Event())
            await self._nursery.start(self._run, running)
            self._running = running

    async def _run(
        self,
        running: Running[P],
        task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        run = partial(self._service, running.parameters)
        try:
            with running.scope:
                await run(task_status=task_status)
        except self._refusal:
            raise
        except Exception:
            log.exception("%s failed", self._name)
            with running.scope:
                await keep_running(self._name, lambda: run(task_status=trio.TASK_STATUS_IGNORED))
        finally:
            running.stopped.set()
