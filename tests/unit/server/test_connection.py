"""HTTP on one connection of the server, without sockets; h11's client side reads the replies."""

import json
import re
from collections.abc import Callable
from random import Random

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.server.parts import T0, Answer, Parts, answer, answers
from webntpd.protocol.wire import parse_reply
from webntpd.server.connection import Connection
from webntpd.server.http import MAX_BODY
from webntpd.server.parameters import Limits

ARRIVED = T0 + 5
TOKEN = "1489217288.328757"
GET = f"GET /json?{TOKEN} HTTP/1.1\r\nHost: time.example:8080\r\n\r\n".encode()
HEAD = b"HEAD /.well-known/time HTTP/1.1\r\nHost: x\r\n\r\n"

Feed = Callable[[Connection, bytes], bytes]


def whole(connection: Connection, data: bytes) -> bytes:
    return connection.receive(data, ARRIVED)


def byte_by_byte(connection: Connection, data: bytes) -> bytes:
    return b"".join(connection.receive(bytes([byte]), ARRIVED) for byte in data)


either_way = pytest.mark.parametrize("feed", [whole, byte_by_byte])


def ask(request: bytes, parts: Parts | None = None, method: str = "GET") -> Answer:
    return answer((parts or Parts()).connection().receive(request, ARRIVED), method)


@either_way
def test_a_get_is_answered_with_the_time(feed: Feed) -> None:
    connection = Parts().connection()
    found = answer(feed(connection, GET))
    assert found.status == 200
    assert found.headers["content-type"] == "application/json; charset=utf-8"
    assert found.headers["cache-control"] == "no-cache, no-store"
    assert found.headers["date"] == "Sat, 11 Mar 2017 09:27:52 GMT"
    assert int(found.headers["content-length"]) == len(found.body)
    members = json.loads(found.body, parse_float=str)
    assert members["id"] == "time.example:8080"
    assert members["it"] == TOKEN
    assert members["st"] == members["time"]
    reply = parse_reply(found.body)
    assert reply.rt_ns == ARRIVED
    assert reply.sync is True
    assert reply.max_error == 0.001
    assert not connection.closing


def test_the_time_of_sending_is_read_after_everything_else() -> None:
    parts = Parts()
    reply = parse_reply(ask(GET, parts).body)
    assert reply.st_ns == parts.clock.wall_ns


