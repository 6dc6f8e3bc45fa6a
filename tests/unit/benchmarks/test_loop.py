"""benchmarks.loop: the emulated paths, the relay, and from samples to figures and verdicts."""

import json
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.modes import Sample
from benchmarks.common.command import write_figures
from benchmarks.common.marks import Mark
from benchmarks.loop.__main__ import make_parser
from benchmarks.loop.image import FILES
from benchmarks.loop.marks import LARGEST_FLOOR, LEAST_TIME, MS, RMS, marks
from benchmarks.loop.paths import (
    BROADBAND,
    FIRST_RETRANSMISSION,
    MOBILE,
    PATHS,
    tcp_delays,
    with_retransmissions,
)
from benchmarks.loop.relay import Way, Wire
from benchmarks.loop.report import as_json, lines
from benchmarks.loop.scoring import (
    SETTLING,
    SWING,
    Floor,
    floor_of,
    rms,
    score_of,
    settled_from,
    straightened,
    turns,
    without_floor,
)
from benchmarks.loop.setting import SHM, Outcome, configuration
from benchmarks.loop.truth import Truth, least_delay
from webntpd.config import load

WIDTH = 100
DRAWS = 20_000
SEED = 7

errors = st.floats(-1, 1)


# -- paths -----------------------------------------------------------------------------------


def drawn(name: str, number: int = 0, at: float = 0.0) -> Sequence[float]:
    rng = Random(SEED)
    out, _ = tcp_delays(PATHS[name][number])
    return [out(rng, at) for _ in range(DRAWS)]


@pytest.mark.parametrize(
    ("name", "bases"), [(BROADBAND, (8, 11, 17)), (MOBILE, (30, 35, 45))], ids=PATHS
)
def test_no_delay_is_below_the_base(name: str, bases: Sequence[int]) -> None:
    assert len(PATHS[name]) == len(bases)
    for number, base in enumerate(bases):
        least = min(drawn(name, number))
        assert base * MS <= least <= 1.05 * base * MS


def test_broadband_is_heavy_tailed_and_cut() -> None:
    above = sorted(delay - 8 * MS for delay in drawn(BROADBAND))
    # The median of a Pareto distribution less its scale.
    assert above[DRAWS // 2] == pytest.approx(1.5 * MS * (2 ** (1 / 1.4) - 1), rel=0.05)
    assert 50 * MS < above[-1] <= 400 * MS


def test_a_tenth_of_the_exchanges_over_mobile_loses_a_segment() -> None:
    # In the quiet part of a period, where nothing but a retransmission takes that long.
    quiet = drawn(MOBILE, at=800.0)
    lost = sum(delay > FIRST_RETRANSMISSION for delay in quiet) / DRAWS
    assert 1 - (1 - lost) ** 2 == pytest.approx(0.1, rel=0.1)


class Fated(Random):
    """Its draws are known."""

    def __init__(self, *draws: float) -> None:
        super().__init__(0)
        self._draws = iter(draws)

    def random(self) -> float:
        return next(self._draws)


def test_each_further_loss_doubles_the_wait() -> None:
    delay = with_retransmissions(lambda _, __: 0.01, loss=0.1)
    waited = (1 + 2 + 4) * (FIRST_RETRANSMISSION + 0.02)
    assert delay(Fated(0.0, 0.0, 0.0, 1.0), 0.0) == pytest.approx(waited + 0.01)


def test_a_segment_that_is_sent_again_travels_at_the_later_time() -> None:
    delay = with_retransmissions(lambda _, at: at, loss=0.1)
    assert delay(Fated(0.0, 1.0), 0.0) == pytest.approx(2 * FIRST_RETRANSMISSION)


# -- the relay -------------------------------------------------------------------------------

chunks = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=20)


def emptied(way: Way) -> Iterator[tuple[float, bytes]]:
    """The chunks of a way, each taken out as soon as it is due."""
    while (due := way.due) is not None:
        chunk = way.take(due)
        assert chunk is not None
        yield due, chunk


@given(chunks)
def test_order_is_kept_and_no_chunk_is_early(arrivals: Sequence[tuple[float, float]]) -> None:
    delays = iter([delay for _, delay in arrivals])
    way, now = Way(lambda _: next(delays)), 0.0
    sent = []
    for number, (pause, delay) in enumerate(arrivals):
        now += pause
        way.put(bytes([number]), now)
        sent.append(now + delay)
    came = list(emptied(way))
    assert [chunk for _, chunk in came] == [bytes([number]) for number in range(len(arrivals))]
    assert all(due >= least for (due, _), least in zip(came, sent, strict=True))
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(came))


