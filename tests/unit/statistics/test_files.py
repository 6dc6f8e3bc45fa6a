"""Statistics files on a real file system."""

import errno
import logging
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.unit.status.snapshots import GOOD, SYNCHRONISED, WALL_NS, ago
from webntpd.ntp.readings import NS_PER_S
from webntpd.statistics.files import (
    MOST_WAITING,
    DayFiles,
    StatisticsLog,
    StatisticsParameters,
    append,
    day_of,
)
from webntpd.statistics.lines import File, Record
from webntpd.status.snapshot import Status

DAY_NS = 86_400 * NS_PER_S
TODAY = "20231114"  # WALL_NS


def record(line: str, *, days: int = 0, file: File = File.PEERSTATS) -> Record:
    return Record(file, WALL_NS + days * DAY_NS, line)


def files_in(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(directory.iterdir())}


def test_a_day_begins_at_midnight_utc() -> None:
    midnight_ns = WALL_NS // DAY_NS * DAY_NS
    assert day_of(midnight_ns - 1) == date(2023, 11, 13)
    assert day_of(midnight_ns) == date(2023, 11, 14)


def test_records_are_appended_to_the_file_of_their_kind_and_day(tmp_path: Path) -> None:
    files = DayFiles(StatisticsParameters(tmp_path))
    files.write([record("a"), record("b"), record("r", file=File.RAWSTATS), record("c", days=1)])
    files.write([record("d", days=1)])
    assert files_in(tmp_path) == {
        "peerstats.20231114": "a\nb\n",
        "peerstats.20231115": "c\nd\n",
        "rawstats.20231114": "r\n",
    }


def test_only_our_own_old_files_are_removed(tmp_path: Path) -> None:
    kept = ["peerstats.20231112", "loopstats.20200101", "peerstats", "peerstats.20200101.gz"]
    removed = ["peerstats.20231111", "rawstats.20200101"]
    for name in kept + removed:
        (tmp_path / name).touch()
    DayFiles(StatisticsParameters(tmp_path, days=2)).write([record("a")])
    assert set(files_in(tmp_path)) == {*kept, f"peerstats.{TODAY}"}


def test_old_files_are_removed_when_a_day_begins(tmp_path: Path) -> None:
    files = DayFiles(StatisticsParameters(tmp_path, days=1))
    for day in range(4):
        files.write([record("a", days=day)])
    assert set(files_in(tmp_path)) == {"peerstats.20231116", "peerstats.20231117"}


def test_a_missing_directory_is_warned_of_once_and_used_when_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    directory = tmp_path / "missing"
    files = DayFiles(StatisticsParameters(directory))
    files.write([record("a"), record("b")])
    files.write([record("c")])
    assert caplog.messages == [f"no statistics in {directory}: No such file or directory"]
    directory.mkdir()
    files.write([record("d")])
    files.write([record("e")])
    assert caplog.messages[1:] == [f"statistics in {directory} again; 3 lines were lost"]
    assert files_in(directory) == {f"peerstats.{TODAY}": "d\ne\n"}


def test_a_directory_that_may_not_be_written_to_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"peerstats.{TODAY}").mkdir()  # which not even root can write to
    DayFiles(StatisticsParameters(tmp_path)).write([record("a")])
    assert caplog.messages == [f"no statistics in {tmp_path}: Is a directory"]


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes: the kernel writes what fits, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_line_for_which_there_is_no_room_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "file"
    append(path, "first\n")
    with disk_of(8), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        append(path, "second\n")
    append(path, "third\n")
    assert path.read_text() == "first\nthird\n"


def test_a_full_disk_is_warned_of_and_used_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = DayFiles(StatisticsParameters(tmp_path))
    with disk_of(3):
        for line in ("a", "b", "c"):
            files.write([record(line)])
    files.write([record("d")])
    assert caplog.messages == [
        f"no statistics in {tmp_path}: No space left on device",
        f"statistics in {tmp_path} again; 2 lines were lost",
    ]
    assert files_in(tmp_path) == {f"peerstats.{TODAY}": "a\nd\n"}