@pytest.mark.parametrize(
    "target", ["/", "/json", "/api/v1/json", "/a?", "http://time.example/json", "//"]
)
def test_every_path_is_answered_and_no_query_means_no_timestamp(target: str) -> None:
    found = ask(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (found.status, json.loads(found.body)["it"]) == (200, 0)


def test_a_timestamp_that_is_no_plain_number_is_normalised() -> None:
    found = ask(b"GET /?1.48e9 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b'"it":1480000000.000000000,' in found.body


@pytest.mark.parametrize(
    ("target", "host", "token"),
    [
        (f"http://other.example:81/json?{TOKEN}", "other.example:81", TOKEN),
        (f"HTTPS://other.example?{TOKEN}", "other.example", TOKEN),
        ("http://[::1]", "[::1]", "0"),
    ],
)
def test_a_whole_address_tells_host_path_and_query(target: str, host: str, token: str) -> None:
    found = ask(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    members = json.loads(found.body, parse_float=str, parse_int=str)
    assert (found.status, members["id"], members["it"]) == (200, host, token)


def test_the_path_of_a_whole_address_is_looked_up() -> None:
    found = ask(b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert json.loads(found.body) == {"healthy": True, "synchronised": True}


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "json",
        "/#",
        f"/json?{TOKEN}#now",
        "http:///json",
        "http://x/#now",
        "http://user@x/",
        "http://a:b/",
        "http:/x",
        "ftp://x/",
    ],
)
def test_a_target_that_is_none_is_a_bad_request(target: str) -> None:
    found = ask(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (found.status, found.headers["connection"]) == (400, "close")


@either_way
@pytest.mark.parametrize("lines", [1, 3])
def test_empty_lines_before_a_request_are_ignored(feed: Feed, lines: int) -> None:
    connection = Parts().connection()
    empty = b"\r\n" * lines
    with_body = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\na")
    output = feed(connection, empty + with_body + empty + GET + empty)
    assert [each.status for each in answers(output, "GET", "GET")] == [200, 200]
    assert not connection.closing
    assert connection.requesting  # so that it must go on within request_time


@pytest.mark.parametrize("query", ["abc", "NaN", "1e99", "1,2", "%31", "1489217288.3&x=1"])
def test_a_query_that_is_no_timestamp_is_a_bad_request(query: str) -> None:
    parts = Parts()
    found = ask(f"GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), parts)
    assert found.status == 400
    assert list(json.loads(found.body)) == ["error"]
    assert parts.counters.status().refusals == 1


@either_way
def test_pipelined_requests_are_answered_in_order(feed: Feed) -> None:
    connection = Parts().connection()
    requests = GET + HEAD + GET.replace(b"288", b"299")
    first, second, third = answers(feed(connection, requests), "GET", "HEAD", "GET")
    assert json.loads(first.body, parse_float=str)["it"] == TOKEN
    assert second.status == 204
    assert json.loads(third.body, parse_float=str)["it"] == "1489217299.328757"
    assert not connection.closing


def test_a_request_that_is_not_complete_waits_for_its_rest() -> None:
    connection = Parts().connection()
    assert answer(connection.receive(GET + GET[:-1], ARRIVED)).status == 200
    reply = parse_reply(answer(connection.receive(GET[-1:], ARRIVED + 7)).body)
    assert reply.rt_ns == ARRIVED + 7


@either_way
def test_a_head_is_answered_with_the_time_header(feed: Feed) -> None:
    parts = Parts()
    found = answer(feed(parts.connection(), HEAD), "HEAD")
    assert found.status == 204
    assert found.body == b""
    seconds, fraction = found.headers["x-httpstime"].split(".")
    assert int(seconds) * 10**9 + int(fraction) == parts.clock.wall_ns
    assert found.headers["cache-control"] == "no-cache"
    assert found.headers["access-control-allow-origin"] == "*"
    assert found.headers["access-control-expose-headers"] == "X-Httpstime"
    assert found.headers["date"] == "Sat, 11 Mar 2017 09:27:52 GMT"


def test_options_tells_the_methods() -> None:
    found = ask(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", method="OPTIONS")
    assert (found.status, found.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "access-control-allow-methods" not in found.headers


def test_options_answers_a_pre_flight_when_other_origins_are_allowed() -> None:
    request = (
        b"OPTIONS /json HTTP/1.1\r\nHost: x\r\nOrigin: https://page.example\r\n"
        b"Access-Control-Request-Method: GET\r\n\r\n"
    )
    found = ask(request, Parts(allow_cross_origin=True), method="OPTIONS")
    assert found.headers["access-control-allow-origin"] == "*"
    assert found.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH"])
def test_other_methods_are_not_allowed(method: str) -> None:
    connection = Parts().connection()
    request = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".encode()
    refused, served = answers(connection.receive(request + GET, ARRIVED), method, "GET")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert "error" in json.loads(refused.body)
    assert served.status == 200


@pytest.mark.parametrize("method", ["BREW", "get", "PROPFIND", "M-SEARCH"])
def test_unknown_methods_are_not_implemented(method: str) -> None:
    connection = Parts().connection()
    request = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".encode()
    refused, served = answers(connection.receive(request + GET, ARRIVED), method, "GET")
    assert (refused.status, served.status) == (501, 200)
    assert "error" in json.loads(refused.body)


def test_connect_opens_no_tunnel() -> None:
    connection = Parts().connection()
    output = connection.receive(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", ARRIVED)
    assert output.startswith(b"HTTP/1.1 405 ")


@either_way
def test_a_body_is_read_over_to_find_the_next_request(feed: Feed) -> None:
    length = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello")
    found = answers(feed(Parts().connection(), length + GET), "GET", "GET")
    assert [each.status for each in found] == [200, 200]


@either_way
def test_a_request_with_a_body_in_chunks_is_the_last(feed: Feed) -> None:
    connection = Parts().connection()
    chunked = GET.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
    found = answer(feed(connection, chunked + GET))
    assert (found.status, found.headers["connection"]) == (200, "close")
    assert connection.closing


def test_the_arrival_is_that_of_the_bodys_end() -> None:
    connection = Parts().connection()
    head = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n")
    assert connection.receive(head, ARRIVED) == b""
    reply = parse_reply(answer(connection.receive(b"x", ARRIVED + 9)).body)
    assert reply.rt_ns == ARRIVED + 9


@pytest.mark.parametrize(
    "request_",
    [
        f"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode(),
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{MAX_BODY + 1:x}\r\n".encode()
        + bytes(MAX_BODY + 1),
    ],
    ids=["declared", "chunked"],
)
def test_a_large_body_is_refused_and_the_connection_ends(request_: bytes) -> None:
    connection = Parts().connection()
    found = answer(connection.receive(request_, ARRIVED))
    assert (found.status, found.headers["connection"]) == (413, "close")
    assert "error" in json.loads(found.body)
    assert connection.closing
    assert connection.receive(GET, ARRIVED) == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD.replace(b"\r\n\r\n", f"\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode()), 413),
        (HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n?\r\n"), 400),
        (HEAD.replace(b"Host", b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\nHost"), 400),
        (HEAD.replace(b"\r\n", b"\n"), 400),
        (HEAD.replace(b"/1.1", b"/2.0"), 505),
    ],
)
@either_way
def test_a_refusal_of_a_head_has_no_body(request_: bytes, status: int, feed: Feed) -> None:
    found = answer(feed(Parts().connection(), request_), "HEAD")
    assert (found.status, found.body, found.headers["connection"]) == (status, b"", "close")


def with_header(size: int) -> bytes:
    """A request whose line and headers have that many bytes."""
    head, tail = b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n\r\n"
    return head + b"x" * (size - len(head) - len(tail)) + tail


@pytest.mark.parametrize(
    "request_",
    [
        with_header(Limits().header_size + 1),
        with_header(Limits().header_size + 100)[:-4],
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10000,
        b"GET /" + b"x" * 10000,
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 10000,
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX:" + b"x" * 10000,
    ],
    ids=["too long", "without end", "too many", "a long line", "a chunk's head", "a trailer"],
)
@either_way
def test_a_header_block_that_is_too_long_is_refused(request_: bytes, feed: Feed) -> None:
    connection = Parts().connection()
    found = answer(feed(connection, request_))
    assert (found.status, found.headers["connection"]) == (431, "close")
    assert connection.closing


@pytest.mark.parametrize(("fields", "status"), [(100, 200), (101, 431)])
def test_a_request_has_at_most_100_headers(fields: int, status: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X:\r\n" * (fields - 1) + b"\r\n"
    assert ask(request).status == status


@either_way
def test_a_header_block_that_is_just_short_enough_is_taken(feed: Feed) -> None:
    assert answer(feed(Parts().connection(), with_header(Limits().header_size))).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\n",
        b"\r\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
        b"GET / HTTP/1.1\rHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n folded: first\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: a\r\n\tfolded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    ],
)
@either_way
def test_what_is_no_http_is_a_bad_request_and_ends_the_connection(
    request_: bytes, feed: Feed
) -> None:
    connection = Parts().connection()
    found = answer(feed(connection, request_))
    assert (found.status, found.headers["connection"]) == (400, "close")
    assert "error" in json.loads(found.body)
    assert connection.closing


@pytest.mark.parametrize("lengths", [b"2\r\nContent-Length: 2", b"2, 2"])
def test_a_length_that_is_said_twice_is_one(lengths: bytes) -> None:  # RFC 9112 §6.3
    request = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: %b\r\n\r\nab" % lengths)
    found = answers(Parts().connection().receive(request + GET, ARRIVED), "GET", "GET")
    assert [each.status for each in found] == [200, 200]


@pytest.mark.parametrize(
    "fault",
    [
        b'\x00}{"',
        b'GET / HTTP/1.1\r\nX}{: "',
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n}{",
    ],
)
def test_what_came_is_not_sent_back(fault: bytes) -> None:
    found = ask(fault + b"\x00" * 500 + b"\r\n\r\n")
    assert found.status == 400
    assert len(found.body) < 100
    assert b"}{" not in found.body


def test_a_transfer_coding_that_is_not_known_is_not_implemented() -> None:
    found = ask(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n")
    assert found.status == 501


def test_replies_before_a_fault_are_still_sent() -> None:
    connection = Parts().connection()
    found = answers(connection.receive(GET + b"\x00\r\n\r\n", ARRIVED), "GET", "GET")
    assert [each.status for each in found] == [200, 400]


def test_http_2_is_not_spoken() -> None:
    connection = Parts().connection()
    output = connection.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ARRIVED)
    assert output.startswith(b"HTTP/1.1 505 ")
    assert connection.closing


@pytest.mark.parametrize(
    ("request_", "host"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", ""),
        (b"GET / HTTP/1.0\r\nHost: old.example\r\n\r\n", "old.example"),
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), "time.example:8080"),
    ],
)
def test_a_client_that_wants_one_reply_gets_it_and_the_end(request_: bytes, host: str) -> None:
    connection = Parts().connection()
    found = answer(connection.receive(request_, ARRIVED))
    assert (found.status, found.headers["connection"]) == (200, "close")
    assert json.loads(found.body)["id"] == host
    assert connection.closing


def test_a_client_that_waits_for_leave_to_send_a_body_gets_it_once() -> None:
    connection = Parts().connection()
    head = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert connection.receive(head, ARRIVED).startswith(b"HTTP/1.1 100 ")
    assert connection.receive(b"a", ARRIVED) == b""
    assert answer(connection.receive(b"b", ARRIVED)).status == 200


def test_a_body_that_would_be_too_large_gets_no_leave() -> None:
    request = f"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {MAX_BODY + 1}"
    found = ask(f"{request}\r\n\r\n".encode())
    assert found.status == 413


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        (False, "https://page.example", None),
        (True, "https://page.example", "*"),
        (True, None, "*"),
        (("https://page.example",), "https://page.example", "https://page.example"),
        (("https://page.example",), "https://other.example", None),
        (("https://page.example",), None, None),
    ],
)
def test_pages_of_other_origins_may_read_what_the_configuration_lets_them(
    allowed: bool | tuple[str, ...], origin: str | None, expected: str | None
) -> None:
    header = "" if origin is None else f"Origin: {origin}\r\n"
    found = ask(
        f"GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode(), Parts(allow_cross_origin=allowed)
    )
    assert found.status == 200
    assert found.headers.get("access-control-allow-origin") == expected


def test_an_upgrade_to_something_else_is_ignored() -> None:
    found = ask(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    assert found.status == 200


LONGEST_HOST = "a" * 255 + ":65535"


@pytest.mark.parametrize(
    "host",
    [
        "time.example",
        "a_b.example:8080",
        "a-b~!$&'()*+,;=%C3%BC",
        "192.0.2.7:80",
        "[2001:db8::1]:123",
        "[::ffff:192.0.2.7]",
        "[fe80::1%25eth0]:8080",  # httpx leaves the zone in
        "[v1.a:b]",
        "time.example:",
        "",
        LONGEST_HOST,
    ],
)
def test_a_host_is_echoed(host: str) -> None:
    found = ask(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (found.status, json.loads(found.body)["id"]) == (200, host)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    "host",
    [
        '"' * 7880,
        '"ü',
        "ü",
        "a b",
        "a/b",
        "a@b",
        "a\\b",
        "a%2",
        "a:b",
        "a:80:80",
        "a:123456",
        "::1",
        "[::1",
        "[::1]x",
        "[]",
        "[1::2::3]",
        "[192.0.2.7]",
        "[time.example]",
        "[fe80::1%]",
        "a" + LONGEST_HOST,
        "[fe80::1%" + "a" * 255 + "]",
    ],
)
def test_a_host_that_is_none_is_a_bad_request(host: str, version: str) -> None:
    connection = Parts().connection()
    request = f"GET / HTTP/{version}\r\nHost: {host}\r\n\r\n".encode("latin-1")
    found = answer(connection.receive(request, ARRIVED))
    assert (found.status, found.headers["connection"]) == (400, "close")
    assert connection.closing


@pytest.mark.parametrize("fast_paths", [True, False])
def test_more_replies_than_are_sent_at_once_wait(fast_paths: bool) -> None:
    connection = Parts(fast_paths=fast_paths).connection()
    request = b"GET / HTTP/1.1\r\nHost:\r\n\r\n"
    requests = 16384 // len(request)
    outputs = [connection.receive(request * requests + request[:-1], ARRIVED)]
    while connection.paused:
        outputs.append(connection.resume(ARRIVED))
    outputs.append(connection.receive(request[-1:], ARRIVED))
    assert b"".join(outputs).count(b"HTTP/1.1 200 OK") == requests + 1
    assert len(outputs) > 2
    assert max(map(len, outputs)) <= 65536


def test_a_stop_drops_the_waiting_input() -> None:
    connection = Parts().connection()
    connection.receive(GET * 200, ARRIVED)
    assert connection.paused
    assert connection.shutdown() == b""
    assert not connection.paused


def test_every_reply_is_counted() -> None:
    parts = Parts()
    parts.connection().receive(GET + HEAD + b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", ARRIVED)
    status = parts.counters.status()
    assert (status.requests, status.refusals) == (3, 1)


def test_stopping_says_nothing_over_http() -> None:
    connection = Parts().connection()
    connection.receive(GET, ARRIVED)
    assert connection.shutdown() == b""
    assert connection.closing
    assert connection.shutdown() == b""
    assert connection.receive(GET, ARRIVED) == b""


def without_error_texts(output: bytes) -> bytes:
    """What h11 says of a fault depends on how much of it came at once."""
    return re.sub(rb"Content-Length: [0-9]+|{\"error\": \"[^\"]*\"}", b"", output)


PIECES = st.one_of(
    st.binary(max_size=64),
    st.sampled_from(
        [
            GET,
            HEAD,
            b"GET / HTTP/1.1\r\n",
            b"Host: x\r\n",
            b"HEAD / HTTP/1.1\r\n",
            b"GET / HTTP/1.0\r\n",
            b"HEAD / HTTP/2.0\r\n",
            b"Connection: close\r\n",
            b"Connection: upgrade\r\nUpgrade: websocket\r\n",
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"\r\n",
            b"\n",
            b" ",
            b"0\r\n\r\n",
            b"3\r\nabc\r\n",
            b"abc",
            b"\x81\x81aaaaP",
        ]
    ),
)


@given(st.lists(PIECES, max_size=12), st.randoms(use_true_random=False))
@example([HEAD, bytes(9) + b"}", b"Transfer-Encoding: chunked\r\n\r\n"], Random(0))
@example([HEAD.replace(b"/1.1", b"/2.0")], Random(0))
def test_whatever_arrives_is_answered_the_same_however_it_is_cut(
    pieces: list[bytes], random: Random
) -> None:
    data = b"".join(pieces)
    whole_connection, cut_connection = Parts().connection(), Parts().connection()
    expected = whole_connection.receive(data, ARRIVED)
    output, rest = b"", data
    while rest:
        size = random.randint(1, len(rest))
        output += cut_connection.receive(rest[:size], ARRIVED)
        rest = rest[size:]
    assert without_error_texts(output) == without_error_texts(expected)
    assert cut_connection.closing == whole_connection.closing


def test_a_length_of_too_many_digits_for_python_is_a_bad_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: h11.Connection) -> None:
        raise ValueError("Exceeds the limit for integer string conversion")  # as with h11 0.14

    monkeypatch.setattr(h11.Connection, "next_event", fail)
    output = Parts().connection().receive(GET, ARRIVED)
    assert output.startswith(b"HTTP/1.1 400 ")
    assert b"bad Content-Length" in output