@given(chunks)
def test_a_chunk_waits_only_for_itself_and_the_chunks_before_it(
    arrivals: Sequence[tuple[float, float]],
) -> None:
    delays = iter([delay for _, delay in arrivals])
    way, now, least = Way(lambda _: next(delays)), 0.0, 0.0
    for pause, delay in arrivals:
        now += pause
        least = max(least, now + delay)
        way.put(b"x", now)
    dues = [due for due, _ in emptied(way)]
    assert dues[-1:] == ([least] if arrivals else [])


def test_nothing_leaves_before_it_is_due() -> None:
    way = Way(lambda _: 2.0)
    assert way.due is None
    way.put(b"a", 1.0)
    assert way.due == 3.0
    assert way.take(2.9) is None
    assert way.take(3.0) == b"a"
    assert way.take(9.0) is None


def test_a_wire_passes_data_on_and_then_their_end() -> None:
    source, near = socket.socketpair()
    far, sink = socket.socketpair()
    with source, near, far, sink:
        wire = Wire(near, far, Way(lambda _: 1.0))
        source.sendall(b"tick")
        wire.read(0.0)
        source.shutdown(socket.SHUT_WR)
        wire.read(5.0)
        assert not wire.reading
        wire.write(1.0)
        assert sink.recv(9) == b"tick"
        assert wire.writing
        wire.write(6.0)
        assert sink.recv(9) == b""
        assert not wire.writing


def test_a_sink_that_has_gone_breaks_nothing() -> None:
    source, near = socket.socketpair()
    far, sink = socket.socketpair()
    with source, near, far:
        sink.close()
        wire = Wire(near, far, Way(lambda _: 0.0))
        source.sendall(b"tick")
        wire.read(0.0)
        wire.write(0.0)
        source.close()
        wire.read(1.0)
        wire.write(1.0)
        assert not wire.writing


# -- scoring ---------------------------------------------------------------------------------


def truths(error_at: Callable[[float], float], seconds: float = 900.0) -> Sequence[Truth]:
    return [Truth(float(at), error_at(float(at)), 1e-4) for at in range(0, int(seconds), 5)]


@given(st.lists(errors, min_size=1, max_size=50))
def test_the_rms_lies_between_the_mean_and_the_worst(values: Sequence[float]) -> None:
    assert abs(math.fsum(values) / len(values)) <= rms(values) + 1e-12
    assert rms(values) <= max(map(abs, values)) + 1e-12


def test_no_values_have_no_rms() -> None:
    with pytest.raises(ValueError, match="no values"):
        rms([])


@given(st.floats(-1e-3, 1e-3), st.floats(-1, 1))
def test_a_clock_of_constant_frequency_has_no_floor(frequency: float, error: float) -> None:
    floor = floor_of(truths(lambda at: error + frequency * at, seconds=180))
    assert floor.frequency == pytest.approx(frequency, abs=1e-12)
    assert floor.worst < 1e-9
    assert floor.bound == 5e-5


def test_the_floor_is_the_residual_of_a_line() -> None:
    noise = Random(SEED)
    floor = floor_of(truths(lambda at: 3.0 + 5e-5 * at + noise.gauss(0, 1e-4)))
    assert floor.rms == pytest.approx(1e-4, rel=0.2)
    assert floor.frequency == pytest.approx(5e-5, rel=0.01)


def test_two_samples_are_too_few_for_a_line() -> None:
    with pytest.raises(ValueError, match="too few"):
        floor_of(truths(lambda _: 0.0, seconds=10))


@given(st.lists(errors, min_size=3, max_size=30))
def test_a_line_leaves_nothing_on_average(values: Sequence[float]) -> None:
    _, left = straightened([(float(x), y) for x, y in enumerate(values)])
    assert math.fsum(left) == pytest.approx(0, abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 1))
def test_squares_add_up(clock: float, floor: float) -> None:
    measured = math.hypot(clock, floor)
    assert without_floor(measured, floor) == pytest.approx(clock, abs=1e-7)


def test_a_floor_above_the_measured_rms_leaves_nothing() -> None:
    assert without_floor(1.0, 2.0) == 0.0


def test_scoring_begins_with_the_fifth_minute() -> None:
    score = score_of(truths(lambda at: 9.0 if at < SETTLING else 1e-3), SETTLING, mark=1.0)
    assert (score.samples, score.turns) == (120, 0)
    assert (score.rms, score.worst, score.mean) == pytest.approx((1e-3, 1e-3, 1e-3))


