"""Handlers on real pipes and sockets that are full, because their reader stalls at first."""

import io
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import BinaryIO, TextIO

import pytest
import trio

from webntpd.log import handlers
from webntpd.log.handlers import MOST_WAITING, PIECE, StreamHandler

Channel = Callable[[], AbstractContextManager[tuple[BinaryIO, TextIO]]]

LINES = 2 * MOST_WAITING + 10_000
"""More lines than may wait and than fit into a pipe or a socket."""

LOSSES = re.compile("([0-9]+) log lines were lost while the log was not read")


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text})


@contextmanager
def pipe() -> Iterator[tuple[BinaryIO, TextIO]]:
    """The end to read, and the end to write."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        yield reader, stream


@contextmanager
def connection() -> Iterator[tuple[BinaryIO, TextIO]]:
    """As a pipe, but a socket, which the journal makes a service's standard error."""
    reading, writing = socket.socketpair()
    with (
        os.fdopen(reading.detach(), "rb") as reader,
        os.fdopen(writing.detach(), "w") as stream,
    ):
        yield reader, stream


def read_line(reader: BinaryIO) -> str:
    return reader.readline().decode().removesuffix("\n")


async def emit_many(handler: logging.Handler, size: int) -> None:
    """Emit LINES lines of `size` characters; fails rather than hangs."""

    def emit() -> None:
        for number in range(LINES):
            handler.emit(record(f"{number:{size}}"))

    with trio.fail_after(60):
        await trio.to_thread.run_sync(emit, abandon_on_cancel=True)


@pytest.mark.parametrize("channel", [pipe, connection])
@pytest.mark.parametrize("size", [10, PIECE, 5 * PIECE + 7])
async def test_lines_wait_for_a_reader_that_stalls_and_the_lost_ones_are_counted(
    channel: Channel, size: int
) -> None:
    with channel() as (reader, stream):
        handler = StreamHandler(stream)
        await emit_many(handler, size)
        number = lines = 0
        while number < LINES:
            line = read_line(reader)
            if lost := LOSSES.fullmatch(line):
                number += int(lost[1])
            else:
                assert line == f"{number:{size}}"
                number += 1
                lines += 1
        assert MOST_WAITING < lines < LINES
        handler.flush()
        handler.emit(record("later"))
        assert read_line(reader) == "later"


async def test_the_end_does_not_wait_long_for_a_reader_that_stalls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "FLUSH_LIMIT", 0.0)
    with pipe() as (reader, stream):
        handler = StreamHandler(stream)
        await emit_many(handler, 10)
        handler.flush()
        while not LOSSES.fullmatch(read_line(reader)):
            pass


async def test_without_a_thread_the_lines_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pipe() as (reader, stream):
        handler = StreamHandler(stream)
        with monkeypatch.context() as full:
            full.setattr(Thread, "start", refuse)
            for number in range(100):
                handler.emit(record(f"{number:{PIECE}}"))
        handler.emit(record("last"))
        assert [int(read_line(reader)) for _ in range(100)] == list(range(100))
        assert read_line(reader) == "last"


def test_a_stream_without_a_descriptor_takes_everything() -> None:
    stream = io.StringIO()
    handler = StreamHandler(stream)
    for number in range(100):
        handler.emit(record(str(number)))
    assert stream.getvalue().split() == [str(number) for number in range(100)]


def test_a_stream_that_is_closed_costs_the_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pipe() as (_, stream):
        handler = StreamHandler(stream)
    handler.emit(record("in vain"))
    assert "--- Logging error ---" in capsys.readouterr().err
