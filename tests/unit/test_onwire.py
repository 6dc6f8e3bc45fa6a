from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.types import (
    NS_PER_S,
    Formula,
    LeapNotice,
    Provenance,
    Reading,
    Rejection,
    Stamp,
    StampSource,
)
from webntpd.onwire import DATE_RESOLUTION, Rejected, complete, from_header
from webntpd.wire import Reply, format_token, parse_reply

NOW_NS = 1_489_224_472_995_564_123
BOOT_NS = 1_489_000_000_000_000_000  # wall clock less monotonic clock
MS = 1_000_000
SENT = format_token(NOW_NS)
LOCAL_PRECISION = 1e-7


def stamp(wall_ns: int, source: StampSource = StampSource.USER) -> Stamp:
    return Stamp(wall_ns, wall_ns - BOOT_NS, source)


T1 = stamp(NOW_NS)
T4 = stamp(NOW_NS + 10 * MS)
# The server is 1 s ahead; 4 ms there, 1 ms of service, 5 ms back.
REPLY = Reply(
    st_ns=NOW_NS + NS_PER_S + 5 * MS,
    it=SENT,
    rt_ns=NOW_NS + NS_PER_S + 4 * MS,
    sync=True,
    max_error=0.003,
    leap=LeapNotice(36, 1_483_228_800 * NS_PER_S, 1),
)


def completed(reply: Reply = REPLY, *, t1: Stamp = T1, t4: Stamp = T4) -> Reading:
    return complete(reply, sent=SENT, t1=t1, t4=t4, local_precision=LOCAL_PRECISION)


def rejection_of(reply: Reply = REPLY, *, t1: Stamp = T1, t4: Stamp = T4) -> Rejection:
    with pytest.raises(Rejected) as caught:
        completed(reply, t1=t1, t4=t4)
    assert str(caught.value) == f"{caught.value.rejection}: {caught.value.detail}"
    return caught.value.rejection


# Formulas


def test_a_reply_with_rt_makes_a_reading_of_four_stamps() -> None:
    reading = completed()
    assert reading.precision == pytest.approx(30e-6, abs=2e-9)
    assert replace(reading, precision=0) == Reading(
        t1_ns=NOW_NS,
        t2_ns=NOW_NS + NS_PER_S + 4 * MS,
        t3_ns=NOW_NS + NS_PER_S + 5 * MS,
        t4_ns=NOW_NS + 10 * MS,
        at_ns=NOW_NS + 10 * MS - BOOT_NS,
        precision=0,
        provenance=Provenance(Formula.FOUR_STAMP, StampSource.USER, StampSource.USER),
        first=False,
        leap=REPLY.leap,
        max_error=0.003,
    )


def test_a_reply_with_st_alone_makes_a_reading_of_two_stamps() -> None:
    reading = completed(replace(REPLY, rt_ns=None))
    assert reading.provenance.formula is Formula.TWO_STAMP
    assert reading.t2_ns == reading.t3_ns == REPLY.st_ns


@pytest.mark.parametrize("rt_ns", [REPLY.rt_ns, None])
def test_the_departure_that_a_later_reply_tells_counts_together_with_rt(rt_ns: int | None) -> None:
    pst_ns = REPLY.st_ns + MS
    reading = complete(
        replace(REPLY, rt_ns=rt_ns),
        sent=SENT,
        t1=T1,
        t4=T4,
        local_precision=LOCAL_PRECISION,
        pst_ns=pst_ns,
    )
    interleaved = rt_ns is not None
    assert (reading.provenance.formula is Formula.INTERLEAVED) == interleaved
    assert (reading.t3_ns == pst_ns) == interleaved


def test_a_departure_before_the_arrival_is_disordered() -> None:
    assert REPLY.rt_ns is not None
    with pytest.raises(Rejected, match="disordered"):
        complete(
            REPLY,
            sent=SENT,
            t1=T1,
            t4=T4,
            local_precision=LOCAL_PRECISION,
            pst_ns=REPLY.rt_ns - 1,
        )


def test_the_first_exchange_of_a_connection_is_marked() -> None:
    reading = complete(REPLY, sent=SENT, t1=T1, t4=T4, local_precision=0, first=True)
    assert reading.first


offsets = st.integers(-30 * NS_PER_S, 30 * NS_PER_S)
spans = st.integers(0, NS_PER_S)


