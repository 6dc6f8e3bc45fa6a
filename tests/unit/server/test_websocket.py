"""The server's WebSockets without sockets, judged by wsproto's client side."""

import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection as Client
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.unit.server.parts import T0, Parts, answer
from webntpd.protocol.wire import INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL, parse_reply
from webntpd.server.connection import Connection
from webntpd.server.parameters import Limits

ARRIVED = T0 + 5
TOKEN = "1489217288.328757"
UPGRADE = (
    b"GET /json HTTP/1.1\r\nHost: time.example\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
MASK = b"\x01\x02\x03\x04"

Feed = Callable[[Connection, bytes], bytes]


def whole(connection: Connection, data: bytes) -> bytes:
    return connection.receive(data, ARRIVED)


def byte_by_byte(connection: Connection, data: bytes) -> bytes:
    return b"".join(connection.receive(bytes([byte]), ARRIVED) for byte in data)


either_way = pytest.mark.parametrize("feed", [whole, byte_by_byte])


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A masked frame of a client, without a thought of whether it is valid."""
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    if len(payload) < 126:
        return bytes([first, 0x80 | len(payload)]) + MASK + masked
    return bytes([first, 0x80 | 126]) + len(payload).to_bytes(2) + MASK + masked


def opened(parts: Parts | None = None, *, headers: bytes = b"") -> Connection:
    connection = (parts or Parts()).connection()
    output = connection.receive(UPGRADE + headers + b"\r\n", ARRIVED)
    assert output.startswith(b"HTTP/1.1 101 ")
    return connection


def events(output: bytes) -> list[Event]:
    return list(Client(ConnectionType.CLIENT, trailing_data=output).events())


def close_code(output: bytes) -> int:
    *_, last = events(output)
    assert isinstance(last, CloseConnection)
    return last.code


def proposal(parts: Parts, *subprotocols: str, origin: str | None = None) -> Event:
    """What a wsproto client makes of the reply to its opening handshake."""
    client = WSConnection(ConnectionType.CLIENT)
    extra = [] if origin is None else [(b"Origin", origin.encode())]
    request = client.send(
        Request(
            host="time.example", target="/", subprotocols=list(subprotocols), extra_headers=extra
        )
    )
    client.receive_data(parts.connection().receive(request, ARRIVED))
    return next(client.events())


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), None),
        (("chat",), None),
        ((SUBPROTOCOL,), SUBPROTOCOL),
        (("chat", SUBPROTOCOL), SUBPROTOCOL),
        ((INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL), INTERLEAVED_SUBPROTOCOL),
    ],
)
def test_the_subprotocol_is_echoed_only_if_offered(
    offered: tuple[str, ...], chosen: str | None
) -> None:
    accepted = proposal(Parts(), *offered)
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == chosen


def test_no_extension_is_negotiated() -> None:
    connection = Parts().connection()
    output = connection.receive(
        UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", ARRIVED
    )
    assert b"extensions" not in output.lower()


@either_way
@pytest.mark.parametrize("first", [0x81, 0x82], ids=["text", "binary"])
@pytest.mark.parametrize("message", [TOKEN, f" \t{TOKEN}\r\n"])
def test_a_message_is_answered_with_the_time(feed: Feed, first: int, message: str) -> None:
    parts = Parts()
    connection = opened(parts)
    (reply,) = events(feed(connection, frame(message.encode(), first)))
    assert isinstance(reply, TextMessage)
    members = json.loads(reply.data, parse_float=str)
    assert (members["id"], members["it"]) == ("time.example", TOKEN)
    parsed = parse_reply(reply.data.encode())
    assert (parsed.rt_ns, parsed.st_ns) == (ARRIVED, parts.clock.wall_ns)
    assert "pit" not in members
    assert parts.counters.status().messages == 1
    assert not connection.closing


@either_way
def test_messages_that_come_together_are_answered_in_order(feed: Feed) -> None:
    replies = events(feed(opened(), frame(b"1") + frame(b"2") + frame(b"3")))
    assert [json.loads(m.data)["it"] for m in replies if isinstance(m, Message)] == [1, 2, 3]


@either_way
def test_what_follows_the_handshake_at_once_is_not_lost(feed: Feed) -> None:
    output = feed(Parts().connection(), UPGRADE + b"\r\n" + frame(TOKEN.encode()))
    head, _, rest = output.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    (reply,) = events(rest)
    assert isinstance(reply, TextMessage)
    assert TOKEN in reply.data


def test_an_upgrade_after_other_requests_opens_a_websocket() -> None:
    connection = Parts().connection()
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    output = connection.receive(get + UPGRADE + b"\r\n", ARRIVED)
    assert output.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 101 " in output
    assert len(events(connection.receive(frame(b"1"), ARRIVED))) == 1


def test_a_fragmented_message_with_a_ping_in_between_is_one_message() -> None:
    connection = opened()
    first = connection.receive(frame(b"1489", 0x01) + frame(b"hello", 0x89), ARRIVED)
    assert events(first) == [Pong(payload=b"hello")]
    (reply,) = events(connection.receive(frame(b"217288.5", 0x80), ARRIVED + 1))
    assert isinstance(reply, TextMessage)
    parsed = parse_reply(reply.data.encode())
    assert (parsed.it, parsed.rt_ns) == ("1489217288.5", ARRIVED + 1)


def test_a_pong_that_nobody_asked_for_is_ignored() -> None:
    connection = opened()
    assert connection.receive(frame(b"", 0x8A), ARRIVED) == b""
    assert not connection.closing


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"\x03\xe8bye", 0x88), 1000),
        (frame(b"", 0x88), 1005),
        (frame(b"hello"), 1008),
        (frame(b""), 1008),
        (frame(b"  "), 1008),
        (frame("\uff11".encode()), 1008),
        (frame(b"\xc3\x28", 0x82), 1008),
        (frame(b"\xc3\x28"), 1007),
        (frame(b" " * 1025), 1009),
        (frame(b"1" * 1000, 0x01) + frame(b"1" * 25, 0x80), 1009),
        (b"\x81\x01" + b"1", 1002),  # not masked
        (frame(b"1", 0x83), 1002),  # an opcode that does not exist
        (frame(b"1", 0xC1), 1002),  # a reserved bit
        (frame(b"1", 0x80), 1002),  # a continuation of nothing
        (frame(b"1", 0x09), 1002),  # a fragmented ping
        (frame(b"x" * 126, 0x89), 1002),  # a ping too long
        (frame(b"\x03", 0x88), 1002),  # half a close code
        (frame(b"\x03\xed", 0x88), 1002),  # a close code that may not be sent
        (frame(b"1", 0x01) + frame(b"1", 0x81), 1002),  # a message within a message
    ],
)
@either_way
def test_what_is_no_timestamp_or_no_frame_closes_with_the_right_code(
    sent: bytes, code: int, feed: Feed
) -> None:
    connection = opened()
    assert close_code(feed(connection, sent)) == code
    assert connection.closing
    assert connection.receive(frame(b"1"), ARRIVED) == b""
    assert connection.shutdown() == b""


def test_only_a_clients_fault_counts_as_a_refusal() -> None:
    parts = Parts()
    opened(parts).receive(frame(b"\x03\xe8", 0x88), ARRIVED)
    assert parts.counters.status().refusals == 0
    opened(parts).receive(frame(b"?"), ARRIVED)
    opened(parts).receive(b"\x00", ARRIVED)
    opened(parts).receive(b"\x00\x00", ARRIVED)
    assert parts.counters.status().refusals == 2


def test_a_frame_that_announces_too_much_is_refused_before_it_has_come() -> None:
    connection = opened()
    header = b"\x82\xff" + (2**62).to_bytes(8) + MASK
    assert close_code(connection.receive(header + bytes(1025), ARRIVED)) == 1009


def test_stopping_closes_as_going_away() -> None:
    connection = opened()
    assert close_code(connection.shutdown()) == 1001
    assert connection.closing


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (UPGRADE.replace(b"13", b"8") + b"\r\n", 426),
        (UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", b"") + b"\r\n", 400),
        (UPGRADE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"") + b"\r\n", 400),
        (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ=") + b"\r\n", 400),
        (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"=") + b"\r\n", 400),
        (UPGRADE + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400),
        (UPGRADE.replace(b"WebSocket\r\n", b"websocket, other\r\n") + b"\r\n", 400),
        (UPGRADE.replace(b"time.example", b"t\xefme.example") + b"\r\n", 400),
        (UPGRADE + b"Sec-WebSocket-Protocol: \xff\r\n\r\n", 400),
        (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", 200),
        (UPGRADE.replace(b"keep-alive, Upgrade", b"keep-alive") + b"\r\n", 200),
        (UPGRADE.replace(b"GET", b"POST") + b"\r\n", 405),
    ],
)
@either_way
def test_a_wrong_handshake_opens_no_websocket(request_: bytes, status: int, feed: Feed) -> None:
    connection = Parts().connection()
    found = answer(feed(connection, request_))
    assert found.status == status
    assert not connection.interleaved
    if status == 426:
        assert found.headers["sec-websocket-version"] == "13"


def test_after_a_refused_handshake_http_goes_on() -> None:
    connection = Parts().connection()
    connection.receive(UPGRADE.replace(b"13", b"8") + b"\r\n", ARRIVED)
    assert answer(connection.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ARRIVED)).status == 200


@pytest.mark.parametrize(
    ("allowed", "origin", "accepted"),
    [
        (False, None, True),
        (False, "https://time.example", True),
        (False, "https://page.example", False),
        (False, "null", False),
        (False, "http://[", False),
        (True, "https://page.example", True),
        (("https://page.example",), "https://PAGE.example", True),
        (("https://page.example",), "https://time.example", True),
        (("https://page.example",), "https://other.example", False),
    ],
)
def test_pages_of_other_origins_connect_only_if_allowed(
    allowed: bool | tuple[str, ...], origin: str | None, accepted: bool
) -> None:
    found = proposal(Parts(allow_cross_origin=allowed), SUBPROTOCOL, origin=origin)
    if accepted:
        assert isinstance(found, AcceptConnection)
    else:
        assert isinstance(found, RejectConnection)
        assert found.status_code == 403


class Interleaved:
    """A connection in interleaved mode, with the number of bytes it has returned since."""

    def __init__(self, before: bytes = b"", with_it: bytes = b"") -> None:
        self.connection = Parts().connection()
        self.connection.receive(before, ARRIVED)
        subprotocols = f"{INTERLEAVED_SUBPROTOCOL}, {SUBPROTOCOL}".encode()
        self.position = len(
            self.connection.receive(
                with_it + UPGRADE + b"Sec-WebSocket-Protocol: " + subprotocols + b"\r\n\r\n",
                ARRIVED,
            )
        )
        assert self.connection.interleaved

    def ask(self, message: bytes) -> dict[str, str]:
        """The members of the last reply to what was sent."""
        output = self.connection.receive(message, ARRIVED)
        self.position += len(output)
        *_, reply = events(output)
        assert isinstance(reply, TextMessage)
        members: dict[str, str] = json.loads(reply.data, parse_float=str, parse_int=str)
        return members


def test_a_reply_tells_when_the_one_before_really_left() -> None:
    peer = Interleaved()
    assert "pst" not in peer.ask(frame(b"1.10"))
    peer.connection.transmitted(peer.position, 1_500_000_000_123_456_789)
    second = peer.ask(frame(b"2.20"))
    assert (second["pit"], second["pst"]) == ("1.10", "1500000000.123456789")
    assert "pst" not in peer.ask(frame(b"3.30"))


def test_a_reply_that_is_sent_again_left_the_first_time() -> None:
    """The kernel stamps a retransmission as well, which may be half a second later."""
    peer = Interleaved()
    peer.ask(frame(b"1.10"))
    peer.connection.transmitted(peer.position, 1_500_000_000_123_456_789)
    peer.connection.transmitted(peer.position, 1_500_000_000_623_456_789)
    assert peer.ask(frame(b"2.20"))["pst"] == "1500000000.123456789"


def test_what_was_asked_before_the_upgrade_confuses_nothing() -> None:
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    peer = Interleaved(before=get, with_it=get)
    peer.ask(frame(b"1"))
    peer.connection.transmitted(peer.position, 1_500_000_000_123_456_789)
    assert peer.ask(frame(b"2"))["pst"] == "1500000000.123456789"


def test_a_departure_that_is_not_known_in_time_is_left_out() -> None:
    peer = Interleaved()
    peer.ask(frame(b"1"))
    late = peer.position
    assert not {"pit", "pst"} & set(peer.ask(frame(b"2")))
    peer.connection.transmitted(late, 1_500_000_000_000_000_000)
    assert not {"pit", "pst"} & set(peer.ask(frame(b"3")))


def test_the_departure_of_a_pong_is_not_that_of_a_reply() -> None:
    peer = Interleaved()
    peer.ask(frame(b"1"))
    reply_end = peer.position
    peer.position += len(peer.connection.receive(frame(b"", 0x89), ARRIVED))
    peer.connection.transmitted(peer.position, 7)
    peer.connection.transmitted(reply_end, 1_500_000_000_000_000_000)
    assert peer.ask(frame(b"2"))["pst"] == "1500000000.000000000"


def test_two_messages_at_once_leave_nothing_to_tell() -> None:
    peer = Interleaved()
    assert "pst" not in peer.ask(frame(b"1") + frame(b"2"))
    peer.connection.transmitted(peer.position, 1_500_000_000_000_000_000)
    assert peer.ask(frame(b"3"))["pit"] == "2"


def test_positions_are_counted_modulo_four_gibibytes() -> None:
    peer = Interleaved()
    peer.ask(frame(b"1"))
    peer.connection.transmitted(peer.position + 2**32, 1_500_000_000_000_000_000)
    assert "pst" in peer.ask(frame(b"2"))


def test_a_departure_that_nobody_wants_to_know_is_ignored() -> None:
    connection = Parts().connection()
    output = connection.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ARRIVED)
    connection.transmitted(len(output), ARRIVED)
    assert answer(connection.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ARRIVED)).status == 200


@pytest.mark.parametrize("host", [b"a" * 255 + b":65535", b'"' * 7880, b"a" * 65300])
def test_a_short_message_gets_a_short_reply(host: bytes) -> None:
    connection = Parts(limits=Limits(header_size=65536)).connection()
    upgrade = UPGRADE.replace(b"time.example", host) + b"\r\n"
    connection.receive(upgrade, ARRIVED)
    assert len(connection.receive(frame(b"1"), ARRIVED)) <= 7 * 73


def test_more_replies_than_are_sent_at_once_wait() -> None:
    connection = Parts().connection()
    host = b"a" * 255 + b":65535"
    upgrade = UPGRADE.replace(b"time.example", host) + b"\r\n"
    messages = 4096 // len(frame(b"1"))
    outputs = [connection.receive(upgrade + frame(b"1") * messages, ARRIVED)]
    while connection.paused:
        outputs.append(connection.resume(ARRIVED))
    assert b"".join(outputs).count(b'"it":1,') == messages
    assert len(outputs) > 1
    assert max(map(len, outputs)) <= 65536


def told(output: bytes) -> list[Event | int]:
    """The events, but of a close the code: what wsproto says of a fault depends on the cut."""
    return [e.code if isinstance(e, CloseConnection) else e for e in events(output)]


FRAMES = st.one_of(
    st.binary(max_size=20),
    st.builds(
        frame,
        st.one_of(st.just(TOKEN.encode()), st.binary(max_size=200), st.from_regex(rb"[0-9.]{1,9}")),
        st.integers(0, 255) | st.sampled_from([0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89]),
    ),
)


@given(st.lists(FRAMES, max_size=8), st.randoms(use_true_random=False))
def test_whatever_arrives_is_answered_the_same_however_it_is_cut(
    pieces: list[bytes], random: Random
) -> None:
    data = b"".join(pieces)
    whole_connection, cut_connection = opened(), opened()
    expected = told(whole_connection.receive(data, ARRIVED))
    output, rest = b"", data
    while rest:
        size = random.randint(1, len(rest))
        output += cut_connection.receive(rest[:size], ARRIVED)
        rest = rest[size:]
    assert told(output) == expected
    assert cut_connection.closing == whole_connection.closing
