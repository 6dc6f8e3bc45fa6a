"""The fast paths answer whatever arrives exactly as h11 and wsproto have it answered."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.server_parts import T0, Parts, answer
from webntpd.ntp.types import NS_PER_S
from webntpd.server.connection import Connection
from webntpd.server.frames import is_one_short_frame, short_text
from webntpd.server.remembered import MAX_BLOCK, MAX_BLOCKS

TOKEN = b"1489217288.328757"
HOST = b"Host: time.example\r\n"
GET = b"GET /json?" + TOKEN + b" HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x01\x02\x03\x04"


def frame(payload: bytes, first: int = 0x81) -> bytes:
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes([first, 0x80 | len(payload)]) + MASK + masked


class Twins:
    """The same conversation with the fast paths and without them."""

    def __init__(self, *, taught: bytes = b"") -> None:
        self._parts = [Parts(fast_paths=True), Parts(fast_paths=False)]
        sites = [parts.site() for parts in self._parts]
        for site in sites:
            Connection(site, Parts().caller()).receive(taught, T0)
        for parts in self._parts:
            parts.clock.wall_ns = T0
        self._connections = [Connection(site, Parts().caller()) for site in sites]

    def feed(self, *pieces: bytes) -> bytes:
        """The output, the same of both."""
        outputs = [
            [connection.receive(piece, T0 + number) for number, piece in enumerate(pieces)]
            for connection in self._connections
        ]
        assert outputs[0] == outputs[1]
        fast, slow = self._connections
        assert (fast.closing, fast.interleaved) == (slow.closing, slow.interleaved)
        counts = [parts.counters.status() for parts in self._parts]
        assert counts[0] == counts[1]
        return b"".join(outputs[0])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def test_a_known_request_is_answered_the_same_split_at_every_point() -> None:
    two = GET + GET.replace(b"288", b"299")
    for place in range(len(two) + 1):
        output = Twins(taught=GET).feed(two[:place], two[place:])
        assert output.count(b"HTTP/1.1 200 OK") == 2


def test_a_frame_is_answered_the_same_split_at_every_point() -> None:
    two = frame(TOKEN) + frame(TOKEN)
    for place in range(len(two) + 1):
        output = Twins().feed(UPGRADE, two[:place], two[place:], frame(TOKEN))
        assert output.count(b'"it":' + TOKEN) == 3


LINES = st.sampled_from(
    [
        GET,
        GET + GET,
        GET.replace(b"json", b"other"),
        GET.replace(b"?" + TOKEN, b""),
        GET.replace(TOKEN, b"1.5e9"),
        GET.replace(TOKEN, b"9999999999.9"),
        GET.replace(TOKEN, b"1489217288.3287570001"),
        GET.replace(b"1.1", b"1.0"),
        GET.replace(HOST, b""),
        GET.replace(HOST, HOST + b"Connection: close\r\n"),
        GET.replace(HOST, HOST + b"Content-Length: 2\r\n") + b"ab",
        GET.replace(HOST, HOST + b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
        GET.replace(HOST, HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n"),
        GET.replace(HOST, HOST + b"Origin: https://page.example\r\n"),
        GET.replace(b"\r\n", b"\n"),
        GET.replace(HOST, HOST[:-2] + b"\n"),
        GET.replace(HOST, HOST + b"X: a\r\n b\r\n"),
        GET.replace(b"GET", b"HEAD"),
        GET.replace(b"GET", b"POST"),
        b"GET /json?" + TOKEN + b" HTTP/1.1\r\n",
        HOST,
        b"\r\n",
        b"ab",
    ]
)
FRAMES = st.one_of(
    st.builds(
        frame,
        st.one_of(
            st.just(TOKEN),
            st.sampled_from([b"1.5e9", b" 1489217288.3", b"9999999999.9", b"", b"1" * 125]),
            st.binary(max_size=125),
        ),
        st.sampled_from([0x81, 0x81, 0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0xC1, 0x88]),
    ),
    st.binary(max_size=12),
)
PLACES = st.lists(st.integers(0, 2**16), max_size=6)


@given(taught=st.lists(LINES, max_size=4), asked=st.lists(LINES, max_size=5), places=PLACES)
def test_http_is_answered_the_same(
    taught: list[bytes], asked: list[bytes], places: list[int]
) -> None:
    twins = Twins(taught=b"".join(taught))
    twins.feed(*cut(b"".join(asked), places))


@given(st.lists(FRAMES, max_size=6), PLACES)
def test_messages_are_answered_the_same(frames: list[bytes], places: list[int]) -> None:
    Twins().feed(UPGRADE, *cut(b"".join(frames), places))


@given(st.lists(FRAMES, max_size=6))
def test_messages_that_come_one_by_one_are_answered_the_same(frames: list[bytes]) -> None:
    Twins().feed(UPGRADE, *frames)


def test_a_known_request_gets_the_date_and_state_of_its_own_second() -> None:
    site = Parts().site()
    connection = Connection(site, Parts().caller())
    connection.receive(GET, T0)
    later = T0 + 3 * NS_PER_S
    site.refresh(later)
    found = answer(connection.receive(GET, later))
    assert found.headers["date"] == "Sat, 11 Mar 2017 09:27:55 GMT"


def test_what_is_remembered_is_bounded_and_the_last_used_stays() -> None:
    site = Parts().site()
    caller = Parts().caller()

    def known(block: bytes) -> bool:
        return site.remembered.answer(b"GET / HTTP/1.1\r\n" + block, caller, T0) is not None

    def teach(block: bytes) -> None:
        Connection(site, caller).receive(b"GET / HTTP/1.1\r\n" + block, T0)

    teach(HOST + b"\r\n")
    for number in range(MAX_BLOCKS - 1):
        teach(f"Host: {number}\r\n\r\n".encode())
    site.refresh(T0 + NS_PER_S)  # which was the last is told to the second
    assert known(HOST + b"\r\n")
    teach(b"Host: one more\r\n\r\n")
    assert known(HOST + b"\r\n")
    assert not known(b"Host: 0\r\n\r\n")
    large = b"Host: x\r\nX: " + b"x" * MAX_BLOCK + b"\r\n\r\n"
    teach(large)
    assert not known(large)


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