@given(offsets, spans, spans, spans)
def test_the_offset_is_wrong_by_half_of_the_asymmetry_and_no_more(
    offset_ns: int, there_ns: int, service_ns: int, back_ns: int
) -> None:
    t2_ns = NOW_NS + there_ns + offset_ns
    reading = completed(
        Reply(st_ns=t2_ns + service_ns, rt_ns=t2_ns),
        t4=stamp(NOW_NS + there_ns + service_ns + back_ns),
    )
    expected_ns = offset_ns + (there_ns - back_ns) / 2
    assert reading.offset == pytest.approx(expected_ns / NS_PER_S, abs=1e-12)
    assert reading.delay == pytest.approx((there_ns + back_ns) / NS_PER_S, abs=1e-12)
    assert abs(reading.offset - offset_ns / NS_PER_S) <= reading.delay / 2 + 1e-12


# Precision


@pytest.mark.parametrize(
    ("t1", "t4", "micro"),
    [
        (StampSource.KERNEL, StampSource.KERNEL, 1 + 1),
        (StampSource.USER, StampSource.KERNEL, 1 + 10.5),
        (StampSource.KERNEL, StampSource.USER, 1 + 10.5),
        (StampSource.USER, StampSource.USER, 1 + 20),
    ],
)
def test_our_side_counts_with_the_mean_of_its_stamps(
    t1: StampSource, t4: StampSource, micro: float
) -> None:
    reading = complete(
        REPLY,
        sent=SENT,
        t1=replace(T1, source=t1),
        t4=replace(T4, source=t4),
        local_precision=LOCAL_PRECISION,
        pst_ns=REPLY.st_ns,
    )
    assert reading.provenance == Provenance(Formula.INTERLEAVED, t1, t4)
    assert reading.precision == pytest.approx(micro * 1e-6, abs=2e-9)


@pytest.mark.parametrize("source", StampSource)
def test_no_stamp_is_better_than_its_clock(source: StampSource) -> None:
    coarse = complete(
        REPLY,
        sent=SENT,
        t1=replace(T1, source=source),
        t4=replace(T4, source=source),
        local_precision=0.004,
    )
    assert coarse.precision == pytest.approx(0.00401, abs=2e-9)


def test_a_server_that_prints_milliseconds_is_not_believed_below_them() -> None:
    reading = completed(parse_reply(b'{"st":1489224472.995}'), t1=stamp(NOW_NS - 5 * MS))
    assert reading.precision == pytest.approx(1e-3 + 40e-6)


# Time headers


def header(st_ns: int, *, t4: Stamp = T4, resolution: float = 0.0) -> Reading:
    return from_header(
        st_ns, t1=T1, t4=t4, local_precision=LOCAL_PRECISION, resolution=resolution, first=True
    )


def test_a_time_header_makes_a_reading_of_two_stamps() -> None:
    reading = header(REPLY.st_ns, resolution=1e-6)
    assert reading.provenance.formula is Formula.TWO_STAMP
    assert reading.t2_ns == reading.t3_ns == REPLY.st_ns
    assert reading.precision == pytest.approx(41e-6)
    assert reading.first


def test_a_date_means_the_middle_of_its_second_give_or_take_half_of_one() -> None:
    reading = header(1_489_224_472 * NS_PER_S, resolution=DATE_RESOLUTION)
    assert reading.provenance.formula is Formula.DATE
    assert reading.t2_ns == reading.t3_ns == 1_489_224_472 * NS_PER_S + NS_PER_S // 2
    assert reading.precision == pytest.approx(0.5 + 40e-6)


@given(offsets, st.integers(0, MS), st.integers(0, MS))
def test_the_truth_is_within_the_error_bound_of_a_date(
    offset_ns: int, there_ns: int, back_ns: int
) -> None:
    arrived_ns = NOW_NS + there_ns + offset_ns
    date_ns = arrived_ns // NS_PER_S * NS_PER_S
    reading = header(date_ns, t4=stamp(NOW_NS + there_ns + back_ns), resolution=DATE_RESOLUTION)
    assert abs(reading.offset - offset_ns / NS_PER_S) <= reading.delay / 2 + reading.dispersion


def test_a_time_header_is_held_to_the_same_rules() -> None:
    with pytest.raises(Rejected, match="disordered"):
        header(REPLY.st_ns, t4=stamp(NOW_NS - 1))


# Rejections


def test_a_reply_to_another_request_is_bogus() -> None:
    assert rejection_of(replace(REPLY, it="1489224472.995565")) is Rejection.BOGUS


