"""Limits repeated log lines: lines that a remote can cause again and again are counted instead.

Each kind of line of each peer has a bucket of tokens that fills slowly. The line that takes the
last token says that further lines are only counted. The first line after that says how many there
were.
"""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST = 10
"""Lines of one kind that may come at once."""
INTERVAL = 60.0
"""Time after which one more line may come, s."""


@dataclass(slots=True)
class Bucket:
    """The tokens of one kind of line at the time `at`, s, and the lines held back since."""

    tokens: float
    at: float
    held_back: int = 0


class RateLimit(logging.Filter):
    """A filter for a log handler. The number of kinds is bounded by the program and its peers."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._buckets: dict[Hashable, Bucket] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show the line. Its text tells the number of lines held back before it."""
        bucket = self._bucket_of(record)
        if bucket.tokens < 1:
            bucket.held_back += 1
            return False
        bucket.tokens -= 1
        if bucket.held_back:
            add(record, f" ({bucket.held_back} like this were not shown)")
            bucket.held_back = 0
        elif bucket.tokens < 1:
            add(record, " (more like this are counted, not shown)")
        return True

    def _bucket_of(self, record: logging.LogRecord) -> Bucket:
        now = self._now()
        fields = getattr(record, "fields", {})
        key = (record.name, record.msg, fields.get("event"), fields.get("peer"))
        bucket = self._buckets.setdefault(key, Bucket(BURST, now))
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / INTERVAL)
        bucket.at = now
        return bucket


def add(record: logging.LogRecord, text: str) -> None:
    """Append a text to that of a record."""
    record.msg = record.getMessage() + text
    record.args = None
