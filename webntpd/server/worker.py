"""One process of the server: only workers.py runs `python -m webntpd.server.worker`.

It serves on inherited sockets until its standard input ends. It ignores signals, which a terminal
and a service manager send to all processes: they are for the process that started it.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import trio

from webntpd import log
from webntpd.server.counters import Counters
from webntpd.server.messages import PERIOD, Task, Update, report, unpacked
from webntpd.server.server import Server, stamp
from webntpd.sockets.listeners import Listener


class Worker:
    """A worker with its task."""

    def __init__(self, task: Task) -> None:
        self._update = task.update
        logging.getLogger().setLevel(task.update.log_level)
        self._counters = Counters()
        self._server = Server(
            task.parameters,
            task.clock,
            lambda: self._update.leap_list,
            counters=self._counters,
            fast_paths=task.fast_paths,
            pem=task.update.pem,
        )
        self._listeners = [
            Listener(socket.socket(fileno=descriptor), tls) for descriptor, tls in task.sockets
        ]
        self._stamped = stamp(self._listeners, task.parameters)

    async def run(self, updates: AsyncIterator[Update]) -> None:
        """Serve until the updates end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve)
            nursery.start_soon(self._report)
            async for update in updates:
                self._take(update)
            nursery.cancel_scope.cancel()

    def _take(self, update: Update) -> None:
        if update.pem is not None and update.pem != self._update.pem:
            self._server.use(update.pem)
        logging.getLogger().setLevel(update.log_level)
        self._update = update

    async def _serve(self) -> None:
        await self._server.run(self._listeners, stamped=self._stamped)

    async def _report(self) -> None:
        output = trio.lowlevel.FdStream(os.dup(sys.stdout.fileno()))
        while True:
            await output.send_all(report(self._counters))
            await trio.sleep(PERIOD)


async def work() -> None:
    stream = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    async with stream, aclosing(unpacked(stream)) as messages:
        task: Task
        async for task in messages:
            await Worker(task).run(messages)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log.set_up()
    trio.run(work)


if __name__ == "__main__":
    main()
