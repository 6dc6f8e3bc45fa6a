import json
from contextlib import suppress
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.readings import NS_PER_S, LeapNotice
from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import (
    MAX_MESSAGE,
    MAX_NS,
    MAX_REPLY,
    Reply,
    ReplyTemplate,
    echoes,
    format_timestamp,
    format_token,
    is_no_echo,
    parse_http_date,
    parse_reply,
    parse_request,
    parse_server_timestamp,
    parse_timestamp,
    plain_number,
    resolution_ns,
)

NOTICE = LeapNotice(tai_utc=36, next_ns=1_483_228_800_000_000_000, step=1)
GOLDEN = (
    b'{"id":"localhost:8080","it":1489217288.328757,"st":1489224472.995564123,'
    b'"time":1489224472.995564123,"leap":36,"next":1483228800.000000000,"step":1,'
    b'"rt":1489224472.995500001,"sync":true,"maxerr":0.000250000,'
    b'"pit":1489217287.328757,"pst":1489224471.995564123}'
)

instants = st.integers(0, MAX_NS)
numbers = st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{0,12})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


# Timestamps


@given(instants)
def test_a_timestamp_survives_printing_and_parsing_digit_for_digit(ns: int) -> None:
    assert parse_timestamp(format_timestamp(ns)) == ns


@given(instants)
def test_printing_gives_what_decimal_arithmetic_gives(ns: int) -> None:
    assert format_timestamp(ns) == f"{Decimal(ns).scaleb(-9):.9f}"


@given(instants)
def test_a_token_is_the_timestamp_cut_to_microseconds(ns: int) -> None:
    assert parse_timestamp(format_token(ns)) == ns // 1000 * 1000
    assert len(format_token(ns).split(".")[1]) == 6


@given(numbers)
def test_any_number_is_read_as_decimal_arithmetic_reads_it(text: str) -> None:
    exact = Decimal(text).scaleb(9)
    in_range = -1 < exact < MAX_NS + 1
    if in_range:
        assert parse_timestamp(text) == int(exact.to_integral_value(ROUND_DOWN))
    else:
        with pytest.raises(Rejected, match="out of range"):
            parse_timestamp(text)


@given(st.text() | st.text("0123456789.eE+-"))
def test_any_text_is_a_timestamp_or_a_wire_error(text: str) -> None:
    try:
        assert 0 <= parse_timestamp(text) <= MAX_NS
    except Rejected:
        return


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("-0.0", 0),
        ("1e-400", 0),
        ("0e999999999", 0),
        ("1489224472", 1_489_224_472_000_000_000),
        ("1489224472.", 1_489_224_472_000_000_000),
        ("+1489224472.5", 1_489_224_472_500_000_000),
        ("1489224472.9955641239", 1_489_224_472_995_564_123),
        ("1.48e9", 1_480_000_000_000_000_000),
        ("1.489224472995564123E+9", 1_489_224_472_995_564_123),
        ("148922447299556e-5", 1_489_224_472_995_560_000),
        ("0000000000000000000001.5", 1_500_000_000),
        ("9223372036.854775807", MAX_NS),
    ],
)
def test_accepted_forms(text: str, ns: int) -> None:
    assert parse_timestamp(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".5", ".", "+", "-", "e9", "1e", "1e+", "1.5.5", "1_000", "0x10", "nan", "NaN",
        "inf", "Infinity", "1489224472,5", " 1489224472", "1489224472\n",
        "\N{ARABIC-INDIC DIGIT ONE}", "1" * (MAX_MESSAGE + 1),
    ],
)  # fmt: skip
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(Rejected, match="is not a timestamp"):
        parse_timestamp(text)


@pytest.mark.parametrize(
    "text", ["-1", "-1489224472.5", "9223372036.854775808", "1e10", "1e999999999", "9" * 1024]
)
def test_instants_outside_1970_to_2262_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match="is out of range"):
        parse_timestamp(text)


