"""Fetches a newer leap-seconds list when the one at hand is about to expire.

A download replaces nothing unless it is a whole list (its own SHA-1 says so), tells the history
that everybody knows, agrees with the list at hand, and is good for longer than it.
It is kept in a cache, which is replaced at once or not at all.
"""

import logging
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import trio

from webntpd.leap import LeapError, LeapList, parse_leap_list
from webntpd.ntp.types import NS_PER_S, LeapNotice

log = logging.getLogger(__name__)

FIRST_DELAY = 300.0
PERIOD = 86400.0
"""Time to the first look at the list, and between two later ones, s."""
NEAR_NS = 30 * 86400 * NS_PER_S
"""A list that expires within this is to be renewed: the next comes out months before."""
MAX_SIZE = 65536
"""Largest download, bytes. Real ones have about 5 KB."""
TIMEOUT = 30.0
"""For the whole download, s."""

_MONTHS = """
1972-07 1973-01 1974-01 1975-01 1976-01 1977-01 1978-01 1979-01 1980-01 1981-07 1982-07 1983-07
1985-07 1988-01 1990-01 1991-01 1992-07 1993-07 1994-07 1996-01 1997-07 1999-01 2006-01 2009-01
2012-07 2015-07 2017-01
"""  # that a leap second was inserted before
HISTORY = tuple(
    LeapNotice(tai_utc, round(datetime.fromisoformat(f"{month}-01T00Z").timestamp()) * NS_PER_S, 1)
    for tai_utc, month in enumerate(_MONTHS.split(), start=10)
)
"""What every list begins with."""


class RefusedError(Exception):
    """A download that is not used, with the reason."""


@dataclass(frozen=True, slots=True)
class LeapSource:
    """Where newer lists come from, nowhere if that is empty, and the file that keeps them."""

    url: str
    cache: Path


async def keep_fresh(
    source: LeapSource,
    at_hand: Callable[[], LeapList | None],
    adopt: Callable[[LeapList], Awaitable[None]],
    now_ns: Callable[[], int],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Look at the list once a day, and renew it when that is due. Never ends.

    `at_hand` tells the list in use, `adopt` takes a newer one, `now_ns` reads the wall clock.
    """
    task_status.started()
    await trio.sleep(FIRST_DELAY)
    while True:
        old = at_hand()
        if is_due(old, now_ns()) and source.url:
            try:
                new = await renewed(source, old, now_ns())
            except RefusedError as error:
                log.warning("leap-seconds list from %s is not used: %s", source.url, error)
            else:
                log.info("leap-seconds list renewed from %s", source.url)
                await adopt(new)
        await trio.sleep(PERIOD)


def is_due(leap_list: LeapList | None, now_ns: int) -> bool:
    """Whether a newer list is wanted. One that has expired is said to be."""
    if leap_list is not None and leap_list.expires_ns <= now_ns:
        log.warning("the leap-seconds list has expired: a leap second announced since is not in it")
    return leap_list is None or leap_list.expires_ns - now_ns < NEAR_NS


async def renewed(source: LeapSource, old: LeapList | None, now_ns: int) -> LeapList:
    """Fetch a list, check it, and put it into the cache. Raises RefusedError."""
    data = await download(source.url)
    new = checked(data, old, now_ns)
    try:
        await trio.to_thread.run_sync(replace, source.cache, data)
    except OSError as error:
        log.warning("leap-seconds list cannot be kept in %s: %s", source.cache, error.strerror)
    return new


def checked(data: bytes, old: LeapList | None, now_ns: int) -> LeapList:
    """The list in a download, if it may take the place of the old one. Raises RefusedError."""
    try:
        new = parse_leap_list(data)
    except LeapError as error:
        raise RefusedError(str(error)) from error
    if new.expires_ns <= max(now_ns, old.expires_ns if old else 0):
        raise RefusedError("it is no newer")
    if new.leaps[: len(HISTORY)] != HISTORY:
        raise RefusedError("it is not the history up to 2017")
    if old is not None and new.leaps[: len(old.leaps)] != old.leaps:
        raise RefusedError("it contradicts the list at hand")
    return new


async def download(url: str) -> bytes:
    """What is at a URL, of bounded size, in bounded time. Raises RefusedError."""
    with trio.move_on_after(TIMEOUT):
        return await trio.to_thread.run_sync(_download, url, abandon_on_cancel=True)
    raise RefusedError(f"not complete within {TIMEOUT:.0f} s")


def _download(url: str) -> bytes:
    # In a thread, since an httpx.AsyncClient leaves asynchronous generators behind when it stops
    # in the middle of a body.
    data = b""
    plain = {"Accept-Encoding": "identity"}  # what unpacks may unpack to any size
    try:
        with httpx.stream(
            "GET", url, headers=plain, follow_redirects=True, timeout=TIMEOUT
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise RefusedError(f"status {response.status_code}")
            for piece in response.iter_raw():
                data += piece
                if len(data) > MAX_SIZE:
                    raise RefusedError(f"more than {MAX_SIZE} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        # The last three: httpx dislikes what the environment says of proxies or certificates.
        raise RefusedError(str(error) or type(error).__name__) from error
    return data


def replace(path: Path, data: bytes) -> None:
    """Put new content into a file, whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        temporary = Path(new.name)
        try:
            new.write(data)
            new.flush()
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
