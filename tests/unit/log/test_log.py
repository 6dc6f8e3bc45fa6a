"""Where log lines go, and in what form."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from webntpd import log
from webntpd.log.handlers import StreamHandler
from webntpd.log.journal import JournalHandler
from webntpd.log.ratelimit import BURST
from webntpd.names import LOG_FORMAT_VARIABLE, LogFormat


@pytest.fixture(autouse=True)
def _root_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives back the root logger as it was; the environment says nothing of it."""
    monkeypatch.delenv(LOG_FORMAT_VARIABLE, raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # not to be closed by basicConfig
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_terminal_gets_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    log.set_level("info")
    logging.getLogger("webntpd.x").info("an event of %s", "note")
    logging.getLogger("webntpd.x").debug("a detail")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO    an event of note")


def test_what_a_remote_said_is_one_line_and_moves_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.set_up()
    logging.getLogger("webntpd.x").error("peer: %s", "a\n2026-01-01 ERROR forged\x1b[2J")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "peer: a\N{REPLACEMENT CHARACTER}2026-01-01 ERROR forged\N{REPLACEMENT CHARACTER}[2J"
    )


def test_a_fault_of_the_program_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    fail("webntpd.x")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(" ERROR   task failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


def fail(logger: str) -> None:
    try:
        int("x")
    except ValueError:
        logging.getLogger(logger).exception("task failed")


def test_json_has_an_object_a_line_with_the_records_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LOG_FORMAT_VARIABLE, LogFormat.JSON)
    log.set_up()
    fields = {"event": "rejection", "peer": "one"}
    logging.getLogger("webntpd.x").warning("peer %s", "\n", extra={"fields": fields})
    fail("webntpd.y")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "level": "warning",
        "logger": "webntpd.x",
        "message": "peer \n",
        "event": "rejection",
        "peer": "one",
    }
    assert second["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'x'")


def handlers() -> list[type]:
    return [type(handler) for handler in logging.getLogger().handlers]


def test_the_journal_gets_its_own_protocol_unless_text_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w") as file:
        stat = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        monkeypatch.setattr(sys, "stderr", file)
        log.set_up()
        assert handlers() == [JournalHandler]
        log.set_up(io.StringIO())
        assert handlers() == [StreamHandler]
        for form in (LogFormat.TEXT, LogFormat.JSON):
            monkeypatch.setenv(LOG_FORMAT_VARIABLE, form)
            log.set_up()
            assert handlers() == [StreamHandler]


def test_what_repeats_itself_is_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    for number in range(BURST + 5):
        logging.getLogger("webntpd.x").warning("event %d", number)
    logging.getLogger("webntpd.x").warning("another event")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == BURST + 1
    assert lines[-1].endswith("another event")


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
