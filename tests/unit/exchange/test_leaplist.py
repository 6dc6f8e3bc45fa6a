"""The leap-seconds list: when a newer one is wanted, which one is taken, and its files."""

import logging
import resource
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.fakes.server import Visitor, serve
from tests.unit.leap.days import NEW_YEAR_2017_NS
from tests.unit.leap.test_list import NTP_TO_UNIX, PUBLISHED, leap_file
from webntpd.exchange import leaplist
from webntpd.exchange.leaplist import (
    FIRST_DELAY,
    HISTORY,
    MAX_SIZE,
    NEAR_NS,
    PERIOD,
    LeapSource,
    RefusedError,
    checked,
    download,
    is_due,
    keep_fresh,
    newest_leap_list,
    renewed,
    replace,
)
from webntpd.leap.list import LeapList, parse_leap_list
from webntpd.ntp.readings import NS_PER_S, LeapNotice

NEW = parse_leap_list(PUBLISHED)
NOW = NEW.expires_ns - 200 * 86_400 * NS_PER_S
OLD = LeapList(0, NOW - 1, NEW.leaps)
ROWS = [line for line in PUBLISHED.decode().splitlines() if line[:1].isdigit()]


def with_row(number: int, row: str) -> list[str]:
    return [row if at == number else each for at, each in enumerate(ROWS, 1)]


