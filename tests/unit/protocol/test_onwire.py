from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.readings import (
    NS_PER_S,
    Formula,
    LeapNotice,
    Provenance,
    Reading,
    Rejection,
    Stamp,
    StampSource,
)
from webntpd.protocol.onwire import (
    DATE_RESOLUTION_NS,
    MAX_DEPARTURE_NS,
    OnWire,
    Trip,
    from_header,
)
from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import Reply, format_token, parse_reply

NOW_NS = 1_489_224_472_995_564_123
BOOT_NS = 1_489_000_000_000_000_000  # wall clock less RAW
MS = 1_000_000
SENT = format_token(NOW_NS)
LOCAL_PRECISION = 1e-7


def stamp(wall_ns: int, source: StampSource = StampSource.USER) -> Stamp:
    return Stamp(wall_ns, wall_ns - BOOT_NS, source)


T1 = stamp(NOW_NS)
T4 = stamp(NOW_NS + 10 * MS)
TRIP = Trip(T1, T4)
# The server is 1 s ahead; 4 ms there, 1 ms of service, 5 ms back.
REPLY = Reply(
    st_ns=NOW_NS + NS_PER_S + 5 * MS,
    it=SENT,
    rt_ns=NOW_NS + NS_PER_S + 4 * MS,
    sync=True,
    max_error=0.003,
    leap=LeapNotice(36, 1_483_228_800 * NS_PER_S, 1),
)


def on_wire(*, allow_unsynchronised: bool = False) -> OnWire:
    return OnWire(local_precision=LOCAL_PRECISION, allow_unsynchronised=allow_unsynchronised)


def completed(reply: Reply = REPLY, trip: Trip = TRIP, **changes: Any) -> Reading:
    return on_wire().complete(reply, trip, **({"sent": SENT} | changes))


def rejection_of(reply: Reply = REPLY, trip: Trip = TRIP, **changes: Any) -> Rejection:
    with pytest.raises(Rejected) as caught:
        completed(reply, trip, **changes)
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
        r1_ns=NOW_NS - BOOT_NS,
        r4_ns=NOW_NS + 10 * MS - BOOT_NS,
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
    reading = completed(replace(REPLY, rt_ns=rt_ns), pst_ns=pst_ns)
    interleaved = rt_ns is not None
    assert (reading.provenance.formula is Formula.INTERLEAVED) == interleaved
    assert (reading.t3_ns == pst_ns) == interleaved


def test_a_process_that_was_held_up_beside_a_stamp_has_not_seen_a_step() -> None:
    """The stamp's RAW is early by 5 ms, on the safe side, and says so."""
    held_up = replace(TRIP.t1, raw_ns=TRIP.t1.raw_ns - 5 * MS)
    assert rejection_of(trip=replace(TRIP, t1=held_up)) is Rejection.STEPPED
    completed(trip=replace(TRIP, t1=replace(held_up, doubt_ns=5 * MS)))


def test_a_departure_long_after_st_may_be_a_retransmission_and_does_not_count() -> None:
    reading = completed(pst_ns=REPLY.st_ns + MAX_DEPARTURE_NS + 1)
    assert reading.provenance.formula is Formula.FOUR_STAMP
    assert reading.t3_ns == REPLY.st_ns


def test_a_departure_before_the_arrival_is_disordered() -> None:
    assert REPLY.rt_ns is not None
    assert rejection_of(pst_ns=REPLY.rt_ns - 1) is Rejection.DISORDERED


def test_the_first_exchange_of_a_connection_is_marked() -> None:
    assert completed(trip=replace(TRIP, first=True)).first


offsets = st.integers(-30 * NS_PER_S, 30 * NS_PER_S)
spans = st.integers(0, NS_PER_S)


def bounds(reading: Reading) -> tuple[int, int]:
    """The floor and the ceiling of true time - RAW that a reading gives, ns."""
    return (
        reading.t3_ns - reading.r4_ns,
        reading.t2_ns + reading.resolution_ns - reading.r1_ns,
    )


@given(offsets, spans, spans, spans, st.sampled_from([1, 1000, MS, NS_PER_S]))
def test_the_truth_is_between_the_bounds_however_coarse_the_servers_times_are(
    offset_ns: int, there_ns: int, service_ns: int, back_ns: int, resolution_ns: int
) -> None:
    def cut(ns: int) -> int:
        return ns // resolution_ns * resolution_ns

    t2_ns = NOW_NS + there_ns + offset_ns
    reading = completed(
        Reply(st_ns=cut(t2_ns + service_ns), rt_ns=cut(t2_ns), resolution_ns=resolution_ns),
        Trip(T1, stamp(NOW_NS + there_ns + service_ns + back_ns)),
    )
    floor_ns, ceiling_ns = bounds(reading)
    assert floor_ns <= offset_ns + BOOT_NS <= ceiling_ns
    assert ceiling_ns - floor_ns == round(reading.delay * NS_PER_S) + resolution_ns


