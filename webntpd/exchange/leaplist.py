"""The leap-seconds list: read from its files, and downloaded when it is about to expire.

A download is used only if it is a whole list (its own SHA-1 says so), has the known history, agrees
with the list at hand, expires later, and expires at most 400 days after its own update.
It is kept in a cache, which is replaced at once or not at all.
"""

import logging
import math
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import httpx
import trio

from webntpd.clock.clocks import SystemClock
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.dial import Dialer
from webntpd.exchange.httpclient import Answer, HttpClient
from webntpd.keys import SAME, Form, Help
from webntpd.leap.list import LeapError, LeapList, parse_leap_list
from webntpd.names import Kind
from webntpd.ntp.readings import NS_PER_S, LeapNotice, Rejection
from webntpd.protocol.rejected import Rejected, one_line

logger = logging.getLogger(__name__)

FIRST_DELAY = 300.0
PERIOD = 86400.0
"""Time before the first check of the list, and between two checks, s."""
NEAR_NS = 30 * 86400 * NS_PER_S
"""A list is renewed if it expires within this time, ns. The next one comes out months before."""
MAX_SIZE = 65536
"""Largest download, bytes. Real ones have about 5 KB."""
TIMEOUT = 30.0
"""Longest time of a download, s."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
MAX_VALIDITY_NS = 400 * 86400 * NS_PER_S
"""Longest time from a list's update to its expiry, ns: IERS looks ahead for a year. A list that
claims more would keep out all later lists, which expire earlier."""

_MONTHS = """
1972-07 1973-01 1974-01 1975-01 1976-01 1977-01 1978-01 1979-01 1980-01 1981-07 1982-07 1983-07
1985-07 1988-01 1990-01 1991-01 1992-07 1993-07 1994-07 1996-01 1997-07 1999-01 2006-01 2009-01
2012-07 2015-07 2017-01
"""  # that a leap second was inserted before
HISTORY = tuple(
    LeapNotice(tai_utc, round(datetime.fromisoformat(f"{month}-01T00Z").timestamp()) * NS_PER_S, 1)
    for tai_utc, month in enumerate(_MONTHS.split(), start=10)
)
"""The leap seconds that every list begins with."""


class RefusedError(Exception):
    """A download that is not used, with the reason."""


@dataclass(frozen=True, slots=True)
class LeapSource:
    """The URL of newer lists (none are fetched if it is empty), and the file that keeps them."""

    url: Annotated[
        str,
        Form.LIST_URL,
        Help(
            "Where a newer list is fetched from, once a day while the one at hand has expired or is"
            " about to, and the file that keeps it. Only a whole list that agrees with the history"
            " is taken. With an empty url nothing is fetched."
        ),
    ] = "https://hpiers.obspm.fr/iers/bul/bulc/ntp/leap-seconds.list"
    cache: Annotated[Path, SAME] = Path("/var/lib/webntpd/leap-seconds.list")


def newest_leap_list(
    path: Path, fetched: Path | None, held: LeapList | None = None
) -> LeapList | None:
    """The list that expires last: the one at `path`, the fetched one, or the one held."""
    found = [held, load_leap_list(path)]
    if fetched is not None and fetched.exists():
        found.append(load_leap_list(fetched))
    lists = [each for each in found if each is not None]
    return max(lists, key=lambda each: each.expires_ns, default=None)


def load_leap_list(path: Path) -> LeapList | None:
    """The verified list at `path`. None, with a log line, if there is none or it is bad."""
    try:
        return parse_leap_list(path.read_bytes())
    except FileNotFoundError:
        logger.info("no leap-seconds list at %s: leap seconds come from the peers", path)
    except (OSError, LeapError) as error:
        logger.warning("leap-seconds list %s is not used: %s", path, error)
    return None


async def keep_fresh(
    source: LeapSource,
    at_hand: Callable[[], LeapList | None],
    adopt: Callable[[LeapSource, LeapList], Awaitable[None]],
    now_ns: Callable[[], int],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Check the list once a day, and renew it when it is due. Runs until cancelled.

    `at_hand` returns the list in use, `adopt` takes a newer one, `now_ns` reads the wall clock.
    """
    task_status.started()
    await trio.sleep(FIRST_DELAY)
    while True:
        old = at_hand()
        if is_due(old, now_ns()) and source.url:
            try:
                new = await renewed(source, old, now_ns())
            except RefusedError as error:
                logger.warning("leap-seconds list from %s is not used: %s", source.url, error)
            else:
                logger.info("leap-seconds list renewed from %s", source.url)
                await adopt(source, new)
        await trio.sleep(PERIOD)


