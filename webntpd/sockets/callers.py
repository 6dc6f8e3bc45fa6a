"""Listeners with untrusted clients: few at once, each with a bounded time.

So no client can hold up the rest of the program. The handler of a client bounds the size of its
request.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

import trio

logger = logging.getLogger(__name__)

CALLERS = 16
"""Most clients at once; each further connection is closed."""
TIME_LIMIT = 5.0
"""Longest time from a connection to the end of its reply, s."""

Handler = Callable[[trio.SocketStream], Awaitable[None]]
"""Reads the request of one client and replies to it."""


async def serve_callers(listeners: Iterable[trio.SocketListener], handler: Handler) -> None:
    """Handle every client that connects, until cancelled."""
    async with trio.open_nursery() as callers:

        async def receive(stream: trio.SocketStream) -> None:
            if len(callers.child_tasks) > CALLERS:
                await stream.aclose()
            else:
                await handle(stream, handler)

        await trio.serve_listeners(receive, list(listeners), handler_nursery=callers)


async def handle(stream: trio.SocketStream, handler: Handler) -> None:
    """Handle one client and close its connection. A failure ends only this connection."""
    try:
        async with stream:
            with trio.move_on_after(TIME_LIMIT):
                await handler(stream)
    except trio.BrokenResourceError:
        pass  # the client is gone
    except OSError as error:
        logger.warning("the connection of a client failed: %s", error)
    except Exception:
        logger.exception("a fault in webntpd ended the connection of a client")
