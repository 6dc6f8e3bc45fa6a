"""Services that a reload starts, replaces or stops."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import trio

from webntpd.tasks.restart import keep_running

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


class Service(Protocol[P_contra]):
    """Runs until cancelled, and reports by `task_status` that it is ready."""

    def __call__(
        self, parameters: P_contra, /, *, task_status: trio.TaskStatus[object]
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class Running(Generic[P]):
    """A running service; `stopped` is set once it has released everything."""

    parameters: P
    scope: trio.CancelScope
    stopped: trio.Event


class ServiceSlot(Generic[P]):
    """Runs one service with its latest parameters.

    The service raises `refusal` when it cannot start with its parameters. Any other failure, and
    any failure after the service was ready, is logged, and the service is restarted. `check` raises
    if parameters are wrong; it is called before the running service is stopped.
    """

    def __init__(
        self,
        name: str,
        service: Service[P],
        nursery: trio.Nursery,
        *,
        refusal: type[Exception] | tuple[()] = (),
        check: Callable[[P], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._service = service
        self._refusal = refusal
        self._check = check
        self._nursery = nursery
        self._running: Running[P] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the service runs, or waits to be restarted."""
        return self._running is not None

    async def change(self, wanted: P | None) -> None:
        """Run the service with these parameters from now on; None stops it.

        Returns when it is ready, and raises its refusal if it cannot start. If the service ran
        before, any failure to start is raised, and the service runs again with its old parameters.
        """
        before = self._running
        if wanted == (before.parameters if before else None):
            return
        if wanted is not None:
            self._check(wanted)
        if before:
            before.scope.cancel()
            await before.stopped.wait()
            self._running = None
        if wanted is None:
            return
        try:
            await self._start(wanted, Exception if before else self._refusal)
        except Exception:
            if before:
                await self._start(before.parameters, ())
            raise

    async def _start(self, parameters: P, fatal: type[Exception] | tuple[()]) -> None:
        """Start the service. Raises a `fatal` error that the service raises before it is ready."""
        running = Running(parameters, trio.CancelScope(), trio.Event())
        await self._nursery.start(self._run, running, fatal)
        self._running = running

    async def _run(
        self,
        running: Running[P],
        fatal: type[Exception] | tuple[()],
        task_status: trio.TaskStatus[object],
    ) -> None:
        readiness = _Readiness(task_status)
        refused: Exception | None = None

        async def run() -> None:
            nonlocal refused
            try:
                await self._service(running.parameters, task_status=readiness)
            except Exception as error:
                if readiness.reported or not isinstance(error, fatal):
                    readiness.started()  # change() goes on without the service
                    raise
                refused = error

        try:
            with running.scope:
                await keep_running(self.name, run)
        finally:
            running.stopped.set()
        if refused is not None:
            raise refused


class _Readiness:
    """Reports only once that a service is ready, although each restart reports it."""

    def __init__(self, task_status: trio.TaskStatus[object]) -> None:
        self._task_status = task_status
        self.reported = False

    def started(self, value: object = None) -> None:
        if not self.reported:
            self.reported = True
            self._task_status.started(value)