def is_due(leap_list: LeapList | None, now_ns: int) -> bool:
    """Whether it is time for a newer list. Logs a warning if the list has expired."""
    if leap_list is not None and leap_list.expires_ns <= now_ns:
        logger.warning(
            "the leap-seconds list has expired: a leap second announced since is not in it"
        )
    return leap_list is None or leap_list.expires_ns - now_ns < NEAR_NS


async def renewed(source: LeapSource, old: LeapList | None, now_ns: int) -> LeapList:
    """Fetch a list, check it, and put it into the cache. Raises RefusedError."""
    data = await download(source.url)
    new = checked(data, old, now_ns)
    try:
        await trio.to_thread.run_sync(replace, source.cache, data)
    except OSError as error:
        logger.warning("leap-seconds list cannot be kept in %s: %s", source.cache, error.strerror)
    return new


def checked(data: bytes, old: LeapList | None, now_ns: int) -> LeapList:
    """The list in a download, if it may take the place of the old one. Raises RefusedError."""
    try:
        new = parse_leap_list(data)
    except LeapError as error:
        raise RefusedError(str(error)) from error
    if new.updated_ns > now_ns:
        raise RefusedError("its update is in the future")
    if new.expires_ns - new.updated_ns > MAX_VALIDITY_NS:
        raise RefusedError("it expires more than 400 days after its update")
    if new.expires_ns <= max(now_ns, old.expires_ns if old else 0):
        raise RefusedError("it is no newer")
    if new.leaps[: len(HISTORY)] != HISTORY:
        raise RefusedError("it is not the history up to 2017")
    if old is not None and new.leaps[: len(old.leaps)] != old.leaps:
        raise RefusedError("it contradicts the list at hand")
    return new


async def download(url: str) -> bytes:
    """Fetch at most MAX_SIZE bytes within TIMEOUT s. Raises RefusedError.

    Redirects are followed, but never from https to http.
    """
    try:
        with trio.fail_after(TIMEOUT):
            return await _follow(httpx.URL(url))
    except trio.TooSlowError as error:
        raise RefusedError(f"not complete within {TIMEOUT:.0f} s") from error
    except Rejected as error:
        status = "status " if error.rejection is Rejection.HTTP_STATUS else ""
        raise RefusedError(f"{status}{error.detail}") from error
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: a host that is no IDN
        raise RefusedError(one_line(str(error))) from error


async def _follow(url: httpx.URL) -> bytes:
    for _ in range(MAX_REDIRECTS + 1):
        answer = await _get(url)
        if len(answer.body) > MAX_SIZE:
            raise RefusedError(f"more than {MAX_SIZE} bytes")
        if answer.status == httpx.codes.OK:
            return answer.body
        if "location" not in answer.headers:
            raise RefusedError(f"status {answer.status}")
        target = url.join(answer.headers["location"])
        if url.scheme == "https" and target.scheme == "http":
            raise RefusedError("a redirect from https to http")
        url = target
    raise RefusedError(f"more than {MAX_REDIRECTS} redirects")


async def _get(url: httpx.URL) -> Answer:
    if url.scheme not in {"https", "http"} or not url.host:
        raise RefusedError(f"{one_line(str(url))} is no http(s):// URL")
    # The steps have no time limit of their own: download() limits the whole.
    parameters = ExchangeParameters(str(url), Kind.HTTP, math.inf, kernel_timestamps=False)
    clock = SystemClock()
    client = HttpClient(Dialer(parameters, clock), math.inf, clock, max_body=MAX_SIZE)
    try:
        return await client.request("GET", url.raw_path, REDIRECTS | {httpx.codes.OK})
    finally:
        client.close()


def replace(path: Path, data: bytes) -> None:
    """Replace a file's content, whole or not at all, even if the program dies meanwhile."""
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
