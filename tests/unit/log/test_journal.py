"""The journal's own protocol, as a small journal of ours receives it."""

import io
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from webntpd.log.handlers import MOST_WAITING
from webntpd.log.journal import MOST_TEXT, JournalHandler, encode, is_journal, priority_of

NAMES = st.from_regex(r"[A-Z][A-Z_]{0,20}", fullmatch=True)


def decode(datagram: bytes) -> dict[str, str]:
    """As the Native Journal Protocol's page has it."""
    fields = {}
    while datagram:
        head, _, datagram = datagram.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(datagram[:8], "little")
            value, end, datagram = datagram[8 : 8 + size], datagram[8 + size], datagram[9 + size :]
            assert end == ord("\n")
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def journal(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(10)
        yield receiver


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(path: Path, stream: io.StringIO) -> Iterator[logging.Logger]:
    made = logging.getLogger("webntpd.x")
    handler = JournalHandler(stream, path)
    made.addHandler(handler)
    made.setLevel(logging.DEBUG)
    yield made
    made.setLevel(logging.NOTSET)
    made.removeHandler(handler)
    handler.close()


def test_a_line_comes_with_its_priority_and_fields(
    journal: socket.socket, logger: logging.Logger
) -> None:
    fields = {"event": "rejection", "peer": "one", "offset": 0.25}
    logger.warning("peer %s: %s", "one", "timeout", extra={"fields": fields})
    assert decode(journal.recv(4096)) == {
        "MESSAGE": "peer one: timeout",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "webntpd",
        "LOGGER": "webntpd.x",
        "WEBNTPD_EVENT": "rejection",
        "WEBNTPD_PEER": "one",
        "WEBNTPD_OFFSET": "0.25",
    }


def test_what_a_remote_said_forges_no_field(journal: socket.socket, logger: logging.Logger) -> None:
    said = "text\nPRIORITY=0\x1b[2J"
    logger.error("%s", said, extra={"fields": {"peer": said}})
    fields = decode(journal.recv(4096))
    assert fields["MESSAGE"] == "text�PRIORITY=0�[2J"
    assert fields["PRIORITY"] == "3"
    assert fields["WEBNTPD_PEER"] == said


def test_a_traceback_is_part_of_its_line(journal: socket.socket, logger: logging.Logger) -> None:
    try:
        int("x")
    except ValueError:
        logger.exception("task failed")
    lines = decode(journal.recv(4096))["MESSAGE"].splitlines()
    assert lines[:2] == ["task failed", "Traceback (most recent call last):"]


@given(st.dictionaries(NAMES, st.text()))
def test_any_fields_arrive_as_they_were(fields: dict[str, str]) -> None:
    assert decode(encode(fields)) == {
        name: value.encode(errors="replace").decode() for name, value in fields.items()
    }


def test_a_value_that_is_too_long_is_cut_off(
    journal: socket.socket, logger: logging.Logger
) -> None:
    logger.error("x" * 10_000_000)
    assert decode(journal.recv(100_000))["MESSAGE"] == "x" * MOST_TEXT


def test_while_there_is_no_journal_the_lines_go_to_the_stream(
    path: Path, logger: logging.Logger, stream: io.StringIO
) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "one", stack_info=True)
    lines = stream.getvalue().splitlines()
    firsts = [f"<{priority}>one" for priority in (7, 6, 4, 3, 2)]
    assert [line for line in lines if line.endswith(">one")] == firsts
    assert all(line.startswith(("<7>", "<6>", "<4>", "<3>", "<2>")) for line in lines)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        logger.info("three")
        assert decode(journal.recv(4096))["MESSAGE"] == "three"


async def test_a_journal_that_stalls_holds_up_nothing(
    journal: socket.socket, logger: logging.Logger, stream: io.StringIO
) -> None:
    def log_much() -> None:
        for number in range(2 * MOST_WAITING):
            logger.info("line %d", number)

    with trio.fail_after(30):  # or a failure would never end
        await trio.to_thread.run_sync(log_much, abandon_on_cancel=True)
    number = lines = 0
    while number < 2 * MOST_WAITING:
        text = decode(journal.recv(4096))["MESSAGE"]
        if lost := re.fullmatch("([0-9]+) log lines were lost while the log was not read", text):
            number += int(lost[1])
        else:
            assert text == f"line {number}"
            number += 1
            lines += 1
    assert MOST_WAITING < lines < 2 * MOST_WAITING
    assert not stream.getvalue()


def test_a_level_below_debug_has_the_lowest_priority() -> None:
    assert priority_of(1) == 7


def test_another_stream_than_the_journals_is_not_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")
        assert not is_journal(file)
        stat = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        assert is_journal(file)
    assert not is_journal(io.StringIO())
