"""Where log lines go, and in what form: text for people, fields for the journal, or JSON.

A record may have `fields`, a mapping of names to values, by logging's `extra`.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from webntpd.log.handlers import StreamHandler, Writable
from webntpd.log.journal import JournalHandler, PlainFormatter, is_journal
from webntpd.log.ratelimit import RateLimit
from webntpd.names import LOG_FORMAT_VARIABLE, LogFormat

QUIET = ("httpcore", "httpx", "trio-websocket")
"""Libraries that log every request. We log the important events ourselves."""


class TextFormatter(PlainFormatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")


class JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger, message, the record's fields, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        made = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            made["traceback"] = self.formatException(record.exc_info)
        return json.dumps(made)


def set_up(view: Writable | None = None) -> None:
    """Send everything that is logged to standard error, to the journal, or to a view.

    The environment says in what form.
    """
    handler = _handler(view, os.environ.get(LOG_FORMAT_VARIABLE, LogFormat.AUTO))
    handler.addFilter(RateLimit())
    logging.basicConfig(handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _handler(view: Writable | None, form: str) -> logging.Handler:
    if view is None and form == LogFormat.AUTO and is_journal(sys.stderr):
        return JournalHandler(sys.stderr)
    handler = StreamHandler(view or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == LogFormat.JSON else TextFormatter())
    return handler


def set_level(name: str) -> None:
    """Take the configuration's `level`; a reload may change it."""
    logging.getLogger().setLevel(name.upper())
