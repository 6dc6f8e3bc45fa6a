"""Log handlers that do not hold up the program when their reader stalls.

A line for which there is no room waits. A thread writes the waiting lines once there is room again.
At most MOST_WAITING lines wait; later ones are lost, and a line in their place says how many.
"""

import logging
import select
from collections import deque
from contextlib import suppress
from threading import RLock, Thread
from typing import Protocol

MOST_WAITING = 1000
"""Most lines that wait."""
FLUSH_LIMIT = 1.0
"""Longest time that the end of the program waits for these lines, s."""
PIECE = 1024
"""Characters written at once: a pipe that is ready for writing has room for 4096 bytes (pipe(7)),
and a socket for more."""


class Writable(Protocol):
    """As much of a stream as a handler needs."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class UnblockedHandler(logging.Handler):
    """Writes a record at once, or has a thread wait until it can be written."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[logging.LogRecord] = deque()
        self._lost = 0
        self._thread: Thread | None = None  # there is one while anything waits
        self._turn = RLock()  # for these three

    def put(self, record: logging.LogRecord, *, wait: bool) -> bool:
        """Write a record. False if there is no room; with `wait`, wait for it instead."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        with self._turn:
            if not self._waiting and self._thread is None and self._write(record, wait=False):
                return
            if len(self._waiting) < MOST_WAITING:
                self._tell_losses()
                self._waiting.append(record)
            else:
                self._lost += 1
            if self._thread is None:
                self._start_thread()

    def flush(self) -> None:
        """Wait until the waiting lines are written, but no longer than FLUSH_LIMIT."""
        if thread := self._thread:
            thread.join(FLUSH_LIMIT)

    def _start_thread(self) -> None:
        thread = Thread(target=self._write_waiting, daemon=True)
        with suppress(RuntimeError):  # the system allows no more threads: the next line tries again
            thread.start()
            self._thread = thread

    def _write_waiting(self) -> None:
        while record := self._next():
            self._write(record, wait=True)

    def _next(self) -> logging.LogRecord | None:
        with self._turn:
            if not self._waiting:
                self._tell_losses()
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            return None

    def _tell_losses(self) -> None:
        if self._lost:
            self._waiting.append(losses(self._lost))
            self._lost = 0

    def _write(self, record: logging.LogRecord, *, wait: bool) -> bool:
        """As `put`. A record that fails is reported and dropped; that counts as written."""
        try:
            return self.put(record, wait=wait)
        except Exception:  # noqa: BLE001 - as logging's own handlers
            self.handleError(record)
            return True


class StreamHandler(UnblockedHandler):
    """Writes lines to a stream: a file, a pipe, a socket, a terminal, or one without descriptor."""

    def __init__(self, stream: Writable) -> None:
        super().__init__()
        self._stream = stream
        # A record that is written in part, and its number of characters that are written.
        self._begun: tuple[logging.LogRecord | None, int] = None, 0

    def put(self, record: logging.LogRecord, *, wait: bool) -> bool:
        text = self.format(record) + "\n"
        begun, written = self._begun
        self._begun = None, 0
        for start in range(written if begun is record else 0, len(text), PIECE):
            if not self._is_ready(wait=wait):
                self._begun = record, start
                return False
            self._stream.write(text[start : start + PIECE])
            self._stream.flush()
        return True

    def _is_ready(self, *, wait: bool) -> bool:
        descriptor = descriptor_of(self._stream)
        if descriptor is None:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(None if wait else 0))


def descriptor_of(stream: Writable) -> int | None:
    """A stream's descriptor, if it has one and is open."""
    try:
        descriptor: int = stream.fileno()  # type: ignore[attr-defined]  # it may have none
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor


def losses(count: int) -> logging.LogRecord:
    """The log line with the number of lost lines."""
    text = "%d log lines were lost while the log was not read"
    return logging.LogRecord(__name__, logging.WARNING, "", 0, text, (count,), None)
