"""Writes statistics files as ntpd does: one for each day (UTC), the old ones removed.

A thread writes all lines that wait at once, and keeps nothing open, so a directory that is removed,
filled up or made again is no special case. Lines that cannot be written are lost and counted; the
daemon goes on.
"""

import errno
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Annotated

import trio
from annotated_types import Ge, Le
from trio.lowlevel import ParkingLot

from webntpd.keys import Form, Help
from webntpd.names import DEFAULT_STATISTICS
from webntpd.ntp.readings import NS_PER_S
from webntpd.statistics.lines import File, Record, Recorder
from webntpd.status.snapshot import Status

logger = logging.getLogger(__name__)

DAY_FILE = re.compile(rf"({'|'.join(File)})\.(\d{{8}})", re.ASCII)
MOST_WAITING = 10_000
"""Lines that wait while the disk is busy; later ones are lost. They take about 4 MB."""
TOO_SLOW = "the disk is too slow"
NO_STATISTICS = "no statistics in %s: %s"


@dataclass(frozen=True, slots=True)
class StatisticsParameters:
    """Where the files are, and for how many days besides the present one they are kept."""

    directory: Annotated[
        Path,
        Form.DIRECTORY,
        Help(
            "Where to write peerstats and rawstats as ntpd does, one file a day, for `webntpd plot`"
            " and NTPsec's ntpviz. The service may write to this one. Without this key: nowhere.",
            example=str(DEFAULT_STATISTICS),
        ),
    ]
    days: Annotated[int, Ge(1), Le(36_500), Help("For how many days to keep them.")] = 30


class StatisticsLog:
    """Takes snapshots, and writes the lines that are new. A disk that hangs holds up only this."""

    def __init__(self, parameters: StatisticsParameters) -> None:
        self._directory = parameters.directory
        self._files = DayFiles(parameters)
        self._recorder = Recorder()
        self._waiting: list[Record] = []
        self._overflow = 0  # lines lost since the last write began
        self._writer = ParkingLot()

    def observe(self, status: Status) -> None:
        """Take the lines that are new in a snapshot, unless too many wait already."""
        new = self._recorder.new_in(status)
        room = MOST_WAITING - len(self._waiting)
        self._waiting += new[:room]
        if lost := len(new[room:]):
            if not self._overflow:
                logger.warning(NO_STATISTICS, self._directory, TOO_SLOW)
            self._overflow += lost
        if self._waiting:
            self._writer.unpark()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            if not self._waiting:
                await self._writer.park()
            records, self._waiting = self._waiting, []
            overflow, self._overflow = self._overflow, 0
            await trio.to_thread.run_sync(
                self._files.write, records, overflow, abandon_on_cancel=True
            )


class DayFiles:
    """The files of a directory. A trouble is logged when it comes, changes and goes.

    One thread at a time may write.
    """

    def __init__(self, parameters: StatisticsParameters) -> None:
        self._parameters = parameters
        self._trouble: str | None = None
        self._lost = 0
        self._cleaned: date | None = None

    def write(self, records: Iterable[Record], overflow: int = 0) -> None:
        """Append records to the files of their days.

        `overflow` lines after these were lost because the disk was too slow, which is logged.
        """
        if overflow:
            self._trouble = TOO_SLOW
            self._lost += overflow
        groups = groupby(sorted(records, key=file_of), file_of)  # sorted() keeps a file's order
        # Together: of a disk that is full, one file may still have room in its last block.
        reasons = [self._append(*key, [f"{each.line}\n" for each in new]) for key, new in groups]
        if reason := next(filter(None, reasons), None):
            self._tell(reason)
        else:
            self._no_trouble()

    def _append(self, file: File, day: date, lines: Sequence[str]) -> str | None:
        """Append lines to a file; why they are lost if they are."""
        try:
            append(self._parameters.directory / f"{file}.{day:%Y%m%d}", "".join(lines))
        except OSError as error:
            self._lost += len(lines)
            return error.strerror or str(error)
        self._remove_old(day)
        return None

    def _tell(self, reason: str) -> None:
        """Log the reason why nothing can be written, unless it is logged already."""
        if reason != self._trouble:
            self._trouble = reason
            logger.warning(NO_STATISTICS, self._parameters.directory, reason)

    def _no_trouble(self) -> None:
        if self._trouble:
            directory = self._parameters.directory
            logger.info("statistics in %s again; %d lines were lost", directory, self._lost)
            self._trouble, self._lost = None, 0

    def _remove_old(self, today: date) -> None:
        """Remove the files of days that are too long ago, once a day."""
        if today == self._cleaned:
            return
        self._cleaned = today
        oldest = today - timedelta(days=self._parameters.days)
        try:
            for path in self._parameters.directory.iterdir():
                found = DAY_FILE.fullmatch(path.name)
                if found and found[2] < f"{oldest:%Y%m%d}":
                    path.unlink()
        except OSError as error:
            logger.warning("old statistics cannot be removed: %s", error)


def file_of(record: Record) -> tuple[File, date]:
    """The kind and the day of a record's file."""
    return record.file, day_of(record.wall_ns)


def day_of(wall_ns: int) -> date:
    """The day (UTC) of an instant of the wall clock."""
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).date()


def append(path: Path, text: str) -> None:
    """Append to a file all of `text` or nothing. Raises OSError."""
    data = text.encode()
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        # A disk that fills up takes a part: a line must not be continued by a later one.
        if file.write(data) < len(data):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