def test_a_disk_with_room_for_one_file_only_is_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = DayFiles(StatisticsParameters(tmp_path))
    with disk_of(20):
        for _ in range(4):
            files.write([record("four samples", file=File.RAWSTATS), record("one")])
    files.write([record("four samples", file=File.RAWSTATS), record("one")])
    assert caplog.messages == [
        f"no statistics in {tmp_path}: No space left on device",
        f"statistics in {tmp_path} again; 3 lines were lost",
    ]
    assert files_in(tmp_path)[f"peerstats.{TODAY}"] == "one\n" * 5


# -- as a service of the daemon --------------------------------------------------------------


def snapshot(seconds_ago: float) -> Status:
    """The snapshot after a report that came so long before SYNCHRONISED."""
    report = replace(GOOD, at_ns=ago(seconds_ago))
    peer = replace(SYNCHRONISED.peers[0], report=report)
    wall_ns = WALL_NS - round(seconds_ago * NS_PER_S)
    return replace(SYNCHRONISED, at_ns=ago(seconds_ago), wall_ns=wall_ns, peers=(peer,))


def lines_of(directory: Path) -> list[str]:
    path = directory / f"peerstats.{TODAY}"
    return path.read_text().splitlines() if path.exists() else []


async def until_written(directory: Path, count: int) -> list[str]:
    """The lines, once a thread has written so many."""
    with trio.fail_after(30):
        while len(lines := lines_of(directory)) < count:
            await trio.lowlevel.checkpoint()
    return lines


async def test_what_is_new_in_snapshots_is_written(tmp_path: Path, nursery: trio.Nursery) -> None:
    statistics = StatisticsLog(StatisticsParameters(tmp_path))
    nursery.start_soon(statistics.run)
    for seconds_ago in (9, 9, 5):
        statistics.observe(snapshot(seconds_ago))
    lines = await until_written(tmp_path, 2)
    assert [line.split()[1] for line in lines] == ["79991.000", "79995.000"]
    statistics.observe(snapshot(5))  # which has nothing new
    await trio.testing.wait_all_tasks_blocked()
    assert lines_of(tmp_path) == lines


async def test_a_burst_of_snapshots_is_written_whole(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    statistics = StatisticsLog(StatisticsParameters(tmp_path))
    nursery.start_soon(statistics.run)
    for number in range(200):
        statistics.observe(snapshot(1000 - number))
    assert len(await until_written(tmp_path, 200)) == 200
    assert not caplog.messages


async def until_logged(caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """The messages, once a thread has logged so many."""
    with trio.fail_after(30):
        while len(caplog.messages) < count:
            await trio.lowlevel.checkpoint()
    return caplog.messages


async def test_a_disk_that_hangs_holds_up_nothing_and_the_lost_lines_are_counted(
    tmp_path: Path,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    pipe = tmp_path / f"peerstats.{TODAY}"
    os.mkfifo(pipe)  # opening it for writing hangs until it is opened for reading
    statistics = StatisticsLog(StatisticsParameters(tmp_path))
    nursery.start_soon(statistics.run)
    statistics.observe(snapshot(20_000))
    await trio.testing.wait_all_tasks_blocked()  # the thread has the first line
    for number in range(MOST_WAITING + 3):
        statistics.observe(snapshot(19_000 - number))
    assert caplog.messages == [f"no statistics in {tmp_path}: the disk is too slow"]
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    pipe.unlink()  # the disk is well again
    assert (await until_logged(caplog, 3))[1:] == [
        f"no statistics in {tmp_path}: {os.strerror(errno.ESPIPE)}",  # the first line
        f"statistics in {tmp_path} again; 4 lines were lost",
    ]
    os.close(reader)
    assert len(lines_of(tmp_path)) == MOST_WAITING


def test_an_old_file_that_cannot_be_removed_costs_no_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old = tmp_path / "peerstats.20200101"
    old.mkdir()  # which not even root can unlink
    files = DayFiles(StatisticsParameters(tmp_path))
    files.write([record("a")])
    files.write([record("b")])
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("old statistics cannot be removed: ")
    assert lines_of(tmp_path) == ["a", "b"]
