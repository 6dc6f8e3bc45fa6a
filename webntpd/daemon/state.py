"""The state file: it keeps the frequency of the machine's oscillator for the next run.

    {"version": 1, "known_ns": 1700000000000000000,
     "frequency": {"value": -1.25e-05, "uncertainty": 2e-08, "wander": 1e-10}}

The frequency is dX/dRAW in s/s, `known_ns` the Unix time at which it was known. A daemon without
the file learns the frequency anew, so any other content counts as no state, with one warning.
"""

import json
import logging
import math
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import trio

from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Estimate, Frequency
from webntpd.ntp.line import MAX_WANDER
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.snapshot import Status

VERSION = 1
"""Changes when an older program would misread the file."""
MAX_SIZE = 4096
"""Largest file, bytes; a state is smaller."""
MAX_FREQUENCY = 1000e-6
"""No oscillator of a computer is farther off, s/s; the kernel corrects half of it."""

RESTART_UNCERTAINTY = 5e-6
"""A restart adds this uncertainty, s/s: the machine may be warmer or colder now, and a kernel that
measures its counter's rate at each boot gets another one."""
AGEING = 1e-6 / (30 * 86_400)
"""How fast a stored frequency grows more uncertain, s/s per s."""
UNKNOWN_AGE = 365 * 86_400.0
"""Age of a state from the future, s: the wall clock is wrong now, or was wrong then."""

INTERVAL = 3600.0
"""Time between two writes, s; one more comes at the end."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """The oscillator's frequency as it was known at Unix time `known_ns`."""

    frequency: Frequency
    known_ns: int


class StateError(ValueError):
    """The content of a state file is not valid. The text says why."""


def frequency_from(state: State, now_ns: int) -> Frequency:
    """The stored frequency as a start at Unix time `now_ns` may rely on it: widened with age."""
    age = (now_ns - state.known_ns) / NS_PER_S
    if age < 0:
        age = UNKNOWN_AGE
    known = state.frequency
    uncertainty = math.hypot(known.uncertainty, RESTART_UNCERTAINTY) + AGEING * age
    return Frequency(known.value, min(uncertainty, UNKNOWN_FREQUENCY.uncertainty), known.wander)


def stored_frequency(path: Path | None, now_ns: int) -> Frequency:
    """The frequency that an earlier run stored at `path`, for a start at Unix time `now_ns`."""
    state = None if path is None else load_state(path)
    return UNKNOWN_FREQUENCY if state is None else frequency_from(state, now_ns)


def load_state(path: Path) -> State | None:
    """The state in the file at `path`. None if there is no file, or, with a warning, a bad one."""
    try:
        with path.open("rb") as file:
            return parse_state(file.read(MAX_SIZE + 1))
    except FileNotFoundError:
        return None
    except (OSError, StateError) as error:
        logger.warning("state file %s is not used, the frequency is learnt anew: %s", path, error)
    return None


def save_state(path: Path, state: State) -> None:
    """Replace the file at `path`, whole or not at all, even if the power fails. Raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(state_bytes(state))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # else the old name may come back
    finally:
        os.close(directory)


def state_bytes(state: State) -> bytes:
    """The content of the file."""
    content = {
        "version": VERSION,
        "known_ns": state.known_ns,
        "frequency": asdict(state.frequency),
    }
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def parse_state(data: bytes) -> State:
    """The state from the content of its file. Raises StateError."""
    if len(data) > MAX_SIZE:
        raise StateError(f"more than {MAX_SIZE} bytes")
    try:
        content = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StateError(f"not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise StateError(f"not of version {VERSION}")
    frequency = content.get("frequency")
    if not isinstance(frequency, dict):
        raise StateError("no frequency")
    known_ns = content.get("known_ns")
    if type(known_ns) is not int or not 0 <= known_ns < 2**63:
        raise StateError("known_ns is not a time in ns")
    return State(
        Frequency(
            _number(frequency, "value", -MAX_FREQUENCY, MAX_FREQUENCY),
            _number(frequency, "uncertainty", 0.0, MAX_FREQUENCY),
            _number(frequency, "wander", 0.0, MAX_WANDER),
        ),
        known_ns,
    )


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and the infinities: Python reads them, but they are not JSON."""
    raise ValueError(f"{constant} is no number")


def _number(values: dict[str, Any], name: str, least: float, greatest: float) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StateError(f"{name} of the frequency is not a number")
    if least <= value <= greatest:
        return float(value)
    raise StateError(f"{name} of the frequency is not from {least:g} to {greatest:g}")


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
        state = self._state  # a thread runs this, and observe() may replace it meanwhile
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
