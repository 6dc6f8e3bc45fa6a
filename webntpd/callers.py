"""Listeners whose clients are not trusted: each has one exchange, and a bounded time for it.

Their number at a time is limited as well, so that one client holds up no other one. The exchange
limits what a client may send.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

import trio

logger = logging.getLogger(__name__)

CALLERS = 16
"""Most clients at a time; further ones are hung up on."""
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
    """Have the exchange and hang up. A fault costs this client alone."""
    try:
        async with stream:
            with trio.move_on_after(TIME_LIMIT):
                await exchange(stream)
    except trio.BrokenResourceError:
        pass  # the client is gone
    except OSError as error:
        logger.warning("a client was hung up on: %s", error)
    except Exception:
        logger.exception("a client was hung up on by a fault of ours")
