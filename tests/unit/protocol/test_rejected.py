"""Named rejections, and how they quote a server."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import reading
from webntpd.ntp.readings import Failure, Rejection
from webntpd.protocol.rejected import MAX_DETAIL, Rejected, one_line


def test_a_rejection_carries_the_failure_that_a_peer_is_told() -> None:
    rejected = Rejected(Rejection.HTTP_STATUS, "503", retry_after=30.0, readings=[reading(0)])
    assert rejected.failure == Failure(Rejection.HTTP_STATUS, "503", 30.0)
    assert (rejected.rejection, rejected.detail) == (Rejection.HTTP_STATUS, "503")
    assert rejected.retry_after == 30.0
    assert rejected.readings == (reading(0),)
    assert str(rejected) == "http-status: 503"


@given(st.text())
def test_the_words_of_a_server_are_shown_on_one_line_without_control_characters(text: str) -> None:
    assert Rejected(Rejection.CLOSED, text).detail.isprintable()


def test_control_characters_are_shown_as_escapes() -> None:
    assert one_line("\x1b[2Jgone\nµ") == r"\x1b[2Jgone\nµ"


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * MAX_DETAIL) == "x" * MAX_DETAIL
    assert one_line("x" * (MAX_DETAIL + 1)) == "x" * MAX_DETAIL + "..."