@asynccontextmanager
async def serving(reply: bytes) -> AsyncIterator[str]:
    """The URL of a server that answers everything with those bytes."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(reply)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/leap-seconds.list"
        nursery.cancel_scope.cancel()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        len(body),
        body,
    )


@pytest.mark.parametrize(
    ("leap_list", "due"),
    [
        (None, True),
        (OLD, True),
        (LeapList(0, NOW + NEAR_NS - 1, NEW.leaps), True),
        (LeapList(0, NOW + NEAR_NS, NEW.leaps), False),
    ],
    ids=["none", "expired", "about to expire", "good"],
)
def test_a_list_is_renewed_when_it_is_missing_or_about_to_expire(
    leap_list: LeapList | None, due: bool
) -> None:
    assert is_due(leap_list, NOW) is due


def test_that_a_list_has_expired_is_said(caplog: pytest.LogCaptureFixture) -> None:
    is_due(OLD, NOW)
    assert "has expired" in caplog.text


@pytest.mark.parametrize("old", [None, OLD])
def test_a_newer_list_that_agrees_is_taken(old: LeapList | None) -> None:
    assert checked(PUBLISHED, old, NOW) == NEW


@pytest.mark.parametrize(
    ("data", "old", "now_ns", "reason"),
    [
        (PUBLISHED[:-20], OLD, NOW, "line"),
        (PUBLISHED.replace(b"37", b"38"), OLD, NOW, "line"),
        (b"<html>", None, NOW, "line|list"),
        (PUBLISHED, NEW, NOW, "no newer"),
        (PUBLISHED, None, NEW.expires_ns, "no newer"),
        (leap_file(["2272060800 10", "2287785600 11"]), None, NOW, "history"),
        (leap_file(with_row(14, "2698099200 23")), None, NOW, "history"),  # a day late
        (leap_file(with_row(28, "3692217600 35")), None, NOW, "history"),  # deleted, not inserted
        (leap_file([*ROWS, "3692217600 38"]), None, NOW, "line 31: not later"),
        (leap_file([*ROWS, "4070908800 39"]), None, NOW, "line 31: TAI - UTC steps by 2 s"),
        (leap_file(ROWS, expires="3960835200"), None, NOW, "line 2: the list expires before"),
        (PUBLISHED.replace(b"#h\t4", b"#h\t5"), None, NOW, "hash does not fit"),
        (PUBLISHED.replace(b"#h", b"#x"), None, NOW, "no #h line"),
        (PUBLISHED.replace(b"#@", b"#x"), None, NOW, "no #@ line"),
        (b"", None, NOW, "no #. line"),
        (leap_file(ROWS, expires="3995395201"), None, NOW, "400 days after its update"),
        (PUBLISHED, None, NEW.updated_ns - 1, "update is in the future"),
        (
            PUBLISHED,
            LeapList(0, NOW, (*NEW.leaps, LeapNotice(37, NEW_YEAR_2017_NS * 2, 1))),
            NOW,
            "contradicts",
        ),
    ],
)
def test_another_is_refused(data: bytes, old: LeapList | None, now_ns: int, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        checked(data, old, now_ns)


def test_the_history_is_what_the_published_list_tells() -> None:
    assert NEW.leaps == HISTORY


def test_a_leap_second_to_come_is_taken() -> None:
    announced = leap_file([*ROWS, "4007750400 38"])
    assert checked(announced, OLD, NOW).leaps[-1] == LeapNotice(37, 1_798_761_600 * NS_PER_S, 1)


async def test_a_list_is_fetched_and_kept(tmp_path: Path) -> None:
    cache = tmp_path / "state" / "leap-seconds.list"
    async with serving(ok(PUBLISHED)) as url:
        assert await renewed(LeapSource(url, cache), OLD, NOW) == NEW
    assert [(path.name, path.read_bytes()) for path in listed(cache)] == [(cache.name, PUBLISHED)]


def listed(cache: Path) -> list[Path]:
    return list(cache.parent.iterdir())


async def test_a_bad_download_changes_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "leap-seconds.list"
    replace(cache, b"before")
    async with serving(ok(PUBLISHED[:-20])) as url:
        with pytest.raises(RefusedError):
            await renewed(LeapSource(url, cache), OLD, NOW)
    assert [path.read_bytes() for path in listed(cache)] == [b"before"]


async def test_a_list_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    async with serving(ok(PUBLISHED)) as url:
        source = LeapSource(url, tmp_path / "file" / "leap-seconds.list")
        assert await renewed(source, None, NOW) == NEW
    assert "cannot be kept" in caplog.text


def test_a_full_disk_leaves_the_cache_as_it_was(tmp_path: Path) -> None:
    cache = tmp_path / "leap-seconds.list"
    replace(cache, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # a write then ends as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            replace(cache, PUBLISHED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.read_bytes() for path in listed(cache)] == [b"before"]


def test_a_cache_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    (target / "by a directory").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        replace(target, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (ok(bytes(MAX_SIZE + 1)), f"more than {MAX_SIZE} bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_SIZE * 2), "the reply exceeds"),
        (ok(PUBLISHED)[:-20], "hung up"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"nonsense\r\n\r\n", "illegal status line"),
        (b"", "hung up"),
    ],
    ids=["not found", "too large", "without end", "cut short", "no location", "no HTTP", "closed"],
)
async def test_what_is_no_download_is_refused(reply: bytes, reason: str) -> None:
    async with serving(reply) as url:
        with pytest.raises(RefusedError, match=reason):
            await download(url)


@pytest.mark.parametrize("url", ["nonsense", "http://[", "http://a:x/", "http://\udcff/"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(RefusedError):
        await download(url)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "gopher://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/dev/null"),
    ],
)
async def test_an_environment_that_is_no_good_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(RefusedError):
        await download("https://127.0.0.1:1/")


async def test_a_server_that_never_answers_is_given_up(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaplist, "TIMEOUT", 1.0)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(pass_time, mock_clock)
        with pytest.raises(RefusedError, match="within 1 s"):
            await download(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/")
        nursery.cancel_scope.cancel()


async def dripping(stream: trio.SocketStream) -> None:
    """Send a header without end, a byte a second."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        await stream.send_all(b"x")
        await trio.sleep(1)


