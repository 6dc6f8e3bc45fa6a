"""The observers of the daemon: each sees every snapshot."""

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

from webntpd.status.snapshot import Status

logger = logging.getLogger(__name__)

P = TypeVar("P")


class Observer(Protocol):
    """A service that sees every snapshot while it runs."""

    def observe(self, status: Status) -> None: ...

    async def run(self) -> None: ...


class Observers:
    """The functions that get every snapshot; `first` always does."""

    def __init__(self, first: Callable[[Status], None]) -> None:
        self._all = {first}

    def show(self, status: Status) -> None:
        """Give a snapshot to all. The failure of one is logged and affects no other."""
        for observe in tuple(self._all):
            try:
                observe(status)
            except Exception:
                logger.exception("an observer of the state failed")

    async def run(
        self,
        make: Callable[[P], Observer],
        parameters: P,
        /,
        *,
        task_status: trio.TaskStatus[object],
    ) -> None:
        """Run the observer that `make` makes of its parameters, and show it each snapshot."""
        observer = make(parameters)
        self._all.add(observer.observe)
        try:
            task_status.started()
            await observer.run()
        finally:
            self._all.remove(observer.observe)