def test_an_error_repeats_a_strangers_text_cut_and_escaped() -> None:
    with pytest.raises(Rejected) as caught:
        parse_timestamp("\x1b[2J" + "x" * 1000)
    assert len(str(caught.value)) < 80
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("whole", ["0", "1489224472"])
def test_the_rounding_fault_of_the_reference_is_refused(whole: str) -> None:
    with pytest.raises(Rejected, match="rounding fault"):
        parse_server_timestamp(f"{whole}.1000000")


@pytest.mark.parametrize("fraction", [".1", ".100000", ".10000000", ".100000000", ".1000001"])
def test_only_that_very_fraction_is_the_rounding_fault(fraction: str) -> None:
    assert parse_server_timestamp(f"1489224472{fraction}") // 1000 == 1_489_224_472_100_000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1489224472", 10**9),
        ("1489224472.", 10**9),
        ("1.48e9", 10**9),
        ("1489224472.99", 10**7),
        ("1489224472.995", 10**6),
        ("1.489224472995e9", 10**6),
        ("1489224472.995564", 1000),
        ("1489224472.000000", 1000),
        ("1489224472.995564123", 1),
        ("1489224472.995564123999", 1),
    ],
)
def test_the_resolution_is_the_worth_of_the_last_digit(text: str, ns: int) -> None:
    assert resolution_ns(text) == ns


# Echoes


@given(instants)
def test_our_own_server_echoes_a_token_so_that_it_is_recognised(ns: int) -> None:
    token = format_token(ns)
    assert parse_request(token) == token
    assert echoes(token, token)


@given(st.integers(0, MAX_NS - 1_000_000), st.integers(3, 9))
def test_an_echo_that_lost_digits_or_trailing_zeros_is_recognised(ns: int, digits: int) -> None:
    token = format_token(ns)
    assert echoes(token, f"{Decimal(token):.{digits}f}")  # rounded
    assert echoes(token, token[: len(token) - 6 + digits])  # cut
    assert echoes(token, token.rstrip("0").rstrip("."))


@pytest.mark.parametrize("it", [None, "0", "0.000000", "-0"])
def test_a_server_that_does_not_echo_is_told_from_one_that_echoes_something_else(
    it: str | None,
) -> None:
    assert is_no_echo(it)
    assert not echoes("1489217288.328757", it)


@pytest.mark.parametrize("it", ["1489217288.328757", "1", "tick"])
def test_anything_that_is_not_zero_is_meant_as_an_echo(it: str) -> None:
    assert not is_no_echo(it)


@pytest.mark.parametrize("it", ["1489217288.328757", "1.489217288328757e9", "1489217288.329"])
def test_the_same_instant_in_another_form_is_an_echo(it: str) -> None:
    assert echoes("1489217288.328757", it)


@pytest.mark.parametrize(
    "it",
    [
        "1489217288.328756",  # differs in the last digit sent
        "1489217288.328758",
        "1489217288.3287571",  # digits that were never sent
        "1489217288.33",  # coarser than a millisecond
        "1489217288",
        "1489217289.328757",
        "-1489217288.328757",
        "tick",
    ],
)
def test_anything_else_is_no_echo(it: str) -> None:
    assert not echoes("1489217288.328757", it)


# Replies


def test_a_full_reply_has_the_golden_bytes() -> None:
    template = ReplyTemplate("localhost:8080", NOTICE, sync=True, max_error=0.00025)
    body = template.render(
        "1489217288.328757",
        1_489_224_472_995_564_123,
        1_489_224_472_995_500_001,
        "1489217287.328757",
        1_489_224_471_995_564_123,
    )
    assert body == GOLDEN


def test_the_golden_bytes_parse_to_the_golden_reply() -> None:
    assert parse_reply(GOLDEN) == Reply(
        st_ns=1_489_224_472_995_564_123,
        it="1489217288.328757",
        rt_ns=1_489_224_472_995_500_001,
        sync=True,
        max_error=0.00025,
        leap=NOTICE,
        pit="1489217287.328757",
        pst_ns=1_489_224_471_995_564_123,
    )


def test_no_beginning_of_a_reply_is_taken_for_the_whole() -> None:
    for end in range(len(GOLDEN)):
        with pytest.raises(Rejected, match="not JSON"):
            parse_reply(GOLDEN[:end])


