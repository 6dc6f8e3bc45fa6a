"""What a server's status and Retry-After come to."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.exchange.failure import parse_retry_after, refused
from webntpd.ntp.readings import NS_PER_S, Rejection

DATE = "Sun, 22 Nov 2026 20:00:00 GMT"
DATE_NS = 1_795_377_600 * NS_PER_S


@pytest.mark.parametrize(
    ("headers", "now_ns", "seconds"),
    [
        ({}, 0, None),
        ({"Retry-After": "0"}, 0, 0.0),
        ({"Retry-After": "3600"}, 0, 3600.0),
        ({"Retry-After": "99999999999999999999"}, 0, 9_999_999_999.0),
        ({"Retry-After": "-1"}, 0, None),
        ({"Retry-After": "1.5"}, 0, None),
        ({"Retry-After": "\u0663"}, 0, None),
        ({"Retry-After": "soon"}, 0, None),
        ({"Retry-After": DATE}, DATE_NS - 90 * NS_PER_S, 90.0),
        ({"Retry-After": DATE}, DATE_NS + 90 * NS_PER_S, 0.0),
        ({"Retry-After": DATE, "Date": DATE}, 0, 0.0),
        ({"Retry-After": DATE, "Date": "yesterday"}, 0, None),
    ],
)
def test_retry_after_is_read_in_either_form(
    headers: dict[str, str], now_ns: int, seconds: float | None
) -> None:
    assert parse_retry_after(httpx.Headers(headers, encoding="utf-8"), now_ns) == seconds


@given(st.text(), st.integers(0, 2**63))
def test_retry_after_is_never_negative_whatever_it_says(value: str, now_ns: int) -> None:
    headers = httpx.Headers({"Retry-After": value}, encoding="utf-8")
    seconds = parse_retry_after(headers, now_ns)
    assert seconds is None or seconds >= 0


def test_a_redirect_shows_a_bounded_part_of_its_target() -> None:
    failure = refused(301, httpx.Headers({"Location": "x" * 9000}), 0).failure
    assert failure.rejection is Rejection.REDIRECT
    assert len(failure.detail) < 310
