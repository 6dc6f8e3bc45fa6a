"""The fast paths answer whatever arrives exactly as h11 and wsproto have it answered."""

import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.server.parts import T0, Parts, answer
from webntpd.clock.adjtime import ClockState
from webntpd.ntp.readings import NS_PER_S
from webntpd.server.cache import MAX_BLOCK, MAX_BLOCKS, MAX_TEMPLATES
from webntpd.server.connection import Connection
from webntpd.server.context import Context
from webntpd.server.parameters import Limits
from webntpd.server.websocket import is_one_short_frame, short_text
from webntpd.status.snapshot import ServerStatus

TOKEN = b"1489217288.328757"
HOST = b"Host: time.example\r\n"
GET = b"GET /json?" + TOKEN + b" HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x01\x02\x03\x04"
FEW = Limits(requests_per_second=2.0, request_burst=2)


def frame(payload: bytes, first: int = 0x81) -> bytes:
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes([first, 0x80 | len(payload)]) + MASK + masked


class World(NamedTuple):
    """Where a conversation takes place, and how long after each other its pieces arrive, ns."""

    allow_cross_origin: bool | tuple[str, ...] = False
    require_sync: bool = False
    synchronised: bool = True
    limits: Limits = Limits()
    host: str = "127.0.0.1"
    proxies: tuple[str, ...] = ()
    pause_ns: int = 1


ORDINARY = World()
EAGER = World(limits=FEW, host="192.0.2.7")
WITHHELD = World(require_sync=True, synchronised=False)


class Twins:
    """Two servers, one with the fast paths and one without them.

    The requests of `taught` were made in the second before, each over a connection of its own.
    """

    def __init__(self, world: World = ORDINARY, *, taught: Iterable[bytes] = ()) -> None:
        self._world = world
        self._sites = []
        for fast_paths in (True, False):
            parts = Parts(
                allow_cross_origin=world.allow_cross_origin,
                require_sync=world.require_sync,
                limits=world.limits,
                fast_paths=fast_paths,
            )
            context = parts.context()
            for request in taught:
                Connection(context, parts.caller()).receive(request, T0)
            parts.state = ClockState(world.synchronised, 0.001)
            self._sites.append((context, parts))

    def feed(self, *pieces: bytes) -> bytes:
        """The output of a new conversation, the same with both."""
        fast, slow = (self._converse(*each, pieces) for each in self._sites)
        assert fast == slow
        return b"".join(output for output, *_ in fast)

    def _converse(
        self, context: Context, parts: Parts, pieces: Iterable[bytes]
    ) -> list[tuple[bytes, bool, bool, ServerStatus]]:
        """Of each piece the output, and all else that must be the same."""
        caller = parts.caller(self._world.host, *self._world.proxies)
        connection = Connection(context, caller)
        found = []
        at_ns = T0 + NS_PER_S
        for piece in pieces:
            parts.clock.wall_ns = parts.monotonic_ns = at_ns
            context.refresh(at_ns)
            output = connection.receive(piece, at_ns)
            counts = parts.counters.status()
            found.append((output, connection.closing, connection.interleaved, counts))
            at_ns += self._world.pause_ns
        return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def with_headers(*lines: bytes, body: bytes = b"") -> bytes:
    return GET.replace(HOST, HOST + b"".join(line + b"\r\n" for line in lines)) + body


