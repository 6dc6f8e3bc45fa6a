"""Where log lines go: human text on standard error, with priorities under systemd's journal."""

import logging
import os
import sys
from typing import Protocol, TextIO

# sd-daemon(3): the journal takes the priority from the line's beginning.
PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)

QUIET = ("httpcore", "httpx", "trio-websocket")
"""Libraries that tell of every request; what matters of it we say ourselves."""


class Writable(Protocol):
    """As much of a stream as a handler needs."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class JournalFormatter(logging.Formatter):
    """`<4>text`, the priority on each line; the journal has the time already."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{priority_of(record.levelno)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def priority_of(level: int) -> int:
    """The syslog priority of a logging level."""
    return next((priority for least, priority in PRIORITIES if level >= least), 7)


def is_journal(stream: TextIO) -> bool:
    """Whether a stream leads to the journal (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def set_up(view: Writable | None = None) -> None:
    """Send everything that is logged to standard error, or to a view of the terminal."""
    handler = logging.StreamHandler(view or sys.stderr)
    if view is None and is_journal(sys.stderr):
        handler.setFormatter(JournalFormatter())
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
        )
    logging.basicConfig(handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def set_level(name: str) -> None:
    """Take the configuration's `level`; a reload may change it."""
    logging.getLogger().setLevel(name.upper())
