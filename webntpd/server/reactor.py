"""All connections in one task: trio waits for an epoll instance of our own.

A task for each connection would cost more than the request that it serves. Here one pass handles
every ready connection, and yields to the other tasks of the daemon after SLICE, however many
clients are ready.
"""

import errno
import logging
import select
import socket
from collections.abc import Sequence
from time import perf_counter

import trio

from webntpd.clock.clocks import Clock
from webntpd.server.admission import Admission
from webntpd.server.channel import Channel
from webntpd.server.connection import Connection
from webntpd.server.context import Context
from webntpd.server.credentials import Credentials
from webntpd.server.tls import TlsConnection
from webntpd.sockets.listeners import Listener

logger = logging.getLogger(__name__)

MAX_EVENTS = 512
"""Most events of one call of epoll."""
MAX_ACCEPTS = 64
"""Connections accepted from a listener in one pass."""
SLICE = 0.001
"""Longest run between two checkpoints, s; the client in hand is finished first."""
TICK = 1.0
"""Time between two checks of the deadlines, s."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Reactor:
    """Serves the clients of some listening sockets, which it owns from then on."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        context: Context,
        admission: Admission,
        clock: Clock,
        *,
        credentials: Credentials | None,
        departures: bool,
    ) -> None:
        self._context = context
        self._admission = admission
        self._clock = clock
        self._counters = context.counters
        self._credentials = credentials
        self._departures = departures
        self._epoll = select.epoll()
        self._listeners = {listener.socket.fileno(): listener for listener in listeners}
        self._listening = False
        self._channels: dict[int, Channel] = {}
        self._busy = trio.Event()  # there is a client, or a pause

    async def run(self) -> None:
        """Serve until cancelled. Call stop() after it in any case."""
        self._listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_deadlines)
            while True:
                await self._pass()

    async def stop(self, grace: float) -> None:
        """Stop listening, let every client know, and close all within that many seconds."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        now = trio.current_time()
        for fd, channel in list(self._channels.items()):
            try:
                channel.stop(now)
            except Exception:
                logger.exception("a connection was dropped by a fault in the server")
                channel.close()
            if channel.changed:
                self._settle(fd, channel)
        with trio.move_on_after(grace):
            while self._channels:
                await self._pass()
        for fd, channel in list(self._channels.items()):
            channel.close()
            self._settle(fd, channel)
        self._epoll.close()

    async def _pass(self) -> None:
        """Wait until something is ready, then go on for as long as anything is."""
        await trio.lowlevel.wait_readable(self._epoll.fileno())
        end = perf_counter() + SLICE
        while ready := self._epoll.poll(0, MAX_EVENTS):
            now = trio.current_time()
            self._context.refresh(self._clock.realtime_ns())
            for fd, events in ready:
                channel = self._channels.get(fd)
                if channel is None:
                    if (listener := self._listeners.get(fd)) is not None:
                        self._accept(listener)
                else:
                    try:
                        channel.handle(events, now)
                    except Exception:  # a fault in our code costs one client, not all of them
                        logger.exception("a connection was dropped by a fault in the server")
                        channel.close()
                    if channel.changed:
                        self._settle(fd, channel)
                if perf_counter() > end:
                    await trio.lowlevel.checkpoint()
                    end = perf_counter() + SLICE

    def _settle(self, fd: int, channel: Channel) -> None:
        """Tell epoll the new interest of a channel, or forget a closed channel."""
        channel.changed = False
        if channel.closed:  # closing the descriptor has taken it out of epoll
            del self._channels[fd]
            self._counters.connections -= 1
            channel.caller.leave()
        else:
            # This also reports the events that are ready already.
            self._epoll.modify(fd, channel.interest)

    # Accepting

    def _listen(self) -> None:
        for fd in self._listeners:
            self._epoll.register(fd, select.EPOLLIN)
        self._listening = True

    def _pause(self, reason: OSError) -> None:
        """Out of descriptors or memory: a listener that stays ready would make us spin."""
        logger.warning("no new connections for a moment: %s", reason.strerror)
        self._busy.set()
        for fd in self._listeners:
            self._epoll.unregister(fd)
        self._listening = False

    def _accept(self, listener: Listener) -> None:
        for attempt in range(MAX_ACCEPTS):
            if not self._listening:
                return
            try:
                client, address = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EMFILE and self._channels:
                    if attempt:  # accept() fails so even if no client waits
                        return
                    self._make_room()
                elif error.errno in _EXHAUSTED:
                    self._pause(error)
                continue  # otherwise that client is gone already
            host = address[0] if isinstance(address, tuple) else ""
            try:
                self._admit(client, host, tls=listener.tls)
            except Exception:
                client.close()
                logger.exception("a connection could not be taken")

    def _admit(self, sock: socket.socket, host: str, *, tls: bool) -> None:
        limits = self._context.limits
        caller = self._admission.caller(host)
        if not caller.pay(tls=tls):
            sock.close()  # the cheapest way to say no
            self._counters.refusals += 1
            return
        while len(self._channels) >= limits.connections:
            self._make_room()
        sock.settimeout(0)
        plain = Connection(self._context, caller)
        channel = Channel(
            sock,
            TlsConnection(plain, self._credentials.context) if tls and self._credentials else plain,
            self._clock,
            limits,
            now=trio.current_time(),
            caller=caller,
            departures=self._departures,
        )
        fd = sock.fileno()
        self._epoll.register(fd, channel.interest)
        self._channels[fd] = channel
        self._busy.set()
        self._counters.accepted += 1
        self._counters.connections += 1
        caller.enter(channel)

    def _make_room(self) -> None:
        fd = self._admission.slots.longest_idle_of_the_largest().fileno()
        channel = self._channels[fd]
        channel.close()
        self._settle(fd, channel)
        self._counters.refusals += 1

    async def _watch_deadlines(self) -> None:
        """Close overdue channels once a TICK. Without clients it does not wake up."""
        while True:
            await self._busy.wait()
            await trio.sleep(TICK)
            now = trio.current_time()
            for fd, channel in list(self._channels.items()):
                if channel.is_overdue(now):
                    channel.close()
                    self._settle(fd, channel)
            self._admission.clients.prune()
            if not self._listening:
                self._listen()
            if not self._channels and not self._admission.clients:
                self._busy = trio.Event()