@pytest.mark.parametrize("trailing", [b"{}", b"}", b"x", b"\0", GOLDEN])
def test_bytes_behind_a_reply_are_refused(trailing: bytes) -> None:
    with pytest.raises(Rejected, match="not JSON"):
        parse_reply(GOLDEN + trailing)


def test_white_space_around_a_reply_is_allowed() -> None:
    assert parse_reply(b"\r\n " + GOLDEN + b"\n") == parse_reply(GOLDEN)


@given(
    st.text(),
    st.none() | st.builds(LeapNotice, st.integers(-99, 99), instants, st.sampled_from([-1, 1])),
    st.booleans(),
    st.none() | st.floats(0, 16),
    st.lists(instants, min_size=4, max_size=4),
    st.booleans(),
)
def test_what_a_template_renders_parses_back(
    server_id: str,
    leap: LeapNotice | None,
    sync: bool,
    max_error: float | None,
    times: list[int],
    interleaved: bool,
) -> None:
    template = ReplyTemplate(server_id, leap, sync=sync, max_error=max_error)
    it, st_ns, rt_ns, pst_ns = times
    token = format_token(it)
    previous = (token, pst_ns) if interleaved else (None, None)
    body = template.render(token, st_ns, rt_ns, *previous)
    reply = parse_reply(body)
    printed_error = None if max_error is None else float(f"{max_error:.9f}")
    assert reply == Reply(st_ns, token, rt_ns, sync, printed_error, leap, *previous)
    assert json.loads(body)["id"] == server_id


@given(
    st.sampled_from(["localhost:8080", "a%20b", "%s"]),
    st.integers(0, 9_999_999_999),
    st.lists(st.integers(0, NS_PER_S - 1), min_size=2, max_size=2),
)
def test_a_reply_is_the_pattern_of_its_second_with_the_gaps_filled(
    server_id: str, second: int, fractions: list[int]
) -> None:
    template = ReplyTemplate(server_id, NOTICE, sync=True, max_error=0.00025)
    st_ns, rt_ns = fractions
    reply = template.render("1.5", second * NS_PER_S + st_ns, second * NS_PER_S + rt_ns)
    assert reply == template.pattern(second) % (b"1.5", st_ns, st_ns, rt_ns)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_reply_or_a_wire_error(body: bytes) -> None:
    try:
        assert parse_reply(body).st_ns >= 0
    except Rejected:
        return


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
names = st.sampled_from(
    ["id", "it", "st", "time", "leap", "next", "step", "rt", "sync", "maxerr", "pit", "pst", "new"]
)


@given(st.dictionaries(names, values))
def test_any_json_object_is_a_reply_or_a_wire_error(members: dict[str, object]) -> None:
    try:
        assert parse_reply(json.dumps(members).encode()).st_ns >= 0
    except Rejected:
        return