@pytest.mark.parametrize("it", [None, "0.000000"])
def test_a_reply_that_does_not_say_what_it_answers_is_used(it: str | None) -> None:
    assert completed(replace(REPLY, it=it)) == completed()


def test_an_unsynchronised_server_is_used_only_if_allowed() -> None:
    unsynchronised = replace(REPLY, sync=False)
    assert rejection_of(unsynchronised) is Rejection.UNSYNCHRONISED
    assert completed() == complete(
        unsynchronised,
        sent=SENT,
        t1=T1,
        t4=T4,
        local_precision=LOCAL_PRECISION,
        allow_unsynchronised=True,
    )


def test_a_server_that_says_nothing_of_its_clock_is_used() -> None:
    assert completed(replace(REPLY, sync=None)) == completed()


@pytest.mark.parametrize(
    ("wall_ns", "monotonic_ns"), [(-1, 10 * MS), (10 * MS, -1), (-1, -1), (-NS_PER_S, 0)]
)
def test_a_reply_that_came_before_its_request_is_disordered(
    wall_ns: int, monotonic_ns: int
) -> None:
    t4 = Stamp(T1.wall_ns + wall_ns, T1.monotonic_ns + monotonic_ns, StampSource.USER)
    assert rejection_of(t4=t4) is Rejection.DISORDERED


def test_a_server_that_answered_before_it_was_asked_is_disordered() -> None:
    assert rejection_of(replace(REPLY, rt_ns=REPLY.st_ns + 1)) is Rejection.DISORDERED


def test_a_server_that_took_longer_than_the_round_trip_makes_a_negative_delay() -> None:
    just = replace(REPLY, rt_ns=REPLY.st_ns - 10 * MS)
    assert completed(just).delay == 0
    over = replace(REPLY, rt_ns=REPLY.st_ns - 10 * MS - 1)
    assert rejection_of(over) is Rejection.NEGATIVE_DELAY


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_was_set_during_the_exchange_is_noticed(sign: int) -> None:
    allowed_ns = 100_000 + 10 * MS * 500 // 1_000_000
    t4 = replace(T4, wall_ns=T4.wall_ns + sign * allowed_ns)
    assert completed(t4=t4).at_ns == T4.monotonic_ns
    t4 = replace(T4, wall_ns=T4.wall_ns + sign * (allowed_ns + 1))
    assert rejection_of(t4=t4) is Rejection.STEPPED


def test_a_long_exchange_may_part_the_clocks_by_as_much_as_a_slew() -> None:
    t4 = Stamp(T1.wall_ns + 60 * NS_PER_S, T1.monotonic_ns + 60 * NS_PER_S, StampSource.USER)
    slewed_ns = 60 * NS_PER_S * 500 // 1_000_000
    assert completed(t4=replace(t4, wall_ns=t4.wall_ns + slewed_ns)).delay > 60
    stepped = replace(t4, wall_ns=t4.wall_ns + slewed_ns + 100_001)
    assert rejection_of(t4=stepped) is Rejection.STEPPED


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        (replace(REPLY, it="5.5"), f"the reply answers 5.5, not {SENT}"),
        (replace(REPLY, rt_ns=REPLY.st_ns + 7), "the reply left 7 ns before the request came"),
        (
            replace(REPLY, rt_ns=REPLY.st_ns - 11 * MS),
            "the server says it took 11000000 ns of a round trip of 10000000 ns",
        ),
    ],
)
def test_a_rejection_tells_the_figures(changed: Reply, detail: str) -> None:
    with pytest.raises(Rejected) as caught:
        completed(changed)
    assert caught.value.detail == detail


instants = st.integers(0, 2**63 - 1)
stamps = st.builds(Stamp, instants, instants, st.sampled_from(StampSource))
replies = st.builds(
    Reply,
    st_ns=instants,
    it=st.none() | st.just(SENT) | st.text(),
    rt_ns=st.none() | instants,
    sync=st.none() | st.booleans(),
)


@given(replies, stamps, stamps, st.none() | instants)
def test_any_reply_and_stamps_are_a_reading_or_rejected(
    reply: Reply, t1: Stamp, t4: Stamp, pst_ns: int | None
) -> None:
    try:
        reading = complete(reply, sent=SENT, t1=t1, t4=t4, local_precision=1e-7, pst_ns=pst_ns)
    except Rejected:
        return
    assert reading.delay >= 0
    assert reading.t3_ns >= reading.t2_ns