async def test_a_server_that_drips_is_given_up_and_holds_no_thread(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    autojump_clock.autojump_threshold = 0.01
    threads = threading.active_count()
    hung_up = trio.Event()

    async def drip(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await dripping(stream)
        hung_up.set()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, drip, listeners)
    began = trio.current_time()
    with pytest.raises(RefusedError, match="within 30 s"):
        await download(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
    assert trio.current_time() - began < 31
    await hung_up.wait()
    assert threading.active_count() == threads


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_a_redirect_is_followed() -> None:
    async with serving(ok(PUBLISHED)) as url, serving(redirect(url)) as first:
        assert await download(first) == PUBLISHED


async def test_a_redirect_from_https_to_http_is_refused(
    nursery: trio.Nursery,
    context: ssl.SSLContext,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))  # the system's store, to OpenSSL
    async with serving(ok(PUBLISHED)) as url:

        async def script(visitor: Visitor) -> None:
            await visitor.request()
            await visitor.send(redirect(url))

        secure = await serve(nursery, script, context=context)
        with pytest.raises(RefusedError, match="https to http"):
            await download(secure.url("https"))


@pytest.mark.parametrize("location", ["", "/", "ftp://127.0.0.1/", "http://[", "http://"])
async def test_a_redirect_that_leads_nowhere_is_refused(location: str) -> None:
    async with serving(redirect(location)) as url:
        with pytest.raises(RefusedError):
            await download(url)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:1080"), ("SSL_CERT_FILE", "/nonexistent")],
)
async def test_a_bad_environment_refuses_the_download_and_raises_nothing_else(
    nursery: trio.Nursery,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    secure = await serve(nursery, Visitor.until_closed, context=context)
    with pytest.raises(RefusedError):
        await download(secure.url("https"))


async def pass_time(mock_clock: trio.testing.MockClock) -> None:
    while True:
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(0.25)


async def test_the_list_is_looked_at_once_a_day(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    lists: list[LeapList] = [OLD]
    looked: list[float] = []
    outcomes: list[Callable[[], LeapList]] = [refused, lambda: NEW]

    async def fake(source: LeapSource, old: LeapList | None, now_ns: int) -> LeapList:
        assert (source.url, old, now_ns) == ("http://x/", OLD, NOW)
        looked.append(trio.current_time())
        return outcomes.pop(0)()

    async def adopt(source: LeapSource, new: LeapList) -> None:
        assert source.url == "http://x/"
        lists.append(new)

    monkeypatch.setattr(leaplist, "renewed", fake)
    start = trio.current_time()
    with trio.move_on_after(FIRST_DELAY + 5 * PERIOD):
        await keep_fresh(LeapSource("http://x/", Path("x")), lambda: lists[-1], adopt, lambda: NOW)
    assert [at - start for at in looked] == [FIRST_DELAY, FIRST_DELAY + PERIOD]
    assert lists == [OLD, NEW]
    assert "is not used: bad" in caplog.text
    assert "renewed from http://x/" in caplog.text


async def test_without_a_url_the_list_is_looked_at_all_the_same(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def adopt(*_: object) -> None:
        raise AssertionError

    with trio.move_on_after(FIRST_DELAY + 2.5 * PERIOD):
        await keep_fresh(LeapSource("", Path("x")), lambda: OLD, adopt, lambda: NOW)
    assert caplog.text.count("has expired") == 3
    assert len(caplog.records) == 3


def refused() -> LeapList:
    raise RefusedError("bad")


# -- the files -------------------------------------------------------------------------------

SHORTER = leap_file(
    ["2272060800 10", "2287785600 11"], expires=str(NEW.expires_ns // NS_PER_S + NTP_TO_UNIX - 1)
)


@pytest.mark.parametrize(
    ("system", "fetched"),
    [
        (PUBLISHED, SHORTER),
        (SHORTER, PUBLISHED),
        (PUBLISHED, None),
        (None, PUBLISHED),
        (b"nonsense", PUBLISHED),
        (PUBLISHED, b"nonsense"),
    ],
)
def test_the_list_that_is_good_for_longer_is_used(
    tmp_path: Path, system: bytes | None, fetched: bytes | None
) -> None:
    paths = tmp_path / "system", tmp_path / "fetched"
    for path, data in zip(paths, (system, fetched), strict=True):
        if data is not None:
            path.write_bytes(data)
    assert newest_leap_list(*paths) == NEW


def test_without_any_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert newest_leap_list(tmp_path / "a", tmp_path / "b") is None
    assert newest_leap_list(tmp_path / "a", None) is None
    assert caplog.text.count("no leap-seconds list") == 2