# What `st` as in the bodies below says.
TOLD = Reply(2_250_000_000, resolution_ns=10**7)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # NICT: no `time`
        (b'{"id":"n","it":1.5,"st":2.25,"leap":36,"next":1483228800,"step":1}',
         replace(TOLD, it="1.5", leap=NOTICE)),
        # htptime: no `st`
        (b'{"time":2.25}', TOLD),
        # both: `st` counts
        (b'{"time":9.5,"st":2.25}', TOLD),
        # the reference without a leap-seconds list
        (b'{"it":0.000000,"st":2.25,"leap":0,"next":0.000000,"step":0}',
         replace(TOLD, it="0.000000")),
        # leap members of which one is missing
        (b'{"st":2.25,"leap":36,"step":1}', TOLD),
        (b'{"st":2.25,"next":0,"step":1}', TOLD),
        (b'{"st":2.25,"leap":36,"next":0}', TOLD),
        # the resolution is that of the request's arrival
        (b'{"st":2.25,"rt":2.125}', replace(TOLD, rt_ns=2_125_000_000, resolution_ns=10**6)),
        (b'{"st":2.25,"rt":2}', replace(TOLD, rt_ns=2_000_000_000, resolution_ns=10**9)),
        # members that nobody knows
        (b'{"st":2.25,"stratum":{"deep":[1,null,"x"]},"name":"\xe2\x98\x83"}',
         TOLD),
        (b'{"st":2.25,"sync":false,"maxerr":1e-3}',
         replace(TOLD, sync=False, max_error=1e-3)),
    ],
)  # fmt: skip
def test_replies_of_other_servers_are_understood(body: bytes, expected: Reply) -> None:
    assert parse_reply(body) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"<!DOCTYPE html><html></html>", "not JSON"),
        (b"\xff\xfe{\x00", "not JSON"),
        (b'\xef\xbb\xbf{"st":2.25}', "not JSON"),
        (b'{"st":NaN}', "NaN is not a number"),
        (b'{"st":2.25,"maxerr":Infinity}', "Infinity is not a number"),
        (b'{"st":2.25,"st":3.25}', "occurs twice"),
        (b'{"st":2.25,"x":{"y":1,"y":1}}', "occurs twice"),
        (b"[" * MAX_REPLY, "not JSON"),
        (b'{"st":2.25}' + b" " * MAX_REPLY, "bytes"),
        (b"2.25", "not a JSON object"),
        (b'[{"st":2.25}]', "not a JSON object"),
        (b"{}", "neither st nor time"),
        (b'{"it":2.25}', "neither st nor time"),
        (b'{"st":"2.25"}', "st is not a number"),
        (b'{"st":true}', "st is not a number"),
        (b'{"st":null,"time":2.25}', "st is not a number"),
        (b'{"st":2.25,"time":"noon"}', "time is not a number"),
        (b'{"st":-2.25}', "st: '-2.25' is out of range"),
        (b'{"st":1e300}', "st: '1e300' is out of range"),
        (b'{"st":2.1000000,"time":3.000000}', "st: .* rounding fault"),
        (b'{"st":3.000000,"time":2.1000000}', "time: .* rounding fault"),
        (b'{"st":2.25,"rt":2.1000000}', "rt: .* rounding fault"),
        (b'{"st":2.25,"pst":2.1000000}', "pst: .* rounding fault"),
        (b'{"st":2.25,"rt":[]}', "rt is not a number"),
        (b'{"st":2.25,"it":"1.5"}', "it is not a number"),
        (b'{"st":2.25,"pit":false}', "pit is not a number"),
        (b'{"st":2.25,"sync":1}', "sync is neither true nor false"),
        (b'{"st":2.25,"sync":null}', "sync is neither true nor false"),
        (b'{"st":2.25,"maxerr":-1}', "maxerr is not a duration"),
        (b'{"st":2.25,"maxerr":1e999}', "maxerr is not a duration"),
        (b'{"st":2.25,"maxerr":true}', "maxerr is not a number"),
        (b'{"st":2.25,"leap":36,"next":1.5,"step":2}', "a step of 2 s"),
        (b'{"st":2.25,"leap":36,"next":1.5,"step":1.0}', "step is not a small integer"),
        (b'{"st":2.25,"leap":99999,"next":1.5,"step":1}', "leap is not a small integer"),
        (b'{"st":2.25,"leap":36,"next":-1.5,"step":1}', "out of range"),
        (b'{"st":2.25,"leap":"36","next":1.5,"step":1}', "leap is not a number"),
    ],
)  # fmt: skip
def test_malformed_replies_are_refused_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        parse_reply(body)


def test_a_member_nested_as_deep_as_the_bound_allows_does_no_harm() -> None:
    deep = b'{"st":2.25,"x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    with suppress(Rejected):  # how deep json goes is up to the version of Python
        assert parse_reply(deep).st_ns == 2_250_000_000


def test_a_reply_of_the_largest_size_is_read() -> None:
    assert parse_reply(b'{"st":2.25}'.ljust(MAX_REPLY)) == TOLD


