"""Where log lines go, and in what form."""

import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from webntpd import log


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Gives back the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # not to be closed by basicConfig
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_terminal_gets_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    log.set_level("info")
    logging.getLogger("webntpd.x").info("an event of %s", "note")
    logging.getLogger("webntpd.x").debug("a detail")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO    an event of note")


def test_the_journal_gets_priorities_on_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        stat = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        monkeypatch.setattr(sys, "stderr", journal)
        log.set_up()
        log.set_level("debug")
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, 50):
            logging.getLogger("webntpd.x").log(level, "one\ntwo")
        journal.seek(0)
        assert journal.read().splitlines() == [
            f"<{priority}>{text}" for priority in (7, 6, 4, 3, 2) for text in ("one", "two")
        ]


def test_a_level_below_debug_has_the_lowest_priority() -> None:
    assert log.priority_of(1) == 7


def test_another_stream_than_the_journals_is_not_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with (tmp_path / "file").open("w") as file:
        assert not log.is_journal(file)
    assert not log.is_journal(io.StringIO())


def test_a_view_takes_the_lines_instead(capsys: pytest.CaptureFixture[str]) -> None:
    view = io.StringIO()
    log.set_up(view)
    logging.getLogger("webntpd.x").error("an event")
    assert view.getvalue().endswith(" ERROR   an event\n")
    assert not capsys.readouterr().err


def test_libraries_do_not_tell_of_every_request(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    log.set_level("debug")
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("httpcore.connection").debug("connect_tcp.started")
    assert not capsys.readouterr().err
