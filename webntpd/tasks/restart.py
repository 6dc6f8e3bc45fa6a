"""Restarts a task that failed, later each time."""

import logging
from collections.abc import Awaitable, Callable

import trio

log = logging.getLogger(__name__)

FIRST_RESTART_DELAY = 1.0
LAST_RESTART_DELAY = 300.0
"""A task that failed is restarted after the first, then each time after twice as long, s."""


async def keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a task until it is cancelled or ends by itself; when it fails, start it again."""
    delay = FIRST_RESTART_DELAY
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception:
            log.exception("%s failed; restarting it in %.0f s", name, delay)
        except BaseExceptionGroup as group:  # cancelled, and something failed on the way out
            failures, cancelled = group.split(Exception)
            if failures is not None:
                log.exception("%s failed while it ended", name, exc_info=failures)
            if cancelled is not None:
                raise cancelled from None
        else:
            return
        if trio.current_time() - started > LAST_RESTART_DELAY:
            delay = FIRST_RESTART_DELAY
        await trio.sleep(delay)
        delay = min(2 * delay, LAST_RESTART_DELAY)