def test_a_short_run_settles_for_a_third_of_it() -> None:
    assert settled_from(900) == settled_from(3600) == SETTLING
    assert settled_from(240) == 80


def test_an_oscillation_is_a_swing_and_a_lone_excursion_is_none() -> None:
    reach = 0.5
    wave = score_of(truths(lambda at: math.sin(at / 40)), 0, reach / SWING)
    assert wave.swings
    lone = [0.0, 0.9, 0.2, -0.3, 0.9, -0.6, 0.0]
    assert turns(lone, reach) == 1


@given(st.lists(errors, max_size=50), st.floats(0, 1))
def test_turns_are_those_of_the_errors_beyond_reach(values: Sequence[float], reach: float) -> None:
    sides = [value > 0 for value in values if abs(value) > reach]
    assert turns(values, reach) == sum(a != b for a, b in pairwise(sides))


def test_the_sample_of_least_delay_counts() -> None:
    quick, slow = Sample(0, 5, 6, 9, "quick"), Sample(0, 5, 6, 99, "slow")
    assert least_delay([slow, quick]) is quick
    assert least_delay([]) is None


# -- marks and reports -----------------------------------------------------------------------


def outcome(*, error: float = 1e-4, floor: float = 2e-5, seconds: float = LEAST_TIME) -> Outcome:
    steered = tuple(truths(lambda _: error, seconds))
    return Outcome(
        path=BROADBAND,
        accelerator="tcg",
        boot_time=30.0,
        seconds=seconds,
        floor=Floor(floor, 2 * floor, 1e-6, 6e-5),
        score=score_of(steered, settled_from(seconds), RMS[BROADBAND]),
        free=steered,
        steered=steered,
        failures=1,
        lines="refclock SHM 2\n",
        answers={"chronyc tracking": "Reference ID : WEB\n"},
    )


def judged(one: Outcome) -> Sequence[Mark]:
    return list(marks(one.path, one.score, one.floor, one.seconds))


def test_marks_are_met_missed_or_unclear() -> None:
    assert [mark.met for mark in judged(outcome(error=0.3 * MS))] == [True, True]
    assert [mark.met for mark in judged(outcome(error=0.31 * MS))] == [False, True]
    assert [mark.met for mark in judged(outcome(seconds=LEAST_TIME - 5))] == [None, None]


def test_a_high_floor_is_taken_off_in_squares() -> None:
    high = outcome(error=0.36 * MS, floor=0.2 * MS)
    assert judged(high)[0].met
    assert any("without the floor" in line for line in lines(high))
    low = outcome(error=0.31 * MS, floor=LARGEST_FLOOR)
    assert judged(low)[0].met is False
    assert not any("without the floor" in line for line in lines(low))


def test_the_lines_fit_a_terminal() -> None:
    assert max(map(len, lines(outcome()))) <= WIDTH
    assert max(len(str(mark)) for mark in judged(outcome())) <= WIDTH


def test_the_figures_survive_their_file(tmp_path: Path) -> None:
    file = tmp_path / "loop.json"
    write_figures(file, "here", as_json([outcome()]), judged(outcome()))
    document = json.loads(file.read_text())
    [found] = document["runs"]
    assert found["score"]["rms"] == pytest.approx(1e-4)
    assert found["steered"][1] == [5.0, 1e-4, 1e-4]
    assert [mark["met"] for mark in document["marks"]] == [True, True]


# -- the guest's configuration ---------------------------------------------------------------


@pytest.mark.parametrize("name", PATHS)
def test_webntpd_in_the_guest_takes_its_configuration(name: str, tmp_path: Path) -> None:
    file = tmp_path / "webntpd.toml"
    file.write_text(configuration(name, range(9001, 9001 + len(PATHS[name]))))
    config = load(file)
    assert [peer.exchange.url for peer in config.peers] == [
        f"ws://10.0.2.2:{port}/" for port in (9001, 9002, 9003)
    ]
    assert SHM in file.read_text()


def test_the_server_in_the_guest_takes_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "webntpd-server.toml"
    file.write_text(FILES["etc/webntpd-server.toml"])
    server = load(file).server
    assert server is not None
    assert server.local


def test_by_default_all_paths_run_for_a_quarter_of_an_hour() -> None:
    options = make_parser().parse_args([])
    assert options.minutes * 60 >= LEAST_TIME
    assert options.path is None
