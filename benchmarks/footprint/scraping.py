"""Prometheus, as far as a daemon notices: someone who scrapes /metrics every now and then."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

PERIOD = 1.0
"""Time between two scrapes, s."""
TIMEOUT = 10.0


@contextmanager
def scraping(address: str) -> Iterator[None]:
    """Scrape, at least once, until the block ends. Raises what went wrong, once it has ended."""
    done = threading.Event()
    failures: list[Exception] = []

    def scrape() -> None:
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT).read()
            except OSError as error:
                failures.append(error)
            if done.wait(PERIOD):
                return

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield
    finally:
        done.set()
        scraper.join()
    if failures:
        raise failures[0]
