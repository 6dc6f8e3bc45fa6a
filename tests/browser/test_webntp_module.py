"""The module /webntp.js, imported by a page of its own server or of another, in a real browser."""

import json
import sys
from typing import Any

import pytest

from tests.browser.chromium import Browser
from tests.browser.test_clock_page import ADDRESS, URL, serve
from tests.docs.markdown import Document
from tests.system.harness import ROOT, Sandbox, eventually

pytestmark = pytest.mark.system

TOKEN = "1700000000.000001"


def run(browser: Browser, body: str) -> Any:
    """What a script returns that has the module's exports in scope."""
    exports = "ClockFilter, WebNTPClient, errorBound, sampleOf"
    return browser.evaluate(
        f"import('{URL}/webntp.js').then(async ({{ {exports} }}) => {{ {body} }})"
    )


@pytest.fixture
def page(sandbox: Sandbox, browser: Browser) -> Browser:
    """A page of the server that does nothing by itself."""
    serve(sandbox, "--local")
    browser.open(f"{URL}/json")
    eventually(lambda: browser.evaluate("document.readyState") == "complete", "the page")
    return browser


def judge(browser: Browser, text: str, sent: float = 1000.0, received: float = 1010.0) -> Any:
    """The sample in a reply, or why there is none."""
    return run(
        browser,
        f"try {{ return sampleOf({json.dumps(text)}, '{TOKEN}', {sent}, {received}); }}"
        "catch (error) { return `${error.name}: ${error.message}`; }",
    )


def test_a_reply_with_four_timestamps_gives_offset_and_delay(page: Browser) -> None:
    reply = (
        f'{{"it": {TOKEN}, "rt": 1700000000.504, "st": 1700000000.506, "maxerr": 0.003,'
        ' "leap": 36, "next": 1483228800, "step": 1, "sync": true}'
    )
    sample = judge(page, reply)
    # Arrived 4 ms after it was sent, left 4 ms before it was received: the middle is 1005.
    assert sample["offset"] == pytest.approx(1_700_000_000_505 - 1005, abs=0.001)
    assert sample["delay"] == pytest.approx(8, abs=0.001)
    assert sample["serverError"] == 3
    assert sample["leap"] == {"instant": 1_483_228_800_000, "step": 1, "taiUtc": 36}


@pytest.mark.parametrize("member", ["st", "time"])
def test_a_reply_of_an_older_server_gives_a_sample_too(page: Browser, member: str) -> None:
    sample = judge(page, f'{{"it": {TOKEN}, "{member}": 1700000000.505}}')
    assert sample["delay"] == 10
    assert sample["leap"] is None


def test_replies_that_are_not_to_be_believed_are_refused(page: Browser) -> None:
    replies = {
        "": "not JSON",
        "<!doctype html>": "not JSON",
        "null": "no time in it",
        "[1]": "no time in it",
        "{}": "no time in it",
        '{"st": "1700000000.5"}': "no time in it",
        '{"st": -1}': "no time in it",
        '{"st": 1e300}': "no time in it",
        '{"st": 1700000000.1000000}': "rounded wrongly",
        '{"it": 1699999999.9, "st": 1700000000.5}': "another request",
        '{"it": "x", "st": 1700000000.5}': "another request",
        '{"st": 1700000000.5, "sync": false}': "not synchronised",
        '{"rt": 1700000000.4, "st": 1700000000.5}': "before it was sent",
        " " * 4097: "too large",
    }
    for text, reason in replies.items():
        found = judge(page, text)
        assert isinstance(found, str), text
        assert found.startswith("WebNTPError: ")
        assert reason in found, text


def test_a_time_with_nine_digits_is_no_rounding_fault(page: Browser) -> None:
    assert judge(page, '{"st": 1700000000.100000000}')["delay"] == 10


def test_the_filter_believes_the_sample_with_the_least_error_of_the_last_eight(
    page: Browser,
) -> None:
    best = run(
        page,
        """const filter = new ClockFilter();
        const found = [];
        for (const [at, delay] of [5, 1, 7, 7, 7, 7, 7, 6, 8, 9].entries()) {
            filter.add({ offset: delay, delay, at, serverError: 0, leap: null });
            found.push(filter.best(at).delay);
        }
        return [found, filter.size, filter.full];""",
    )
    assert best == [[5, 1, 1, 1, 1, 1, 1, 1, 1, 6], 8, True]


def test_an_old_sample_gives_way_to_a_newer_one_that_time_has_made_the_better(
    page: Browser,
) -> None:
    choices = run(
        page,
        """const filter = new ClockFilter();
        const sample = (delay, at) => ({ offset: 0, delay, at, serverError: 0, leap: null });
        filter.add(sample(10, 0));
        filter.add(sample(11, 20_000));  // 0.5 ms worse
        const soon = filter.best(20_000).delay;
        filter.add(sample(11, 40_000));  // of the drift of 40 s at 15 ppm, 0.6 ms, 20 s are more
        return [soon, filter.best(40_000).at];""",
    )
    assert choices == [10, 40_000]


def test_samples_contradict_each_other_when_their_error_bounds_do_not_meet(page: Browser) -> None:
    verdicts = run(
        page,
        """const filter = new ClockFilter();
        const sample = (offset) => ({ offset, delay: 10, at: 0, serverError: 0, leap: null });
        const empty = filter.contradicts(sample(0));
        filter.add(sample(0));
        return [empty, filter.contradicts(sample(10)), filter.contradicts(sample(11))];""",
    )
    assert verdicts == [False, False, True]


def test_a_page_of_another_origin_may_use_the_module_if_the_server_lets_it(
    sandbox: Sandbox, browser: Browser
) -> None:
    serve(sandbox, "--local", "--allow-cross-origin")
    browser.open(f"{URL.replace('127.0.0.1', 'localhost')}/json")
    eventually(lambda: browser.evaluate("location.hostname") == "localhost", "the page")
    state = run(
        browser,
        """const client = new WebNTPClient();
        client.start();
        await new Promise((resolve) => client.addEventListener("sample", resolve));
        const states = [client.state, client.transport];
        client.stop();
        return [...states, client.state, Number.isFinite(client.now())];""",
    )
    assert state == ["synchronised", "websocket", "stopped", True]


def test_the_page_that_the_documentation_shows_tells_the_time(
    sandbox: Sandbox, browser: Browser
) -> None:
    (example,) = (each for each in Document(ROOT / "docs/clock.md").blocks if each.kind == "html")
    pages = sandbox.path / "pages"
    pages.mkdir()
    page = example.text.replace("https://time.example.org", URL)
    (pages / "index.html").write_text(page, encoding="utf-8")
    serve(sandbox, "--local", "--allow-cross-origin")
    sandbox.start(sys.executable, "-m", "http.server", "8081", "--directory", str(pages))
    origin = f"http://{ADDRESS.replace('8080', '8081')}/"
    eventually(lambda: opens(browser, origin), "the page")
    eventually(lambda: browser.text("time").endswith(" ms (synchronised)"), "the time")


def opens(browser: Browser, url: str) -> bool:
    browser.open(url)
    return bool(browser.evaluate("document.title === 'The time'"))