HEAD = GET.replace(b"GET", b"HEAD")
POST = GET.replace(b"GET", b"POST")
WITH_BODY = with_headers(b"Content-Length: 2", body=b"ab")
UNFINISHED = with_headers(b"Expect: 100-continue", b"Content-Length: 1")
REQUESTS = (
    GET,
    HEAD,
    POST,
    WITH_BODY,
    UNFINISHED,
    GET.replace(b"json", b"other"),
    GET.replace(b"json", b""),
    GET.replace(b"json", b"healthz"),
    GET.replace(b"json", b"clock"),
    GET.replace(b"json?" + TOKEN, b"clock"),
    GET.replace(b"json", b"clock/"),
    GET.replace(b"/json", b"http://time.example/json"),
    GET.replace(b"/json", b"*"),
    GET.replace(b"/json", b"http://other.example/json"),
    GET.replace(TOKEN, TOKEN + b"#"),
    b"\r\n" + GET,
    with_headers(*[b"X:"] * 100),
    GET.replace(b"?" + TOKEN, b""),
    GET.replace(TOKEN, b""),
    GET.replace(TOKEN, b"1489217288"),
    GET.replace(TOKEN, b"1489217288."),
    GET.replace(TOKEN, b"0489217288.3"),
    GET.replace(TOKEN, b"9999999999.9"),
    GET.replace(TOKEN, b"1.5e9"),
    GET.replace(TOKEN, b"1489217288.3287570001"),
    GET.replace(TOKEN, b"1489217288.1000000"),
    GET.replace(b"1.1", b"1.0"),
    GET.replace(b"1.1", b"2.0"),
    GET.replace(b" HTTP", b"  HTTP"),
    GET.replace(HOST, b""),
    GET.replace(b"time.example", b"other.example"),
    GET.replace(HOST, HOST + HOST),
    GET.replace(b"time.example", b'"time.example"'),
    GET.replace(b"\r\n", b"\n"),
    GET.replace(b"1\r\n", b"1\n"),
    GET.replace(HOST, HOST[:-2] + b"\n"),
    GET.replace(b"GET", b"OPTIONS"),
    GET.replace(b"GET", b"BREW"),
    with_headers(b"Connection: close"),
    with_headers(b"Content-Length: 4", body=b"\r\n\r\n"),
    with_headers(b"Content-Length: 0"),
    with_headers(b"Content-Length: 2", b"Content-Length: 3", body=b"ab"),
    with_headers(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    with_headers(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    with_headers(b"Origin: https://page.example"),
    with_headers(b"Origin: https://other.example"),
    with_headers(b"X-Forwarded-For: 203.0.113.1, 192.0.2.7"),
    with_headers(b"X-Forwarded-For: 203.0.113.1, 192.0.2.8"),
    with_headers(b"X: a", b" b"),
    with_headers(b"X : a"),
    with_headers(b"Accept: text/html"),
    GET.replace(b"json?" + TOKEN, b"").replace(HOST, HOST + b"Accept: text/html\r\n"),
    UPGRADE,
)
GARBAGE = (b"\x00", b"\r\n", b"\n", b"ab", GET[:9], GET[:-2], HOST, b"\x16\x03\x01\x02\x00")
WORLDS = (
    ORDINARY,
    World(pause_ns=NS_PER_S * 2 // 5),
    World(allow_cross_origin=True),
    World(allow_cross_origin=("https://page.example",)),
    WITHHELD,
    World(synchronised=False),
    EAGER,
    World(limits=FEW, host="10.1.2.3", proxies=("10.0.0.0/8",)),
)
each_world = pytest.mark.parametrize("world", WORLDS, ids=range(len(WORLDS)))


@each_world
def test_every_request_is_answered_the_same_after_others(world: World) -> None:
    twins = Twins(world, taught=REQUESTS)
    for first in (GET, HEAD, POST, WITH_BODY, UNFINISHED):
        for second in REQUESTS:
            twins.feed(first, second, second, second)


@each_world
def test_requests_that_come_together_are_answered_the_same(world: World) -> None:
    twins = Twins(world, taught=REQUESTS)
    for request in REQUESTS:
        twins.feed(GET + request + GET, GET)


def test_requests_with_garbage_around_them_are_answered_the_same() -> None:
    twins = Twins(taught=REQUESTS)
    for garbage in GARBAGE:
        for request in REQUESTS:
            twins.feed(garbage + request, GET)
            twins.feed(request + garbage, GET)


@each_world
def test_a_known_request_makes_no_other_known(world: World) -> None:
    for request in REQUESTS:
        Twins(world, taught=[GET]).feed(request, GET)
        Twins(world, taught=[request]).feed(GET)


def test_requests_that_came_together_are_not_known_as_one() -> None:
    twins = Twins()
    for _ in range(2):
        assert twins.feed(GET + GET).count(b"HTTP/1.1 200 OK") == 2


def test_a_request_in_a_body_is_not_known_after() -> None:
    twins = Twins()
    body = GET.replace(b"time.example", b"other.example")
    twins.feed(with_headers(b"Content-Length: %d" % len(body)), body)
    twins.feed(body)


def test_every_request_is_answered_the_same_split_at_every_point() -> None:
    twins = Twins(taught=REQUESTS)
    for request in REQUESTS:
        for place in range(1, len(request)):
            twins.feed(request[:place], request[place:] + GET)


def test_known_requests_are_answered_split_at_every_point() -> None:
    twins = Twins(taught=[GET])
    two = GET + GET.replace(b"288", b"299")
    for place in range(len(two) + 1):
        assert twins.feed(two[:place], two[place:]).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("size", [256, 8192])
def test_a_known_request_is_held_to_the_size_of_a_header(size: int) -> None:
    twins = Twins(World(limits=Limits(header_size=size)), taught=[GET])
    longest = GET.replace(b"json", b"x" * (size - len(GET) + len(b"json")))
    assert answer(twins.feed(longest)).status == 200
    assert answer(twins.feed(longest.replace(b"x?", b"xx?"))).status == 431


PLACES = st.lists(st.integers(0, 2**16), max_size=6)


@given(
    twins=st.sampled_from([Twins(world, taught=REQUESTS) for world in WORLDS]),
    asked=st.lists(st.sampled_from(REQUESTS + GARBAGE) | st.binary(max_size=9), max_size=5),
    places=PLACES,
)
def test_http_is_answered_the_same(twins: Twins, asked: list[bytes], places: list[int]) -> None:
    twins.feed(*cut(b"".join(asked), places))


PAYLOADS = (
    TOKEN, b"1489217288", b"1489217288.", b"0489217288.3", b"9999999999.9", b"1.5e9",
    b" 1489217288.3", b"1489217288.3\n", b"1489217288.1000000", b"", b"1" * 125, b"\xc3\x28",
)  # fmt: skip
FIRST_BYTES = (0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0xC1, 0xA1, 0x91, 0x88, 0x83)
FRAMES = (
    *(frame(payload, first) for payload in PAYLOADS for first in FIRST_BYTES),
    bytes([0x81, len(TOKEN)]) + TOKEN,  # not masked
    bytes([0x81, len(TOKEN)]) + frame(TOKEN)[2:],  # masked, but not said to be
    frame(TOKEN)[:-1],
    frame(TOKEN) + b"\x81",
    frame(TOKEN) + frame(TOKEN),
    b"\x81\xfe\x00\x11" + MASK + frame(TOKEN)[6:],  # 17 bytes, but not in the shortest form
    b"\x81\xfe\x00\x7e" + MASK + bytes(126),
)
BEFORE = (b"", frame(TOKEN), frame(TOKEN, 0x01), frame(b"", 0x01), frame(b"x", 0x89), b"\x81")


@pytest.mark.parametrize(
    "world", [ORDINARY, EAGER, WITHHELD], ids=["ordinary", "eager", "withheld"]
)
def test_every_frame_is_answered_the_same_whatever_came_before(world: World) -> None:
    twins = Twins(world)
    for before in BEFORE:
        for message in FRAMES:
            twins.feed(UPGRADE, before, message, frame(TOKEN))


@pytest.mark.parametrize("first", FIRST_BYTES)
def test_every_frame_is_answered_the_same_split_at_every_point(first: int) -> None:
    twins = Twins()
    message = frame(TOKEN, first)
    for place in range(1, len(message)):
        twins.feed(UPGRADE, message[:place], message[place:], frame(TOKEN))


def test_two_frames_are_answered_split_at_every_point() -> None:
    twins = Twins()
    two = frame(TOKEN) + frame(TOKEN)
    for place in range(len(two) + 1):
        output = twins.feed(UPGRADE, two[:place], two[place:], frame(TOKEN))
        assert output.count(b'"it":' + TOKEN) == 3


@given(
    twins=st.sampled_from([Twins(world) for world in WORLDS]),
    frames=st.lists(
        st.sampled_from(FRAMES) | st.builds(frame, st.binary(max_size=125)) | st.binary(max_size=9),
        max_size=6,
    ),
    places=PLACES | st.none(),
)
def test_messages_are_answered_the_same(
    twins: Twins, frames: list[bytes], places: list[int] | None
) -> None:
    twins.feed(UPGRADE, *(frames if places is None else cut(b"".join(frames), places)))


def test_a_known_request_gets_the_date_and_state_of_its_own_second() -> None:
    context = Parts().context()
    connection = Connection(context, Parts().caller())
    connection.receive(GET, T0)
    later = T0 + 3 * NS_PER_S
    context.refresh(later)
    found = answer(connection.receive(GET, later))
    assert found.headers["date"] == "Sat, 11 Mar 2017 09:27:55 GMT"


def test_a_message_gets_the_state_of_its_own_second() -> None:
    parts = Parts()
    context = parts.context()
    connection = Connection(context, parts.caller())
    connection.receive(UPGRADE, T0)
    assert b'"sync":true' in connection.receive(frame(TOKEN), T0)
    parts.state = ClockState(synchronised=False, max_error=16.0)
    context.refresh(T0 + NS_PER_S)
    assert b'"sync":false' in connection.receive(frame(TOKEN), T0 + NS_PER_S)


def test_what_is_remembered_is_bounded_and_the_last_used_stays() -> None:
    context = Parts().context()
    caller = Parts().caller()

    def known(block: bytes) -> bool:
        return context.cache.answer(b"GET / HTTP/1.1\r\n" + block, caller, T0) is not None

    def teach(block: bytes) -> None:
        Connection(context, caller).receive(b"GET / HTTP/1.1\r\n" + block, T0)

    teach(HOST + b"\r\n")
    for number in range(MAX_BLOCKS - 1):
        teach(f"Host: {number}\r\n\r\n".encode())
    context.refresh(T0 + NS_PER_S)  # which was the last is told to the second
    assert known(HOST + b"\r\n")
    teach(b"Host: one-more\r\n\r\n")
    assert known(HOST + b"\r\n")
    assert not known(b"Host: 0\r\n\r\n")
    large = b"Host: x\r\nX: " + b"x" * MAX_BLOCK + b"\r\n\r\n"
    teach(large)
    assert not known(large)


@pytest.mark.parametrize("padding", [0, MAX_BLOCK - 330])
def test_the_remembered_blocks_take_half_a_mebibyte(padding: int) -> None:
    parts = Parts()
    context, caller = parts.context(), parts.caller()
    connection = Connection(context, caller)
    hosts = [b"%04d" % number + b"a" * (padding and 251) + b":65535" for number in range(520)]
    tracemalloc.start()
    for host in hosts:
        block = b"Host: %b\r\nX-Forwarded-For: 1%b\r\n\r\n" % (host, b"1" * padding)
        for digits in range(1, 10):
            parts.clock.wall_ns = T0  # of this second, for which patterns are made
            request = b"GET /?%b HTTP/1.1\r\n" % TOKEN[: 11 + digits] + block
            assert answer(connection.receive(request, T0)).status == 200
    context.time.refresh(T0 + NS_PER_S)  # forgets the templates, which are counted otherwise
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size <= 512 * 1024


def test_clients_that_use_many_hosts_in_a_second_keep_no_other_from_being_known() -> None:
    requests = [GET.replace(b"time", b"%d" % number) for number in range(2 * MAX_TEMPLATES)]
    twins = Twins(taught=requests)
    for request in requests:
        assert answer(twins.feed(request)).status == 200
        assert answer(twins.feed(requests[0])).status == 200


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(TOKEN), True),
        (frame(b""), True),
        (frame(b"x" * 125), True),
        (frame(TOKEN, 0x01), False),
        (frame(TOKEN) + b"\x81", False),
        (frame(TOKEN)[:-1], False),
        (b"\x81\x05hello!", False),
        (b"\x81", False),
        (b"\x81\xfe\x00\x7e" + MASK + bytes(126), False),
    ],
)
def test_only_a_whole_short_final_masked_frame_is_one(data: bytes, expected: bool) -> None:
    assert is_one_short_frame(data) is expected


@given(
    st.binary(max_size=130),
    st.sampled_from([0x81, 0x81, 0x01, 0x80, 0x82, 0x89, 0xC1]),
    st.binary(max_size=2),
)
def test_only_the_payload_of_a_whole_short_text_message_is_unmasked(
    payload: bytes, first: int, behind: bytes
) -> None:
    data = frame(payload, first) if len(payload) <= 125 else b"\x81\xfe\x00" + payload
    whole = is_one_short_frame(data + behind) and first == 0x81
    assert short_text(data + behind) == (payload if whole else b"")


@given(st.binary(min_size=1, max_size=125))
def test_unmasking_undoes_masking(payload: bytes) -> None:
    assert short_text(frame(payload)) == payload