def test_a_slewed_wall_clock_moves_neither_the_delay_nor_the_bounds() -> None:
    slewed = replace(T4, wall_ns=T4.wall_ns + 10 * MS // 12)
    reading = completed(trip=Trip(T1, slewed))
    assert reading.t4_ns == slewed.wall_ns
    assert reading.delay == completed().delay
    assert bounds(reading) == bounds(completed())


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
    trip = Trip(replace(T1, source=t1), replace(T4, source=t4))
    reading = completed(trip=trip, pst_ns=REPLY.st_ns)
    assert reading.provenance == Provenance(Formula.INTERLEAVED, t1, t4)
    assert reading.precision == pytest.approx(micro * 1e-6, abs=2e-9)


@pytest.mark.parametrize("source", StampSource)
def test_no_stamp_is_better_than_its_clock(source: StampSource) -> None:
    trip = Trip(replace(T1, source=source), replace(T4, source=source))
    coarse = OnWire(local_precision=0.004).complete(REPLY, trip, sent=SENT)
    assert coarse.precision == pytest.approx(0.00401, abs=2e-9)


@pytest.mark.parametrize(
    ("digits", "resolution_ns"),
    [("1489224472.995", MS), ("1489224472.99", 10 * MS), ("1489224472.995564123", 1)],
)
def test_the_digits_that_a_server_cuts_off_are_resolution_and_not_precision(
    digits: str, resolution_ns: int
) -> None:
    reading = completed(parse_reply(b'{"st":%s}' % digits.encode()))
    assert reading.resolution_ns == resolution_ns
    assert reading.precision == pytest.approx(40e-6)


# Time headers


def header(
    st_ns: int,
    formula: Formula = Formula.TWO_STAMP,
    *,
    t4: Stamp = T4,
    resolution_ns: int = 1,
) -> Reading:
    trip = Trip(T1, t4, first=True)
    return from_header(
        st_ns, trip, formula, resolution_ns=resolution_ns, local_precision=LOCAL_PRECISION
    )


@pytest.mark.parametrize("formula", [Formula.TWO_STAMP, Formula.DATE])
def test_a_time_header_is_the_servers_only_time(formula: Formula) -> None:
    st_ns = REPLY.st_ns // NS_PER_S * NS_PER_S
    reading = header(st_ns, formula, resolution_ns=DATE_RESOLUTION_NS)
    assert reading.provenance.formula is formula
    assert reading.t2_ns == reading.t3_ns == st_ns
    assert reading.resolution_ns == NS_PER_S
    assert reading.precision == pytest.approx(40e-6)
    assert reading.first


@given(offsets, st.integers(0, MS), st.integers(0, MS))
def test_the_truth_is_within_the_bounds_of_a_date(
    offset_ns: int, there_ns: int, back_ns: int
) -> None:
    arrived_ns = NOW_NS + there_ns + offset_ns
    date_ns = arrived_ns // NS_PER_S * NS_PER_S
    t4 = stamp(NOW_NS + there_ns + back_ns)
    reading = header(date_ns, Formula.DATE, t4=t4, resolution_ns=DATE_RESOLUTION_NS)
    floor_ns, ceiling_ns = bounds(reading)
    assert floor_ns <= offset_ns + BOOT_NS <= ceiling_ns


def test_a_time_header_is_held_to_the_same_rules() -> None:
    with pytest.raises(Rejected, match="disordered"):
        header(REPLY.st_ns, t4=stamp(NOW_NS - 1))


# Rejections


def test_a_reply_to_another_request_is_bogus() -> None:
    assert rejection_of(replace(REPLY, it="1489224472.995565")) is Rejection.BOGUS


@pytest.mark.parametrize("it", [None, "0", "0.000"])
def test_a_reply_without_an_echo_is_bogus_only_of_a_server_that_has_echoed(it: str | None) -> None:
    reply = replace(REPLY, it=it)
    server = on_wire()
    assert server.complete(reply, TRIP, sent=SENT) == server.complete(REPLY, TRIP, sent=SENT)
    with pytest.raises(Rejected, match="has echoed before"):
        server.complete(reply, TRIP, sent=SENT)


@pytest.mark.parametrize("it", [None, "0.000000"])
def test_a_reply_that_does_not_say_what_it_answers_is_used(it: str | None) -> None:
    assert completed(replace(REPLY, it=it)) == completed()


def test_an_unsynchronised_server_is_used_only_if_allowed() -> None:
    unsynchronised = replace(REPLY, sync=False)
    assert rejection_of(unsynchronised) is Rejection.UNSYNCHRONISED
    tolerant = on_wire(allow_unsynchronised=True)
    assert tolerant.complete(unsynchronised, TRIP, sent=SENT) == completed()


def test_a_server_that_says_nothing_of_its_clock_is_used() -> None:
    assert completed(replace(REPLY, sync=None)) == completed()


def test_a_reply_that_came_before_its_request_is_disordered() -> None:
    assert rejection_of(trip=Trip(T1, replace(T4, raw_ns=T1.raw_ns - 1))) is Rejection.DISORDERED


def test_a_server_that_answered_before_it_was_asked_is_disordered() -> None:
    assert rejection_of(replace(REPLY, rt_ns=REPLY.st_ns + 1)) is Rejection.DISORDERED


@pytest.mark.parametrize("resolution_ns", [1, 1000, MS])
def test_a_server_that_took_longer_than_the_round_trip_makes_a_negative_delay(
    resolution_ns: int,
) -> None:
    reply = replace(REPLY, resolution_ns=resolution_ns)
    longest_ns = 10 * MS + resolution_ns  # both of its times are cut
    just = completed(replace(reply, rt_ns=REPLY.st_ns - longest_ns))
    assert just.delay == pytest.approx(-resolution_ns / NS_PER_S)
    over = replace(reply, rt_ns=REPLY.st_ns - longest_ns - 1)
    assert rejection_of(over) is Rejection.NEGATIVE_DELAY


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("round_trip_ns", [0, 10 * MS, 60 * NS_PER_S])
def test_a_clock_that_was_set_during_the_exchange_is_told_from_one_that_is_slewed(
    sign: int, round_trip_ns: int
) -> None:
    allowed_ns = 100_000 + round_trip_ns // 10
    there_and_back = stamp(T1.wall_ns + round_trip_ns)
    reply = replace(REPLY, rt_ns=None)
    slewed = replace(there_and_back, wall_ns=there_and_back.wall_ns + sign * allowed_ns)
    assert completed(reply, Trip(T1, slewed)).r4_ns == there_and_back.raw_ns
    stepped = replace(slewed, wall_ns=slewed.wall_ns + sign)
    assert rejection_of(reply, Trip(T1, stepped)) is Rejection.STEPPED


# The witness: of the 10 ms, the server leaves 9 for the way there and back.


@pytest.mark.parametrize("least_ms", [None, 0.02, 9.0, 19.999])
def test_a_delay_that_the_kernels_least_round_trip_has_room_for_is_believed(
    least_ms: float | None,
) -> None:
    least = None if least_ms is None else least_ms / 1000
    assert completed(trip=replace(TRIP, least_round_trip=least)) == completed()


def test_a_delay_far_below_the_kernels_least_round_trip_is_too_quick() -> None:
    trip = replace(TRIP, least_round_trip=0.0201)
    assert rejection_of(trip=trip) is Rejection.TOO_QUICK


def test_times_that_are_cut_may_claim_one_resolution_less() -> None:
    trip = replace(TRIP, least_round_trip=0.0219)
    assert completed(replace(REPLY, resolution_ns=MS), trip).resolution_ns == MS
    trip = replace(TRIP, least_round_trip=0.0221)
    assert rejection_of(replace(REPLY, resolution_ns=MS), trip) is Rejection.TOO_QUICK


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        (replace(REPLY, it="5.5"), f"the reply answers 5.5, not {SENT}"),
        (replace(REPLY, rt_ns=REPLY.st_ns + 7), "the reply left 7 ns before the request came"),
        (
            replace(REPLY, rt_ns=REPLY.st_ns - 11 * MS),
            "the server says it took 11000000 ns of a round trip of 10000000 ns",
        ),
        (
            replace(REPLY, rt_ns=REPLY.st_ns - 8 * MS),
            (
                "the server leaves 2000000 ns for the way there and back, and the kernel has never"
                " seen less than 9000000 ns"
            ),
        ),
    ],
)
def test_a_rejection_tells_the_figures(changed: Reply, detail: str) -> None:
    with pytest.raises(Rejected) as caught:
        completed(changed, replace(TRIP, least_round_trip=0.009))
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("t4", "detail"),
    [
        (replace(T4, raw_ns=T1.raw_ns - 7), "the reply came 7 ns before the request left"),
        (
            replace(T4, wall_ns=T4.wall_ns - NS_PER_S),
            "the local clock was set by about -1000000000 ns meanwhile",
        ),
    ],
)
def test_a_rejection_for_our_own_clocks_tells_the_figures(t4: Stamp, detail: str) -> None:
    with pytest.raises(Rejected) as caught:
        completed(trip=Trip(T1, t4))
    assert caught.value.detail == detail


instants = st.integers(0, 2**63 - 1)
stamps = st.builds(Stamp, instants, instants, st.sampled_from(StampSource))
replies = st.builds(
    Reply,
    st_ns=instants,
    it=st.none() | st.just(SENT) | st.text(),
    rt_ns=st.none() | instants,
    sync=st.none() | st.booleans(),
    resolution_ns=st.sampled_from([1, 1000, NS_PER_S]),
)
trips = st.builds(Trip, stamps, stamps, st.booleans(), st.none() | st.floats(0, 100))


@given(replies, trips, st.none() | instants)
def test_any_reply_and_stamps_are_a_reading_or_rejected(
    reply: Reply, trip: Trip, pst_ns: int | None
) -> None:
    try:
        reading = completed(reply, trip, pst_ns=pst_ns)
    except Rejected:
        return
    assert reading.r4_ns >= reading.r1_ns
    assert reading.t3_ns >= reading.t2_ns
    floor_ns, ceiling_ns = bounds(reading)
    assert floor_ns <= ceiling_ns
