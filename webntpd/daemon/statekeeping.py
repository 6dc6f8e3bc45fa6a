"""Keeps the state file: the frequency of the oscillator, for the daemon's next start."""

import logging
from pathlib import Path

import trio

from webntpd.daemon.state import State, save_state
from webntpd.ntp.estimates import Estimate
from webntpd.status.snapshot import Status

INTERVAL = 3600.0
"""Time between two writes, s; one more comes at the end."""

logger = logging.getLogger(__name__)


class StateKeeper:
    """Takes snapshots, and writes the frequency of the newest one that has one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: State | None = None
        self._written: State | None = None
        self._problem: str | None = None

    def observe(self, status: Status) -> None:
        """Take a snapshot. Its frequency counts only if there is an estimate, from a majority."""
        verdict = status.verdict
        if verdict.frequency is not None and isinstance(verdict.estimate, Estimate):
            self._state = State(verdict.frequency, status.wall_ns)

    async def run(self) -> None:
        """Write every INTERVAL until cancelled, and then once more."""
        try:
            while True:
                await trio.sleep(INTERVAL)
                await trio.to_thread.run_sync(self.save)
        finally:
            self.save()

    def save(self) -> None:
        """Write the state if there is a new one. A failure is logged when its reason is new."""
        state = self._state  # the loop may go on meanwhile, and bring another
        if state is None or state == self._written:
            return
        try:
            save_state(self._path, state)
        except OSError as error:
            problem = error.strerror or str(error)
            if problem != self._problem:
                logger.warning("the state cannot be kept in %s: %s", self._path, problem)
            self._problem = problem
        else:
            self._written, self._problem = state, None
