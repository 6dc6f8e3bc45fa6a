import hashlib
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.harness import unavailable
from tests.unit.leap.days import DAY_NS, JUNE_1997_NS, NEW_YEAR_2017_NS
from webntpd.leap.list import (
    LeapError,
    LeapList,
    parse_leap_list,
)
from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice

NTP_TO_UNIX = 2_208_988_800

# The IERS list of July 2025 without its long comments; its hash is the published one.
PUBLISHED = b"""\
#\tATOMIC TIME
#
#$\t3960835200
#
#@\t3991593600
#
#NTP Time      DTAI    Day Month Year
#
2272060800      10      # 1 Jan 1972
2287785600      11      # 1 Jul 1972
2303683200      12      # 1 Jan 1973
2335219200      13      # 1 Jan 1974
2366755200      14      # 1 Jan 1975
2398291200      15      # 1 Jan 1976
2429913600      16      # 1 Jan 1977
2461449600      17      # 1 Jan 1978
2492985600      18      # 1 Jan 1979
2524521600      19      # 1 Jan 1980
2571782400      20      # 1 Jul 1981
2603318400      21      # 1 Jul 1982
2634854400      22      # 1 Jul 1983
2698012800      23      # 1 Jul 1985
2776982400      24      # 1 Jan 1988
2840140800      25      # 1 Jan 1990
2871676800      26      # 1 Jan 1991
2918937600      27      # 1 Jul 1992
2950473600      28      # 1 Jul 1993
2982009600      29      # 1 Jul 1994
3029443200      30      # 1 Jan 1996
3076704000      31      # 1 Jul 1997
3124137600      32      # 1 Jan 1999
3345062400      33      # 1 Jan 2006
3439756800      34      # 1 Jan 2009
3550089600      35      # 1 Jul 2012
3644697600      36      # 1 Jul 2015
3692217600      37      # 1 Jan 2017
#
#h\t49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e
"""


def leap_file(
    rows: list[str], *, updated: str = "3960835200", expires: str = "3991593600"
) -> bytes:
    """A list with a hash that fits, whatever the rest."""
    digits = updated + expires + "".join("".join(row.split("#")[0].split()) for row in rows)
    digest = hashlib.sha1(digits.encode()).hexdigest()
    words = " ".join(digest[at : at + 8] for at in range(0, 40, 8))
    return "\n".join([f"#$ {updated}", f"#@ {expires}", *rows, f"#h {words}"]).encode()


def test_the_published_list_is_read_whole() -> None:
    leaps = parse_leap_list(PUBLISHED)
    assert leaps.updated_ns == 1_751_846_400 * NS_PER_S  # 7 July 2025
    assert leaps.expires_ns == 1_782_604_800 * NS_PER_S  # 28 June 2026
    assert len(leaps.leaps) == 27
    assert leaps.leaps[0] == LeapNotice(10, 78_796_800 * NS_PER_S, 1)  # 1 July 1972
    assert leaps.leaps[-1] == LeapNotice(36, NEW_YEAR_2017_NS, 1)


def test_the_systems_own_list_is_read() -> None:
    path = Path("/usr/share/zoneinfo/leap-seconds.list")
    if not path.exists():
        unavailable(str(path), "apt install tzdata")
    assert LeapNotice(36, NEW_YEAR_2017_NS, 1) in parse_leap_list(path.read_bytes()).leaps


def test_no_beginning_of_a_list_is_taken_for_the_whole() -> None:
    whole = len(PUBLISHED.rstrip())
    for end in range(whole):
        with pytest.raises(LeapError):
            parse_leap_list(PUBLISHED[:end])
    assert parse_leap_list(PUBLISHED[:whole]) == parse_leap_list(PUBLISHED)


@pytest.mark.parametrize(
    "trailing", [b"\n\n", b"# bye", b"#\xe9t\xe9\x85\x1c", b"#however", b"\r\n"]
)
def test_comments_and_empty_lines_do_not_change_a_list(trailing: bytes) -> None:
    assert parse_leap_list(PUBLISHED + trailing) == parse_leap_list(PUBLISHED)


def test_line_ends_of_another_system_do_not_change_a_list() -> None:
    assert parse_leap_list(PUBLISHED.replace(b"\n", b"\r\n")) == parse_leap_list(PUBLISHED)


@pytest.mark.parametrize("trailing", [b"3723753600 38", b"tail", b"\0"])
def test_more_behind_a_list_is_refused(trailing: bytes) -> None:
    with pytest.raises(LeapError):
        parse_leap_list(PUBLISHED + trailing)


@given(st.integers(0, len(PUBLISHED.rstrip()) - 1), st.integers(0, 255))
def test_a_damaged_byte_is_noticed_or_harmless(at: int, value: int) -> None:
    damaged = PUBLISHED[:at] + bytes([value]) + PUBLISHED[at + 1 :]
    try:
        assert parse_leap_list(damaged) == parse_leap_list(PUBLISHED)
    except LeapError:
        return


lines = st.sampled_from(PUBLISHED.splitlines()) | st.binary(max_size=30)


@given(st.binary() | st.lists(lines).map(b"\n".join))
def test_any_bytes_are_a_list_or_a_leap_error(data: bytes) -> None:
    try:
        assert parse_leap_list(data).leaps
    except LeapError:
        return


