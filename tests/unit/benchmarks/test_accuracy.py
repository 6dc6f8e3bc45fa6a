"""benchmarks.accuracy: from stamps and logs to figures and verdicts."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.client import Recorded, record
from benchmarks.accuracy.cost import Cost
from benchmarks.accuracy.figures import FEWEST, Figures, by_mode, figures, made_of
from benchmarks.accuracy.marks import Mark, marks
from benchmarks.accuracy.modes import (
    FOUR,
    INTERLEAVED,
    KERNEL,
    USER,
    Asking,
    Mode,
    Sample,
    Series,
    Transport,
)
from benchmarks.accuracy.setting import Load, Outcome
from benchmarks.accuracy.table import as_json, cost_lines, mark_lines, outcome_lines
from benchmarks.accuracy.yardstick import Measurement, parse
from webntpd.clock.clocks import SystemClock
from webntpd.server import ServerParameters, serve

WIDTH = 100
US = 1e-6
SAMPLE = Sample(1_000, 5_000, 8_000, 10_000, "four-stamp kernel")

LOGGED = (
    "2026-11-22 22:41:33 198.18.0.1      N  1 111 111 0111  -4 -4 0.83"
    "  7.220e-07 -2.181e-06  1.266e-04  0.000e+00  0.000e+00 7F7F0101 4I K K"
)


def test_a_sample_errs_by_half_of_what_the_two_ways_differ() -> None:
    assert SAMPLE.offset == pytest.approx(1e-6)
    assert SAMPLE.delay == pytest.approx(6e-6)


def test_two_stamps_take_the_time_of_the_reply_for_that_of_the_request_too() -> None:
    sample = SAMPLE.with_two_stamps()
    assert sample.offset == pytest.approx(2.5e-6)
    assert sample.delay == pytest.approx(9e-6)


def test_the_same_exchanges_show_two_modes() -> None:
    taken = {Series(Transport.WS, Asking.KERNEL): [SAMPLE] * FEWEST}
    found = by_mode(taken)
    assert set(found) == {(KERNEL, Transport.WS), (FOUR, Transport.WS)}
    assert found[KERNEL, Transport.WS].median == pytest.approx(2.5e-6)
    assert found[FOUR, Transport.WS].median == pytest.approx(1e-6)


def test_samples_of_lesser_stamps_count_for_no_mode_but_are_told() -> None:
    series = Series(Transport.WS, Asking.INTERLEAVED)
    assert by_mode({series: [SAMPLE] * FEWEST}) == {}
    assert made_of([SAMPLE] * 3) == {"four-stamp kernel": 3}


def test_too_few_samples_give_no_figures() -> None:
    assert figures([(US, US)] * (FEWEST - 1)) is None


def test_errors_are_absolute_and_sorted() -> None:
    found = figures(
        (sign * number * US, number * US) for number in range(1, 51) for sign in (1, -1)
    )
    assert found is not None
    assert found.errors == sorted(abs(error) for error in found.errors)
    assert (found.median, found.tail, found.delay) == (25 * US, 50 * US, 25 * US)


def test_a_measurement_of_chronyd_is_read_field_by_field() -> None:
    at = int(datetime(2026, 11, 22, 22, 41, 33, tzinfo=UTC).timestamp())
    assert list(parse([LOGGED])) == [Measurement(at, 7.22e-07, -2.181e-06, ("4I", "K", "K"))]


@pytest.mark.parametrize(
    "line", ["", "=" * 80, LOGGED[:-2], f"{LOGGED} K", LOGGED.replace("-11-", "-")]
)
def test_what_is_no_measurement_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"rawmeasurements|time data"):
        list(parse([line]))


samples = st.builds(
    Sample, st.integers(), st.integers(), st.integers(), st.integers(), st.text(max_size=20)
)
series = st.sampled_from([Series(t, asking) for asking in Asking for t in asking.transports])


@given(
    st.builds(
        Recorded,
        begin=st.floats(0, 1e10),
        end=st.floats(0, 1e10),
        taken=st.dictionaries(series, st.lists(samples, max_size=5)),
        failures=st.dictionaries(series, st.dictionaries(st.text(max_size=9), st.integers(1))),
    )
)
def test_what_the_client_records_survives_its_json(recorded: Recorded) -> None:
    assert Recorded.from_json(recorded.to_json()) == recorded


async def test_every_way_of_asking_gets_its_samples() -> None:
    async with trio.open_nursery() as nursery:
        parameters = ServerParameters(listen=("127.0.0.1:0",), local=True)
        [address] = await nursery.start(partial(serve, parameters, SystemClock(), lambda: None))
        urls = {each: f"{each}://{address}/" for each in (Transport.HTTP, Transport.WS)}
        recorded = await record(urls, None, seconds=0.1, interval=0.01)
        nursery.cancel_scope.cancel()
    assert recorded.failures == {}
    assert recorded.begin < recorded.end
    assert set(recorded.taken) == {
        Series(transport, asking)
        for asking in Asking
        for transport in asking.transports
        if transport in urls
    }
    assert all(recorded.taken.values())


def of(*errors: float) -> Figures:
    return Figures(errors=sorted(errors), delay=US)


def outcome(
    place: str,
    load: Load,
    *,
    modes: dict[tuple[Mode, Transport], Figures] | None = None,
    chronyd: Figures | None = None,
) -> Outcome:
    return Outcome(place, load, modes or {}, chronyd, {}, {})


ALL = [
    outcome(
        place,
        load,
        modes={
            (INTERLEAVED, Transport.WS): of(2 * US),
            (INTERLEAVED, Transport.WSS): of(3 * US),
            (USER, Transport.WS): of(40 * US),
        },
        chronyd=of(1 * US),
    )
    for place in ("loopback", "veth")
    for load in Load
]
COST = {Asking.KERNEL: Cost(1.0, 1.0), Asking.INTERLEAVED: Cost(1.0, 2.5)}


def verdicts(found: Iterable[Mark]) -> Sequence[str]:
    return [mark.verdict for mark in found]


def test_marks_are_met_or_missed() -> None:
    found = marks(ALL, COST)
    assert [mark.value for mark in found] == pytest.approx(
        [2 * US, 2 * US, 1 / 20, 1.5, 1 / 20, 2, 2, 1.5]
    )
    assert verdicts(found) == ["met"] * 5 + ["missed"] * 3


def test_a_mark_that_meets_its_bound_exactly_is_met() -> None:
    assert Mark("", 1.5, 1.5).verdict == "met"


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    empty = [outcome(place, load) for place in ("loopback", "veth") for load in Load]
    assert verdicts(marks(empty, None)) == ["not measured"] * 7


def test_the_lines_fit_a_terminal() -> None:
    lines = [line for each in ALL for line in outcome_lines(each)]
    lines += [*cost_lines(COST), *mark_lines(marks(ALL, COST))]
    assert max(map(len, lines)) <= WIDTH


def test_lesser_stamps_and_failures_are_told_below_the_figures() -> None:
    shown = Series(Transport.WS, Asking.INTERLEAVED)
    told = Outcome(
        "loopback",
        Load.IDLE,
        {},
        None,
        provenance={shown: {"interleaved kernel": 5, "four-stamp kernel": 2}},
        failures={shown: {"timeout": 1}},
    )
    assert list(outcome_lines(told))[-2:] == [
        "  ws interleaved: 2 four-stamp kernel of 7, not counted",
        "  ws interleaved: failed with 1 timeout",
    ]


def test_programs_get_the_figures_in_seconds() -> None:
    text = as_json(ALL, COST, marks(ALL, COST))
    assert isinstance(text["settings"], list)
    assert text["settings"][0]["chronyd"] == {"samples": 1, "median": US, "p99": US, "delay": US}
    assert text["wake_ups"] == {
        "kernel": {"client": 1.0, "server": 1.0},
        "interleaved": {"client": 1.0, "server": 2.5},
    }
