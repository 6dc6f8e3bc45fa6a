"""Keeps log lines from flowing: what a remote can cause again and again is counted instead.

Each kind of line, for each peer, has a bucket of tokens that fills up slowly. The line that takes
the last token says that more are only counted, and the first one after that how many there were.
"""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST = 10
"""Lines of a kind that may come at once."""
INTERVAL = 60.0
"""After them one in such a time, s."""


@dataclass(slots=True)
class Bucket:
    """Of one kind of line: tokens as of an instant, s, and the lines held back since the last."""

    tokens: float
    at: float
    held_back: int = 0


class RateLimit(logging.Filter):
    """A filter of a handler. The kinds of line are as many as the program's and its peers."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._buckets: dict[Hashable, Bucket] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be shown; what was held back is added to its text."""
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
    """Put a text behind that of a record."""
    record.msg = record.getMessage() + text
    record.args = None
