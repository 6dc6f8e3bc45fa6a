"""Lines for systemd's journal by its own protocol, which has room for more than a text.

Each line is a datagram of fields (systemd's "Native Journal Protocol"): NAME=value, or where the
value has a newline the name, a newline, the length in eight bytes, and the value.
"""

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from webntpd.log.handlers import StreamHandler, UnblockedHandler
from webntpd.status.text import printable

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "webntpd"
MOST_TEXT = 32_768
"""Most characters of a value; a datagram can hold that many."""

PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)


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


class PlainFormatter(logging.Formatter):
    """Makes each record one line: no text of a remote can forge lines or control a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        record.message = printable(record.message)
        return super().formatMessage(record)


class PriorityFormatter(PlainFormatter):
    """`<4>text`, the priority on each line (sd-daemon(3)); the journal has the time already."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{priority_of(record.levelno)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


class JournalHandler(UnblockedHandler):
    """Sends records with their fields, as WEBNTPD_PEER and so on, to the journal.

    While its socket is not there they go to `stream`, which the journal reads as well, without
    the fields.
    """

    def __init__(self, stream: TextIO, path: Path = SOCKET) -> None:
        super().__init__()
        self.setFormatter(PlainFormatter())
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._stream = StreamHandler(stream)
        self._stream.setFormatter(PriorityFormatter())

    def put(self, record: logging.LogRecord, *, wait: bool) -> bool:
        datagram = encode(journal_fields(record, self.format(record)))
        try:
            self._socket.sendto(datagram, 0 if wait else socket.MSG_DONTWAIT, str(self._path))
        except BlockingIOError:
            return False
        except OSError:
            return self._stream.put(record, wait=wait)
        return True

    def close(self) -> None:
        self._socket.close()
        super().close()


def journal_fields(record: logging.LogRecord, text: str) -> dict[str, str]:
    """The journal's fields for a record; `text` is its message with the traceback."""
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return {
        "MESSAGE": text,
        "PRIORITY": str(priority_of(record.levelno)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "LOGGER": record.name,
        **{f"WEBNTPD_{name.upper()}": str(value) for name, value in fields.items()},
    }


def encode(fields: Mapping[str, str]) -> bytes:
    """The datagram of fields; a value that is too long is cut off."""
    return b"".join(_encode_field(name, value[:MOST_TEXT]) for name, value in fields.items())


def _encode_field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
