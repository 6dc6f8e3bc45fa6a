"""Replies, timestamps, dates and requests: a value, or the error that is theirs."""

from contextlib import suppress

from tests.fuzz.draw import Bytes
from webntpd.ntp.readings import NS_PER_S, Formula, Reading, Stamp, StampSource
from webntpd.protocol import onwire, wire
from webntpd.protocol.rejected import Rejected

TOKEN = "1489217288.328757"
T1_NS = 1_489_217_288 * NS_PER_S
STAMP = Stamp(T1_NS, T1_NS, StampSource.USER)
ECHO = wire.Reply(st_ns=T1_NS, it=TOKEN)
MAX_SECONDS = wire.MAX_NS / NS_PER_S


def test_one(data: bytes) -> None:
    if not data:
        return
    choose = (a_reply, a_timestamp, a_request, a_date)
    choose[data[0] % len(choose)](data[1:])


def a_reply(data: bytes) -> None:
    draw = Bytes(data)
    how = draw.byte()
    trip = onwire.Trip(
        Stamp(T1_NS, T1_NS, StampSource.USER, how),
        Stamp(T1_NS + draw.byte() * 1_000_000, T1_NS + draw.byte() * 1_000_000, StampSource.KERNEL),
        first=bool(how & 1),
        least_round_trip=draw.share() if how & 2 else None,
    )
    with suppress(Rejected):
        reply = wire.parse_reply(draw.rest())
        assert 0 <= reply.st_ns <= wire.MAX_NS
        assert 1 <= reply.resolution_ns <= NS_PER_S
        server = onwire.OnWire(local_precision=1e-9, allow_unsynchronised=bool(how & 4))
        if how & 8:
            server.complete(ECHO, onwire.Trip(STAMP, STAMP), sent=TOKEN)
        reading = server.complete(
            reply, trip, sent=TOKEN, pst_ns=reply.pst_ns if how & 16 else None
        )
        is_possible(reading)


def is_possible(reading: Reading) -> None:
    """A reading has its times in order, and a delay, for every reply that gives one."""
    assert reading.t3_ns >= reading.t2_ns
    assert reading.r4_ns >= reading.r1_ns
    assert reading.delay >= -reading.resolution_ns / NS_PER_S
    assert reading.max_error is None or 0 <= reading.max_error < float("inf")


def a_timestamp(data: bytes) -> None:
    text = data.decode("latin-1")
    with suppress(Rejected):
        ns = wire.parse_timestamp(text)
        assert 0 <= ns <= wire.MAX_NS
        assert wire.parse_timestamp(wire.format_timestamp(ns)) == ns
        assert wire.echoes(text, text)
        if len(text) < 40:
            assert abs(ns / NS_PER_S - float(text)) <= 2e-16 * MAX_SECONDS + 1e-9
    wire.echoes(TOKEN, text)
    wire.is_no_echo(text)
    with suppress(Rejected):
        ns, resolution_ns = wire.parse_server_timestamp(text), wire.resolution_ns(text)
        is_possible(
            onwire.from_header(
                ns,
                onwire.Trip(STAMP, STAMP),
                Formula.TWO_STAMP,
                resolution_ns=resolution_ns,
                local_precision=1e-9,
            )
        )


def a_request(data: bytes) -> None:
    with suppress(Rejected):
        it = wire.parse_request(data.decode("latin-1"))
        assert wire.plain_number(it)
        template = wire.ReplyTemplate("x", None, sync=True, max_error=None)
        reply = wire.parse_reply(template.render(it, T1_NS, T1_NS))
        assert reply.it == it
        assert reply.st_ns == reply.rt_ns == T1_NS


def a_date(data: bytes) -> None:
    with suppress(Rejected):
        ns = wire.parse_http_date(data.decode("latin-1"))
        assert 0 <= ns <= wire.MAX_NS
        assert ns % NS_PER_S == 0