@given(st.lists(st.tuples(st.integers(1, 2000), st.sampled_from([-1, 1])), min_size=1, max_size=20))
def test_a_list_of_any_steps_gives_each_as_a_notice(steps: list[tuple[int, int]]) -> None:
    days = list(accumulate((gap for gap, _ in steps), initial=27_000))
    tai_utc = list(accumulate((step for _, step in steps), initial=100))
    rows = [f"{day * 86_400} {value}" for day, value in zip(days, tai_utc, strict=True)]
    expected = tuple(
        LeapNotice(before, (day * 86_400 - NTP_TO_UNIX) * NS_PER_S, step)
        for before, day, (_, step) in zip(tai_utc, days[1:], steps, strict=False)
    )
    assert parse_leap_list(leap_file(rows)).leaps == expected


def test_a_hash_may_lack_leading_zeros() -> None:
    rows = ["2272060800 10", "2287785600 11"]
    for day in range(3000):  # until a hash has a word that begins with 0
        updated = str(3_900_000_000 + day)
        data = leap_file(rows, updated=updated)
        if b" 0" in data.splitlines()[-1]:
            break
    shortened = data.replace(b" 0", b" ")
    assert shortened != data
    assert parse_leap_list(shortened) == parse_leap_list(data)


def test_time_begins_with_1970() -> None:
    assert parse_leap_list(leap_file([FIRST, SECOND], updated="2208988800")).updated_ns == 0
    with pytest.raises(LeapError, match="before 1970"):
        parse_leap_list(leap_file([FIRST, SECOND], updated="2208988799"))


FIRST = "2272060800 10"
SECOND = "2287785600 11 # 1 Jul 1972"


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"", 0, r"no #\$ line"),
        (b"<!DOCTYPE html>", 0, r"no #\$ line"),
        (PUBLISHED.replace(b"#@", b"# "), 0, "no #@ line"),
        (PUBLISHED.replace(b"#h\t", b"#h:"), 0, "no #h line"),
        (PUBLISHED + b"#$ 3960835200", 39, r"a second #\$ line"),
        (PUBLISHED.replace(b"49db", b"49dc"), 38, "hash does not fit"),
        (PUBLISHED.replace(b" 39b8e49e", b""), 38, "five words"),
        (PUBLISHED.replace(b"39b8e49e", b"39b8e49g"), 38, "five words"),
        (PUBLISHED.replace(b"2272060800  ", b"2272060800, "), 9, "neither a comment"),
        (leap_file([FIRST, "2287785600"]), 4, "neither a comment"),
        (leap_file([FIRST, "2287785600 -11"]), 4, "neither a comment"),
        (leap_file([FIRST, "99999999999 11"]), 4, "neither a comment"),
        (leap_file([FIRST, SECOND], updated="soon"), 1, "seconds since 1900"),
        (leap_file([FIRST, SECOND], expires="99999999999"), 2, "seconds since 1900"),
        (leap_file([FIRST, SECOND], expires="3960835200"), 2, "expires before"),
        (leap_file(["2208902400 9", FIRST]), 3, "before 1970"),
        (leap_file([FIRST, "2287785601 11"]), 4, "UTC midnight"),
        (leap_file([FIRST, FIRST.replace("10", "11")]), 4, "not later"),
        (leap_file([SECOND, FIRST]), 4, "not later"),
        (leap_file([FIRST, "2287785600 10"]), 4, "steps by 0 s"),
        (leap_file([FIRST, SECOND, "2303683200 13"]), 5, "steps by 2 s"),
        (leap_file([FIRST]), 0, "no leap second"),
        (leap_file([]), 0, "no leap second"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(data: bytes, line: int, reason: str) -> None:
    with pytest.raises(LeapError, match=reason) as caught:
        parse_leap_list(data)
    assert caught.value.line == line
    assert (f"line {line}: " in str(caught.value)) == bool(line)


# 10 000 and 15 000 days, moved to the next first day of a month.
FEBRUARY_2011_NS = 15_006 * DAY_NS
LIST = LeapList(
    updated_ns=0,
    expires_ns=20_000 * DAY_NS,
    leaps=(LeapNotice(36, JUNE_1997_NS, 1), LeapNotice(37, FEBRUARY_2011_NS, -1)),
)


@pytest.mark.parametrize(
    ("now_ns", "tai_utc"),
    [
        (0, 36),
        (JUNE_1997_NS - 1, 36),
        (JUNE_1997_NS, 37),
        (FEBRUARY_2011_NS - 1, 37),
        (FEBRUARY_2011_NS, 37),
        (99_000 * DAY_NS, 37),
    ],
)
def test_the_notice_is_of_the_next_leap_second_or_else_of_the_latest(
    now_ns: int, tai_utc: int
) -> None:
    assert LIST.notice(now_ns).tai_utc == tai_utc


@pytest.mark.parametrize(
    ("now_ns", "warning"),
    [
        (JUNE_1997_NS - DAY_NS - 1, Leap.NONE),
        (JUNE_1997_NS - DAY_NS, Leap.INSERT),
        (JUNE_1997_NS - 1, Leap.INSERT),
        (JUNE_1997_NS, Leap.NONE),
        (FEBRUARY_2011_NS - DAY_NS, Leap.DELETE),
        (FEBRUARY_2011_NS - 1, Leap.DELETE),
        (FEBRUARY_2011_NS, Leap.NONE),
    ],
)
def test_a_list_warns_only_within_the_last_day(now_ns: int, warning: Leap) -> None:
    assert LIST.warning(now_ns) is warning


def test_an_expired_list_warns_of_nothing() -> None:
    expired = LeapList(0, expires_ns=JUNE_1997_NS - 5, leaps=LIST.leaps)
    assert expired.warning(JUNE_1997_NS - 6) is Leap.INSERT
    assert expired.warning(JUNE_1997_NS - 5) is Leap.NONE
