"""Restarts a task that failed, later each time."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import trio

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delays before restarts, s: `first`, then each time twice as long, up to `last`.

    After a run that was longer than `last` the delay is `first` again.
    """

    first: float = 1.0
    last: float = 300.0


DEFAULT_BACKOFF = Backoff()


class EndedError(Exception):
    """A task ended and must run again. The text says how, so the log needs no traceback."""


def no_pause(delay: float) -> AbstractContextManager[None]:  # noqa: ARG001
    """Do nothing special before a restart."""
    return nullcontext()


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    backoff: Backoff = DEFAULT_BACKOFF,
    pause: Callable[[float], AbstractContextManager[None]] = no_pause,
) -> None:
    """Run a task until it is cancelled or returns; after a failure, log it and run it again.

    `pause` gets each delay, s, and its context lasts as long as the delay.
    """
    delay = backoff.first
    while True:
        started = trio.current_time()
        try:
            await run()
        except EndedError as end:
            logger.error("%s %s; restarting it in %g s", name, end, delay)  # noqa: TRY400
        except Exception:
            logger.exception("%s failed; restarting it in %g s", name, delay)
        except BaseExceptionGroup as group:  # cancelled, and a clean-up failed
            failures, cancelled = group.split(Exception)
            if failures is not None:
                logger.exception("%s failed while it ended", name, exc_info=failures)
            raise cancelled or group from None
        else:
            return
        if trio.current_time() - started > backoff.last:
            delay = backoff.first
        with pause(delay):
            await trio.sleep(delay)
        delay = min(2 * delay, backoff.last)
