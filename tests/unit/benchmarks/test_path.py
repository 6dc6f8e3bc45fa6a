"""benchmarks.path: the emulator's draws, and from looks to figures and verdicts."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.path.chronyc import Statistics, parse, with_poll
from benchmarks.path.emulator import Traffic, build
from benchmarks.path.marks import marks
from benchmarks.path.paths import PATHS, Bloat, Exponential, Loss, Pareto, Way
from benchmarks.path.record import FEWEST, Look, Publication, Record
from benchmarks.path.report import WIDTH, table
from benchmarks.path.results import Result, figures, summarise
from tests.system.harness import require

MS = 1e-3
NS = 1e-9
START = 1_700_000_000.0

Draw = Callable[..., list[float | None]]
"""Delays, s, by wan.c; None for a packet that is lost."""


@pytest.fixture(scope="session")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    require("cc")
    program = build(tmp_path_factory.mktemp("wan") / "wan")

    def drawn(
        model: object, *, seed: int = 1, count: int = 4000, step: float = 10.0
    ) -> list[float | None]:
        command = (program, "--dry", str(seed), str(model), str(count), str(step))
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return [None if line == "lost" else float(line) for line in lines]

    return drawn


def delays(drawn: Sequence[float | None]) -> list[float]:
    return [each for each in drawn if each is not None]


def share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


@pytest.mark.system
def test_a_seed_draws_the_same_delays_again(draw: Draw) -> None:
    model = PATHS["mobile"].up
    assert draw(model) == draw(model)
    assert draw(model) != draw(model, seed=2)


@pytest.mark.system
def test_exponential_jitter_is_light_tailed(draw: Draw) -> None:
    found = delays(draw(Way(30 * MS, (Exponential(15 * MS),))))
    jitter = [each - 30 * MS for each in found]
    assert min(jitter) >= 0
    assert sum(jitter) / len(jitter) == pytest.approx(15 * MS, rel=0.05)
    assert share([each > 30 * MS for each in jitter]) == pytest.approx(0.135, abs=0.02)


@pytest.mark.system
def test_pareto_jitter_is_heavy_tailed_up_to_the_most(draw: Draw) -> None:
    found = delays(draw(Way(8 * MS, (Pareto(1.5 * MS, 1.4, 40 * MS),))))
    jitter = [each - 8 * MS for each in found]
    assert min(jitter) >= 0
    assert max(jitter) == pytest.approx(40 * MS, abs=NS)
    # The survival function: P(jitter > x) = (1 + x / scale) ** -shape.
    for x in (1.5 * MS, 15 * MS):
        expected = (1 + x / (1.5 * MS)) ** -1.4
        assert share([each > x for each in jitter]) == pytest.approx(expected, abs=0.02)


@pytest.mark.system
def test_a_buffer_fills_for_a_part_of_each_period(draw: Draw) -> None:
    found = delays(draw(Way(10 * MS, (Bloat(300, 0.2, 1.0),)), count=3000, step=1.0))
    for number, delay in enumerate(found):
        at = number % 300
        extra = delay - 10 * MS
        if 0 < at < 60:
            assert extra <= at / 60 + 1  # packets keep their order: an earlier one holds it up
        elif at > 61:
            assert extra == pytest.approx(0, abs=NS)
    filling = [delay for number, delay in enumerate(found) if number % 300 < 60]
    assert max(filling) > 0.8
    assert sum(filling) / len(filling) == pytest.approx(0.25 + 10 * MS, abs=0.05)


@pytest.mark.system
def test_so_many_packets_are_lost(draw: Draw) -> None:
    found = draw(Way(0.0, (Loss(0.03),)))
    assert share([each is None for each in found]) == pytest.approx(0.03, abs=0.01)
    assert None not in draw(Way(0.0))


@pytest.mark.system
def test_a_loss_does_not_change_the_draws_of_other_packets(draw: Draw) -> None:
    whole = draw(Way(0.0, (Exponential(MS),)))
    some = draw(Way(0.0, (Exponential(MS), Loss(0.5))))
    assert all(lost in {None, kept} for lost, kept in zip(some, whole, strict=True))


@pytest.mark.system
def test_no_packet_overtakes_another(draw: Draw) -> None:
    step = MS
    found = delays(draw(Way(0.0, (Exponential(50 * MS),)), step=step))
    arrivals = [number * step + delay for number, delay in enumerate(found)]
    assert all(late - early > -2 * NS for early, late in pairwise(arrivals))


@pytest.mark.system
def test_a_line_sends_one_packet_after_the_other(draw: Draw) -> None:
    # 100 bytes at 80 kbit/s are 10 ms: with one packet every 5 ms each waits 5 ms longer.
    assert delays(draw("rate=80000", count=4, step=5 * MS)) == pytest.approx(
        [10 * MS, 15 * MS, 20 * MS, 25 * MS], abs=2 * NS
    )


@pytest.mark.system
@pytest.mark.parametrize("name", PATHS)
def test_the_emulator_reads_every_path(draw: Draw, name: str) -> None:
    for way in (PATHS[name].up, PATHS[name].down):
        assert min(delays(draw(way, count=100))) >= way.base - NS


@pytest.mark.system
@pytest.mark.parametrize("word", ["base", "jitter=1", "pareto=1:2", "bloat=300:0.2"])
def test_the_emulator_refuses_an_unknown_model(draw: Draw, word: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        draw(f"base=0.01 {word}")


def test_only_the_uplink_of_bufferbloat_has_a_buffer_that_fills() -> None:
    assert list(PATHS["bufferbloat"].lines()) == [
        "up: base=0.01 exponential=0.0005 bloat=300:0.2:1; down: base=0.01 exponential=0.0005"
    ]
    assert list(PATHS["broadband"].lines()) == ["each way: base=0.008 pareto=0.0015:1.4:0.4"]


SOURCESTATS = """\
WEB,11,6,176,-0.041,3.211,-0.000123400,0.000071000
198.18.0.1,7,3,97,0.102,61.523,0.002500000,0.001700000
"""


def test_chronyc_prints_the_opposite_sign() -> None:
    assert parse(SOURCESTATS) == {
        "WEB": Statistics(11, 0.0001234),
        "198.18.0.1": Statistics(7, -0.0025),
    }
    assert parse("") == {}


@pytest.mark.parametrize("text", ["506 Cannot talk to daemon", "WEB,11,6\n", SOURCESTATS + "x"])
def test_a_line_that_is_not_of_sourcestats_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a line of sourcestats"):
        parse(text)


def test_a_refclock_line_gets_another_poll_alone() -> None:
    line = "refclock SHM 2:perm=0600 refid WEB poll 6 dpoll 0 filter 1"
    assert with_poll(line, None) == line
    assert with_poll(line, 4) == "refclock SHM 2:perm=0600 refid WEB poll 4 dpoll 0 filter 1"


def look(at: float, ours: float = MS, ntp: float = MS, *, points: int = FEWEST) -> Look:
    return Look(START + at, Statistics(points, ours), Statistics(FEWEST + 1, ntp))


def status(
    published: int, at: float, offset: float = MS, error: float = 2 * MS
) -> Mapping[str, object]:
    return {
        "published": published,
        "last": {"at": START + at, "offset": offset, "error": error, "leap": "none"},
    }


def record(*looks: Look, publications: Sequence[Publication] = ()) -> Record:
    return Record(list(publications), list(looks), len(publications))


def summary(seen: Record, path: str = "mobile") -> Result:
    return summarise(
        seen,
        path=path,
        model=["each way: base=0.03"],
        refclock="refclock SHM 2 refid WEB poll 4 noselect",
        started=START,
        traffic=Traffic(1000, 30, 8e-6, 1e-4),
    )


def test_each_publication_is_kept_once() -> None:
    seen = Record()
    for told in ({"published": 0, "last": None}, status(1, 1), status(1, 1), status(3, 4)):
        seen.published(told)
    assert [each.at - START for each in seen.publications] == [1, 4]
    assert seen.made == 3


def test_all_counts_from_the_instant_at_which_both_have_an_estimate() -> None:
    publications = [Publication(START + at, MS, 2 * MS) for at in (1, 3, 5)]
    seen = record(look(0, points=0), look(2, points=FEWEST - 1), look(4), publications=publications)
    assert seen.begin == START + 4
    assert seen.scored() == (publications[2:], seen.looks[2:])


def test_scoring_goes_on_until_the_end() -> None:
    seen = record(look(0), look(2, points=FEWEST - 1))
    assert seen.scored() == ([], seen.looks)


def test_without_two_estimates_nothing_counts() -> None:
    seen = record(look(0, points=0), publications=[Publication(START, MS, 2 * MS)])
    assert seen.begin is None
    assert seen.scored() == ((), ())
    found = summary(seen)
    assert (found.warm_up, found.published, found.view, found.ntp, found.ratio) == (None,) * 5
    assert found.coverage == 1.0
    assert [mark.met for mark in marks([found])] == [None, None, True]


def test_figures_are_of_absolute_values() -> None:
    found = figures([3 * MS, -4 * MS])
    assert found is not None
    assert found.rms == pytest.approx(MS * 12.5**0.5)
    assert (found.count, found.median, found.p95, found.greatest) == (2, 3 * MS, 4 * MS, 4 * MS)
    assert figures([]) is None


@given(st.lists(st.floats(-1, 1), min_size=1))
def test_figures_are_in_their_order(offsets: list[float]) -> None:
    found = figures(offsets)
    assert found is not None
    assert found.median <= found.p95 <= found.greatest
    assert found.rms <= found.greatest * (1 + 1e-9)


def test_a_bound_holds_up_to_its_end_and_from_the_first_sample_on() -> None:
    publications = [
        Publication(START + 1, -2 * MS, MS),
        *(Publication(START + at, -MS, MS) for at in (2, 3, 4)),
    ]
    found = summary(record(look(3), publications=publications))
    assert found.coverage == 0.75
    assert found.published is not None
    assert found.published.count == 2


def test_the_marks_compare_the_two_views_at_the_same_instants() -> None:
    held = [Publication(START + 1, MS, 2 * MS)]
    for ours, verdicts in ((0.5, [True, True, True]), (1.0, [True, False, True]), (1.01, None)):
        found = summary(record(look(0, ours * MS), look(2, -ours * MS), publications=held))
        assert found.ratio == pytest.approx(ours)
        assert [mark.met for mark in marks([found])] == (verdicts or [False, False, True])


def test_a_bound_that_fails_once_misses() -> None:
    failed = [Publication(START + 1, 3 * MS, 2 * MS)]
    found = summary(record(look(0), publications=failed))
    *_, last = marks([found])
    assert last.met is False
    *_, last = marks([summary(record(look(0)))])
    assert last.met is None


@pytest.mark.parametrize("seen", [record(), record(look(0), look(2))])
def test_the_report_fits(seen: Record) -> None:
    results = [summary(seen, path) for path in PATHS]
    lines = [line for result in results for line in table(result)]
    lines += map(str, marks(results))
    assert max(map(len, lines)) <= WIDTH
    for path in PATHS:
        assert path in lines


def test_a_long_refclock_line_is_wrapped() -> None:
    result = summarise(
        record(), path="mobile", model=[], refclock="word " * 40, started=START, traffic=None
    )
    assert max(map(len, table(result))) <= WIDTH


def test_results_and_records_are_json() -> None:
    seen = record(look(2, 2 * MS), publications=[Publication(START + 1, MS, 2 * MS)])
    found = json.loads(json.dumps({**summary(seen).as_dict(), **seen.as_dict(START)}))
    assert found["ratio"] == pytest.approx(2.0)
    assert found["traffic"]["lost"] == 30
    assert found["publications"] == [[1.0, MS, 2 * MS]]
    assert found["looks"] == [[2.0, FEWEST, 2 * MS, FEWEST + 1, MS]]


def test_the_emulators_last_line_is_read() -> None:
    line = '{"delivered": [5, 7], "lost": [1, 0], "late": 0.000008, "latest": 0.0001}\n'
    assert Traffic.parse(line) == Traffic(12, 1, 8e-6, 1e-4)


@pytest.mark.system
def test_the_emulator_is_built_only_when_its_source_is_newer(tmp_path: Path) -> None:
    require("cc")
    program = tmp_path / "wan"
    program.write_text("built already")
    assert build(program) == program
    assert program.read_text() == "built already"
