"""Lines that repeat themselves are held back and counted."""

import logging
from collections.abc import Mapping

import pytest

from webntpd.log.ratelimit import BURST, INTERVAL, RateLimit

LAST = " (more like this are counted, not shown)"


class Lines:
    """What comes through a limit, at times of the test's choice."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._limit = RateLimit(lambda: self.now)

    def tell(
        self,
        message: str,
        *arguments: object,
        logger: str = "a",
        fields: Mapping[str, str] | None = None,
    ) -> str | None:
        made = logging.LogRecord(logger, logging.INFO, "", 0, message, arguments, None)
        if fields is not None:
            made.fields = fields
        return made.getMessage() if self._limit.filter(made) else None


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_a_burst_is_shown_and_its_last_line_says_that_it_is(lines: Lines) -> None:
    shown = [lines.tell("event %d", number) for number in range(BURST + 2)]
    expected = [f"event {number}" for number in range(BURST)]
    expected[-1] += LAST
    assert shown == [*expected, None, None]


def test_the_next_line_that_is_shown_counts_those_that_were_not(lines: Lines) -> None:
    for _ in range(BURST + 7):
        lines.tell("100 %% of %s", "it")
    lines.now += INTERVAL
    assert lines.tell("100 %% of %s", "it") == "100 % of it (7 like this were not shown)"
    assert lines.tell("100 %% of %s", "it") is None
    lines.now += INTERVAL
    assert lines.tell("100 %% of %s", "it") == "100 % of it (1 like this were not shown)"


def test_after_a_long_rest_a_whole_burst_may_come_and_no_more(lines: Lines) -> None:
    for _ in range(BURST):
        lines.tell("event")
    lines.now += 1000 * BURST * INTERVAL
    assert [lines.tell("event") for _ in range(BURST + 1)] == [
        *["event"] * (BURST - 1),
        f"event{LAST}",
        None,
    ]


def test_lines_that_are_rare_enough_are_never_held_back(lines: Lines) -> None:
    for _ in range(10 * BURST):
        assert lines.tell("event") == "event"
        lines.now += INTERVAL


@pytest.mark.parametrize(
    "other",
    [
        {"logger": "b"},
        {"message": "other event"},
        {"fields": {"peer": "two"}},
        {"fields": {"peer": "one", "event": "other"}},
    ],
    ids=str,
)
def test_another_kind_of_line_or_peer_is_not_held_back_with_it(
    lines: Lines, other: dict[str, str]
) -> None:
    kind = {"message": "event", "logger": "a", "fields": {"peer": "one"}}
    while lines.tell(**kind) is not None:  # type: ignore[arg-type]
        pass
    assert lines.tell(**(kind | other)) is not None  # type: ignore[arg-type]
    assert lines.tell(**(kind | {"fields": {"peer": "one", "rejection": "x"}})) is None  # type: ignore[arg-type]
