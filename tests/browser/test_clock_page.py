"""The clock page in a real browser, whose clock is wrong by what the server's is shifted by."""

import sys
import time
from pathlib import Path

import pytest

from tests.browser.chromium import Browser
from tests.system.harness import Program, Sandbox, eventually, unavailable

pytestmark = pytest.mark.system

ADDRESS = "127.0.0.1:8080"
URL = f"http://{ADDRESS}"
SHIFT = 2.5  # s
CLOSE = 5.0  # ms: the page must know the time so well
LEAP_LIST = Path("/usr/share/zoneinfo/leap-seconds.list")

MARKS = "document.querySelectorAll('#plot .mark').length"
# From here on `begunAnew` is whether the plot has been emptied, down to one new sample at most.
WATCH_PLOT = f"""
globalThis.begunAnew = false;
new MutationObserver(() => {{ begunAnew ||= {MARKS} <= 1; }})
    .observe(document.getElementById("plot"), {{ childList: true }});
"""
SET_CLOCK = """
const honest = Date.now;
Date.now = () => honest.call(Date) + 3_600_000;
"""
# What the page's clock shows, less the server's time, as the next frame is drawn.
SHOWN_ERROR = """
new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => {
    const shown = document.getElementById("clock");
    requestAnimationFrame(() =>
        resolve(Date.parse(shown.dateTime) - (Date.now() + %r)));
})))
"""


def serve(sandbox: Sandbox, *options: str, shift: float = SHIFT) -> Program:
    argv = ("-m", "webntpd", "serve", ADDRESS, f"--clock-shift={shift}", *options)
    server = sandbox.start(sys.executable, *argv)
    eventually(lambda: "serving time on" in server.output, "a server")
    return server


def synchronised(browser: Browser) -> bool:
    return browser.text("state") == "synchronised"


def knows_the_shift(browser: Browser, shift: float) -> bool:
    """Whether the page knows the time closely enough; what it then knows must be right."""
    offset, error = browser.value("offset"), browser.value("error")
    if offset is None or error is None or error > CLOSE:
        return False
    return abs(offset - shift * 1e3) <= error


def has_filled_its_filter(browser: Browser) -> bool:
    return bool(browser.evaluate(f"{MARKS} >= 8"))


@pytest.mark.parametrize("path", ["/clock", "/"])
def test_the_page_shows_the_servers_time_and_the_console_stays_clean(
    sandbox: Sandbox, browser: Browser, path: str
) -> None:
    serve(sandbox, "--local")
    browser.open(URL + path)
    eventually(lambda: synchronised(browser), "synchronised")
    eventually(lambda: knows_the_shift(browser, SHIFT), "the offset of the browser's clock")
    shown_error = SHOWN_ERROR % (SHIFT * 1e3)
    eventually(lambda: abs(browser.evaluate(shown_error)) < 20, "the right time on the clock")
    assert browser.text("sense") == "behind"
    assert browser.text("transport") == "Asked by websocket."
    eventually(lambda: has_filled_its_filter(browser), "a filter's worth of samples")
    assert browser.complaints() == []


def test_the_page_recovers_when_the_server_restarts_with_another_time(
    sandbox: Sandbox, browser: Browser
) -> None:
    server = serve(sandbox, "--local")
    browser.open(f"{URL}/clock")
    eventually(lambda: knows_the_shift(browser, SHIFT), "the offset")
    eventually(lambda: has_filled_its_filter(browser), "a filter's worth of samples")
    browser.evaluate(WATCH_PLOT)
    server.stop()
    eventually(lambda: browser.text("state").startswith("server out of reach"), "holdover")
    assert knows_the_shift(browser, SHIFT)  # the clock runs on by itself
    serve(sandbox, "--local", shift=-SHIFT)
    eventually(lambda: browser.evaluate("begunAnew"), "no sample of before the restart")
    eventually(lambda: synchronised(browser), "synchronised again")
    eventually(lambda: knows_the_shift(browser, -SHIFT), "the new offset")
    assert browser.text("sense") == "ahead"
    complaints = browser.complaints()  # that nobody answered, which the browser says by itself
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in complaints)


def test_the_page_asks_by_http_where_websockets_do_not_get_through(
    sandbox: Sandbox, browser: Browser
) -> None:
    serve(sandbox, "--local")
    blocked = "globalThis.WebSocket = class { constructor() { throw new Error('blocked'); } };"
    browser.open(f"{URL}/clock", before=blocked)
    eventually(lambda: browser.text("transport") == "Asked by http.", "a sample")
    eventually(lambda: knows_the_shift(browser, SHIFT), "the offset")
    assert browser.complaints() == []


def test_the_page_measures_anew_when_the_browsers_clock_is_set(
    sandbox: Sandbox, browser: Browser
) -> None:
    serve(sandbox, "--local")
    browser.open(f"{URL}/clock")
    eventually(lambda: knows_the_shift(browser, SHIFT), "the offset")
    eventually(lambda: has_filled_its_filter(browser), "a filter's worth of samples")
    browser.evaluate(WATCH_PLOT + SET_CLOCK)
    eventually(lambda: browser.evaluate("begunAnew"), "no sample of before")
    eventually(lambda: knows_the_shift(browser, SHIFT - 3600), "the new offset")
    eventually(lambda: synchronised(browser), "synchronised")


def test_an_announced_leap_second_is_shown(sandbox: Sandbox, browser: Browser) -> None:
    if not LEAP_LIST.exists():
        unavailable(str(LEAP_LIST), "apt install tzdata")
    noon_before_the_leap = 1_483_185_600  # 2016-12-31T12:00Z
    serve(sandbox, "--local", shift=noon_before_the_leap - time.time())
    browser.open(f"{URL}/clock")
    notice = "A leap second will be inserted at the end of 2016-12-31 UTC."
    eventually(lambda: browser.text("notice") == notice, "the notice")
    assert browser.text("tai") == "TAI is 36 s ahead of UTC."
    assert browser.evaluate("document.getElementById('notice').hidden") is False


def test_the_page_fits_every_screen_and_follows_the_visitors_scheme(
    sandbox: Sandbox, browser: Browser
) -> None:
    serve(sandbox, "--local")
    browser.open(f"{URL}/clock")
    eventually(lambda: synchronised(browser), "synchronised")
    for width, height in ((1280, 800), (740, 360), (360, 740), (320, 568)):
        browser.show_as(width=width, height=height)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    backgrounds = set()
    for scheme in ("light", "dark"):
        browser.show_as(width=360, height=740, scheme=scheme)
        backgrounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2
