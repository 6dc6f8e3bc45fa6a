"""The page at /clock and its files, as browsers ask for them; nobody else's requests change."""

import json
import re
from importlib import resources

import pytest

from tests.unit.server.parts import T0, Answer, Parts, answer
from webntpd.clock.adjtime import ClockState
from webntpd.server.pages import PATHS

ACCEPT = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"
REFERENCE = re.compile(r'(?:href|src)="([^"]+)"|from "([^"]+)"')


def request(target: str, headers: str = "", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


def ask(target: str, headers: str = "", method: str = "GET", parts: Parts | None = None) -> Answer:
    connection = (parts or Parts()).connection()
    return answer(connection.receive(request(target, headers, method), T0), method)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/clock", "text/html; charset=utf-8"),
        ("/clock.css", "text/css; charset=utf-8"),
        ("/clock.js", "text/javascript; charset=utf-8"),
        ("/clock.svg", "image/svg+xml"),
        ("/plot.js", "text/javascript; charset=utf-8"),
        ("/webntp.js", "text/javascript; charset=utf-8"),
    ],
)
def test_the_files_of_the_page_are_served(path: str, content_type: str) -> None:
    found = ask(path)
    assert found.status == 200
    assert found.headers["content-type"] == content_type
    assert found.headers["x-content-type-options"] == "nosniff"
    assert int(found.headers["content-length"]) == len(found.body) > 100


def test_every_packaged_file_has_a_path_and_every_path_a_file() -> None:
    files = {file.name for file in (resources.files("webntpd.server") / "static").iterdir()}
    assert files == {path[1:] if "." in path else f"{path[1:]}.html" for path in PATHS}


def test_the_page_refers_to_nothing_but_its_own_files() -> None:
    for path in PATHS:
        text = ask(path).body.decode()
        names = [name for pair in REFERENCE.findall(text) for name in pair if name]
        # The module's own documentation shows how another context imports it.
        local = [name for name in names if not name.startswith("https://time.example/")]
        assert {f"/{name.removeprefix('./')}" for name in local} <= PATHS


def test_the_page_allows_no_script_or_style_but_files_of_this_server() -> None:
    found = ask("/clock")
    policy = found.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert not any("unsafe" in rule or "*" in rule for rule in policy)
    text = found.body.decode()
    assert re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", text) is None


def test_a_browser_that_opens_the_root_gets_the_page() -> None:
    found = ask("/", ACCEPT)
    assert found.body == ask("/clock").body
    assert found.headers["vary"] == "Accept"  # a cache must not give it to clients of the time


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", ""),
        ("/", "Accept: */*\r\n"),
        ("/", "Accept: application/json, text/html-not\r\n"),
        ("/?1489217288.328757", ACCEPT),
        ("/json", ACCEPT),
        ("/clocks", ACCEPT),
        ("/clock/", ACCEPT),
        ("/webntp_js", ""),
    ],
)
def test_other_requests_are_still_answered_with_the_time(target: str, headers: str) -> None:
    assert "st" in json.loads(ask(target, headers).body)


def test_a_head_at_the_root_is_time_over_https_even_for_a_browser() -> None:
    assert "x-httpstime" in ask("/", ACCEPT, "HEAD").headers


def test_a_head_of_the_page_has_no_body() -> None:
    found = ask("/clock", method="HEAD")
    assert (found.status, found.body) == (200, b"")
    assert int(found.headers["content-length"]) > 100


def test_a_websocket_at_the_root_is_opened_whatever_it_accepts() -> None:
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    output = Parts().connection().receive(request("/", ACCEPT + upgrade), T0)
    assert output.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("shape", ["{}", "W/{}", '"other", {}', "*"])
def test_a_browser_that_has_the_page_is_told_so(shape: str) -> None:
    fresh = ask("/clock")
    tag = fresh.headers["etag"]
    found = ask("/clock", f"If-None-Match: {shape.format(tag)}\r\n")
    assert (found.status, found.body) == (304, b"")
    assert found.headers["etag"] == tag
    assert found.headers["cache-control"] == fresh.headers["cache-control"] == "no-cache"


def test_a_browser_that_has_another_version_gets_this_one() -> None:
    assert ask("/clock", 'If-None-Match: "other"\r\n').status == 200


def test_the_connection_ends_with_a_page_so_that_one_read_never_makes_many() -> None:
    parts = Parts()
    connection = parts.connection()
    found = answer(connection.receive(request("/webntp.js") * 50, T0))
    assert found.headers["connection"] == "close"
    assert connection.closing
    assert parts.counters.status().requests == 1


@pytest.mark.parametrize("allowed", [True, ("https://page.example",)])
def test_pages_that_may_ask_may_import_the_module_too(allowed: bool | tuple[str, ...]) -> None:
    origin = "Origin: https://page.example\r\n"
    found = ask("/webntp.js", origin, parts=Parts(allow_cross_origin=allowed))
    assert "access-control-allow-origin" in found.headers
    assert "access-control-allow-origin" not in ask("/webntp.js", origin).headers


def test_the_page_is_there_while_the_time_is_withheld() -> None:
    parts = Parts(state=ClockState(False, 16.0), require_sync=True)
    assert ask("/clock", parts=parts).status == 200
    assert ask("/json", parts=parts).status == 503


@pytest.mark.parametrize("headers", ["", ACCEPT])
def test_a_page_comes_even_after_the_same_headers_have_asked_for_the_time(headers: str) -> None:
    parts = Parts()
    context = parts.connection()
    assert "st" in json.loads(answer(context.receive(request("/json", headers), T0)).body)
    assert answer(context.receive(request("/json", headers), T0)).status == 200
    target = "/" if headers else "/clock"
    found = answer(context.receive(request(target, headers), T0))
    assert found.headers["content-type"].startswith("text/html")
