"""The messages between the server's processes.

A worker gets its task and then updates on its standard input: pickles, each after its length. It
writes reports on its standard output. A report is a line of JSON with all of the worker's counters,
so a lost report costs nothing.
"""

import json
import pickle
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, fields
from typing import Any

import trio

from webntpd.clock.clocks import Clock
from webntpd.leap.list import LeapList
from webntpd.server.counters import Counters
from webntpd.server.credentials import Pem
from webntpd.server.parameters import ServerParameters

PERIOD = 1.0
"""Time between two reports of a worker, s."""
MOST_LINE = 4096
"""Longest line, bytes. Of a longer line only the end is kept."""

_LENGTH = 4  # bytes before each message to a worker
_COUNTERS = {field.name for field in fields(Counters)}


@dataclass(frozen=True, slots=True)
class Update:
    """The settings that may change while a worker runs; `pem` is the last good certificate.

    A worker does not read the files: they may be bad by the time that it starts.
    """

    leap_list: LeapList | None
    pem: Pem | None
    log_level: int


@dataclass(frozen=True, slots=True)
class Task:
    """A worker's task: `sockets` are inherited descriptors, each with whether it speaks TLS."""

    parameters: ServerParameters
    clock: Clock
    update: Update
    sockets: tuple[tuple[int, bool], ...]
    fast_paths: bool


def packed(message: object) -> bytes:
    """A message as a worker reads it: its length, and its pickle."""
    data = pickle.dumps(message)
    return len(data).to_bytes(_LENGTH) + data


async def unpacked(stream: trio.abc.ReceiveStream) -> AsyncGenerator[Any, None]:
    """The messages that come in."""
    data = b""
    async for piece in stream:
        data += piece
        while len(data) >= _LENGTH:
            end = _LENGTH + int.from_bytes(data[:_LENGTH])
            if len(data) < end:
                break
            # From the process that started this one, over a pipe that no other process has.
            yield pickle.loads(data[_LENGTH:end])  # noqa: S301
            data = data[end:]


def report(counters: Counters) -> bytes:
    """A worker's report."""
    return json.dumps(asdict(counters)).encode() + b"\n"


def reported(line: bytes) -> Counters | None:
    """The counters in a line without its newline; None if it is no report."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != _COUNTERS:
        return None
    return Counters(**found) if all(type(each) is int for each in found.values()) else None


async def lines_in(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes, None]:
    """The lines that come in, without their newlines."""
    line = b""
    async for piece in stream:
        *lines, line = (line + piece).split(b"\n")
        for each in lines:
            yield each[-MOST_LINE:]
        line = line[-MOST_LINE:]
