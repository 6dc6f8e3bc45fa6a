"""What is drawn on a terminal, seen by a small terminal of our own."""

import io
import logging
import os
import re
import shutil

import pytest

from webntpd.cli.terminal import LiveView, Progress, output_fault


class Screen(io.StringIO):
    """A terminal: it understands what LiveView and Progress write, and nothing else."""

    def isatty(self) -> bool:
        return True

    @property
    def rows(self) -> list[str]:
        rows, row, column = [""], 0, 0
        for token in re.findall(r"\x1b\[\d*[FHJK]|\n|\r|[^\x1b\n\r]+", self.getvalue()):
            match token[0], token[-1]:
                case "\n", _:
                    row, column = row + 1, 0
                    rows += [""] * (row == len(rows))
                case "\r", _:
                    column = 0
                case "\x1b", "F":
                    row, column = row - int(token[2:-1]), 0
                    assert row >= 0, "above the top of the screen"
                case "\x1b", "H":
                    row = column = 0
                case "\x1b", "K":
                    rows[row] = rows[row][:column]
                case "\x1b", "J":
                    rows[row:] = [rows[row][:column]]
                case _:
                    end = column + len(token)
                    rows[row] = rows[row][:column] + token + rows[row][end:]
                    column = end
        return rows


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """That of the terminal, which a test may change."""
    now = {"columns": 80, "lines": 24}
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size(now.values()))
    return now


def test_a_block_is_drawn_in_the_place_of_the_one_before() -> None:
    screen = Screen()
    view = LiveView(screen)
    view.show(["one", "two"])
    assert screen.rows == ["one", "two", ""]
    view.show(["three"])
    assert screen.rows == ["three", ""]


def test_what_is_written_stays_above_the_block() -> None:
    screen = Screen()
    view = LiveView(screen)
    view.write("before\n")
    view.show(["block"])
    logging.StreamHandler(view).emit(logging.makeLogRecord({"msg": "log"}))
    view.flush()
    assert screen.rows == ["before", "log", "block", ""]
    view.show(["new block"])
    assert screen.rows == ["before", "log", "new block", ""]


def test_a_line_never_wraps() -> None:
    screen = Screen()
    LiveView(screen).show(["x" * 100])
    assert screen.rows == ["x" * 80, ""]


def test_a_block_is_never_higher_than_the_terminal() -> None:
    screen = Screen()
    view = LiveView(screen)
    for _ in range(3):
        view.show([str(number) for number in range(50)])
    assert screen.rows == [*map(str, range(23)), ""]


def test_a_terminal_of_another_size_is_drawn_anew(size: dict[str, int]) -> None:
    screen = Screen()
    view = LiveView(screen)
    view.show(["x" * 80, "two"])
    size["columns"] = 40  # what was one row may be two now
    view.show(["y" * 80, "two"])
    assert screen.rows == ["y" * 40, "two", ""]
    view.show(["z", "two"])
    assert screen.rows == ["z", "two", ""]


def test_without_a_terminal_each_line_is_printed_once() -> None:
    stream = io.StringIO()
    view = LiveView(stream)
    view.show(["heading", "a 1"])
    view.write("a line of the log\n")
    view.show(["heading", "a 2"])
    assert stream.getvalue() == "heading\na 1\na line of the log\na 2\n"


def test_progress_replaces_its_line_and_goes_away() -> None:
    screen = Screen()
    progress = Progress(screen)
    progress.show("1 of 2")
    progress.show("2 of 2")
    assert screen.rows == ["2 of 2"]
    progress.show("")
    assert screen.rows == [""]


def test_progress_is_not_for_files() -> None:
    stream = io.StringIO()
    Progress(stream).show("1 of 2")
    assert not stream.getvalue()


def test_an_error_about_another_file_is_no_fault_of_the_output() -> None:
    assert output_fault(OSError(28, "No space left on device", "/var/log/x")) is None
    assert output_fault(OSError(13, "Permission denied")) is None