def test_a_host_cannot_break_out_of_its_member() -> None:
    template = ReplyTemplate('x","st":1,"y":"\n', None, sync=True, max_error=None)
    members = json.loads(template.render("0", 2_250_000_000, 2_000_000_000))
    assert members["id"] == 'x","st":1,"y":"\n'
    assert members["st"] == 2.25


def test_a_server_without_a_list_says_so_by_a_step_of_zero() -> None:
    template = ReplyTemplate("h", None, sync=False, max_error=None)
    assert template.render("0", 0, 0) == (
        b'{"id":"h","it":0,"st":0.000000000,"time":0.000000000,'
        b'"leap":0,"next":0.000000000,"step":0,"rt":0.000000000,"sync":false}'
    )


@pytest.mark.parametrize(("pit", "pst_ns"), [("1.5", None), (None, 5)])
def test_half_of_the_interleaved_members_is_left_out(pit: str | None, pst_ns: int | None) -> None:
    template = ReplyTemplate("h", None, sync=True, max_error=None)
    assert template.render("0", 0, 0, pit, pst_ns) == template.render("0", 0, 0)


# Requests


@pytest.mark.parametrize(
    ("text", "it"),
    [
        ("", "0"),
        (" \r\n", "0"),
        ("0", "0"),
        ("1489217288.328757", "1489217288.328757"),
        ("1489217288.3287570000000000001", "1489217288.3287570000000000001"),
        ("\t1489217288.5\n", "1489217288.5"),
        ("1.48e9", "1480000000.000000000"),
        ("+5", "5.000000000"),
        ("007.5", "7.500000000"),
        ("5.", "5.000000000"),
    ],
)
def test_a_request_is_echoed_digit_for_digit_if_json_can_carry_it(text: str, it: str) -> None:
    assert parse_request(text) == it


@pytest.mark.parametrize(
    "text", ["now", "1489217288.5&x=1", "%20", "-1", "nan", "\N{NO-BREAK SPACE}"]
)
def test_a_request_that_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        parse_request(text)


@given(st.text() | numbers)
def test_whatever_is_echoed_is_a_plain_json_number_for_the_same_instant(text: str) -> None:
    try:
        it = parse_request(text)
    except Rejected:
        return
    assert plain_number(it)
    assert isinstance(json.loads(it), int | float)
    assert parse_timestamp(it) == (parse_timestamp(text.strip()) if text.strip() else 0)


@pytest.mark.parametrize("text", ["", "01", "1.", ".1", "1e9", "+1", "--1", "1\n", "0x1"])
def test_not_a_plain_number(text: str) -> None:
    assert not plain_number(text)


# HTTP dates


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
    ],
)
def test_an_http_date_is_its_whole_second(value: str, seconds: int) -> None:
    assert parse_http_date(value) == seconds * 1_000_000_000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is not an HTTP date"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "is not an HTTP date"),
        ("Sun Nov  6 08:49:37 1994", "is not an HTTP date"),
        ("Sun, 06 Nov 1994 08:49:37 +0000", "is not an HTTP date"),
        ("Sun, 06 Nov 1994 08:49:37 GMT ", "is not an HTTP date"),
        ("Sun, 06 Foo 1994 08:49:37 GMT", "is not an HTTP date"),
        ("Mon, 06 Nov 1994 08:49:37 GMT", "is not in the calendar"),
        ("Mon, 31 Jun 2024 08:49:37 GMT", "is not in the calendar"),
        ("Sun, 06 Nov 1994 24:00:00 GMT", "is not in the calendar"),
        ("Wed, 31 Dec 1969 23:59:59 GMT", "is out of range"),
        ("Sat, 01 Jan 0000 00:00:00 GMT", "is out of range"),
        ("Wed, 01 Jan 2270 00:00:00 GMT", "is out of range"),
    ],
)
def test_other_dates_are_refused(value: str, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        parse_http_date(value)


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{2} (Feb|Jun|Dec) \d{4} \d\d:\d\d:\d\d GMT"))
def test_any_text_is_an_http_date_or_a_wire_error(value: str) -> None:
    try:
        assert 0 <= parse_http_date(value) <= MAX_NS
    except Rejected:
        return
