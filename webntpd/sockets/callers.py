"""Listeners whose clients are not trusted: each has one exchange, and a bounded time for it.

The number of clients at once is limited, too, so no client can hold up the rest of the program.
The exchange limits the size of what a client sends.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

import trio

logger = logging.getLogger(__name__)

CALLERS = 16
"""Most clients at once; the connection of a further one is closed."""
TIME_LIMIT = 5.0
"""From connecting to the reply being taken, s."""

Exchange = Callable[[trio.SocketStream], Awaitable[None]]
"""Takes what a client asks, and answers it."""


async def serve_callers(listeners: Iterable[trio.SocketListener], exchange: Exchange) -> None:
    """Have an exchange with everyone who connects, until cancelled."""
    async with trio.open_nursery() as callers:

        async def receive(stream: trio.SocketStream) -> None:
            if len(callers.child_tasks) > CALLERS:
                await stream.aclose()
            else:
                await converse(stream, exchange)

        await trio.serve_listeners(receive, list(listeners), handler_nursery=callers)


async def converse(stream: trio.SocketStream, exchange: Exchange) -> None:
    """Have the exchange and close the connection. A failure ends only this connection."""
    try:
        async with stream:
            with trio.move_on_after(TIME_LIMIT):
                await exchange(stream)
    except trio.BrokenResourceError:
        pass  # the client is gone
    except OSError as error:
        logger.warning("the connection of a client failed: %s", error)
    except Exception:
        logger.exception("a fault in webntpd ended the connection of a client")
