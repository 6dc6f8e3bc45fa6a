"""benchmarks.simulation: oscillator, paths, regression, rivals, scoring and the command."""

from collections.abc import Mapping
from dataclasses import asdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.__main__ import main, seeds
from benchmarks.simulation.day import server_stamps
from benchmarks.simulation.marks import marks, most_gap
from benchmarks.simulation.network import Handovers, Path, bloated, exponential, pareto
from benchmarks.simulation.oscillator import (
    X_BASE_NS,
    Oscillator,
    Quartz,
    Shocks,
    Sine,
    Suspend,
    raw_ns,
    raw_of,
    true_ns,
    x_of,
)
from benchmarks.simulation.regression import (
    POINTS,
    Sample,
    Statistics,
    fewest_runs,
    fit,
    runs,
    slope_by_delay,
)
from benchmarks.simulation.rivals.best import BestSample
from benchmarks.simulation.rivals.chrony import ChronyEstimator, Interval, select
from benchmarks.simulation.rivals.packet import Packet
from benchmarks.simulation.rivals.reference import ReferenceRule
from benchmarks.simulation.scenarios import BY_NAME, SCENARIOS
from benchmarks.simulation.score import OURS, RIVALS, Miss, Outcome, Record, figures, pooled
from benchmarks.simulation.table import lines, short
from webntpd.ntp.readings import NS_PER_S

HOUR = 3600.0
PPM = 1e-6
MS = 1e-3


# The oscillator.


@given(st.floats(0, 7200), st.integers(0, 100))
def test_raw_and_true_time_convert_both_ways(true: float, seed: int) -> None:
    oscillator = Oscillator(Quartz(temperature=Sine(5 * PPM, HOUR)), Random(seed), 7200)
    assert oscillator.true(oscillator.raw(true)) == pytest.approx(true, abs=1e-9)


def test_the_oscillator_is_50_ppm_fast_at_the_start() -> None:
    oscillator = Oscillator(Quartz(), Random(1), 100)
    assert oscillator.raw(1.0) == pytest.approx(1 + 50 * PPM, abs=1e-12)


def test_temperature_moves_the_frequency() -> None:
    quartz = Quartz(wander=0.0, temperature=Sine(5 * PPM, 4 * HOUR))
    oscillator = Oscillator(quartz, Random(1), 4 * HOUR)
    assert oscillator.frequency(HOUR) == pytest.approx(55 * PPM)
    assert oscillator.frequency(3 * HOUR) == pytest.approx(45 * PPM)


def test_a_shock_comes_within_its_length_and_goes_with_the_next() -> None:
    shocks = Shocks(4 * PPM, 60.0, HOUR)
    assert shocks.at(HOUR - 1) == 0.0
    assert shocks.at(HOUR + 30) == pytest.approx(2 * PPM)
    assert shocks.at(HOUR + 60) == pytest.approx(4 * PPM)
    assert shocks.at(2 * HOUR + 60) == pytest.approx(0.0)


def test_raw_stands_still_in_a_suspend() -> None:
    oscillator = Oscillator(Quartz(), Random(1), 1000, [Suspend(400.0, 200.0)])
    assert oscillator.raw(400.0) == oscillator.raw(599.9)
    assert oscillator.true(oscillator.raw(500.0)) == pytest.approx(600.0)


def test_x_counts_from_its_base() -> None:
    assert x_of(true_ns(5.0) - raw_ns(3.0)) == pytest.approx(2.0)
    assert raw_of(raw_ns(7.5)) == 7.5


# Paths and servers.


def test_delays_are_never_below_their_base() -> None:
    rng = Random(1)
    base = 10 * MS
    for delay in (
        exponential(base, MS),
        pareto(base, MS, 1.4, 0.4),
        bloated(exponential(base, MS), 900, 0.3, 0.25),
        Handovers(rng, 1200, 60 * MS).behind(exponential(base, MS), "out"),
    ):
        assert all(delay(rng, 7.0 * number) >= base for number in range(500))


def test_all_servers_are_behind_the_same_cell() -> None:
    cells = Handovers(Random(1), 1200, 60 * MS)
    one, other = (cells.behind(lambda *_: 0.0, "out") for _ in range(2))
    back = cells.behind(lambda *_: 0.0, "back")
    assert one(Random(), 100.0) == other(Random(), 900.0)
    assert one(Random(), 100.0) != one(Random(), 1300.0)
    assert one(Random(), 100.0) != back(Random(), 100.0)


def test_a_date_is_the_second_of_the_reply_twice() -> None:
    path = Path(exponential(1, 1), exponential(1, 1), resolution=1.0)
    t2_ns, t3_ns = server_stamps(path, 9.0, 10.9, 11.4, 0.0)
    assert t2_ns == t3_ns == true_ns(10.0)


def test_a_liar_without_delay_claims_the_whole_round_trip() -> None:
    path = Path(exponential(1, 1), exponential(1, 1), no_delay=True)
    t2_ns, t3_ns = server_stamps(path, 9.0, 10.0, 11.0, 0.5)
    assert (t2_ns, t3_ns) == (true_ns(9.5), true_ns(11.5) - 1000)


# The regression.


def test_a_line_is_found_again() -> None:
    xs = [float(x) for x in range(-20, 1)]
    noise = Random(1)
    ys = [3 + 0.5 * x + noise.gauss(0, 1e-6) for x in xs]
    line = fit(xs, ys, [1.0] * len(xs))
    assert line is not None
    assert (line.intercept, line.slope) == pytest.approx((3, 0.5), abs=1e-5)
    assert line.start == 0


def test_a_bend_drops_the_points_before_it() -> None:
    xs = [float(x) for x in range(-40, 1)]
    line = fit(xs, [abs(x + 20) for x in xs], [1.0] * len(xs))
    assert line is not None
    assert line.start > 15
    assert line.slope == pytest.approx(1, abs=0.1)


def test_two_points_make_no_line() -> None:
    assert fit([0.0, 1.0], [0.0, 1.0], [1.0, 1.0]) is None


def test_runs_are_counted() -> None:
    assert runs([1, 2, -1, -2, 3]) == 3
    assert fewest_runs(7) == 0
    assert fewest_runs(64) == 26


def test_statistics_hold_as_many_points_as_chronys() -> None:
    statistics = Statistics(1e-6)
    noise = Random(2)
    for number in range(300):
        statistics.add(Sample(16.0 * number, noise.gauss(0, 1e-3), 1e-3, 1e-6))
    assert len(statistics.fitted) <= POINTS
    assert len(statistics.samples) <= 2 * POINTS
    assert abs(statistics.at(16.0 * 300)) < 1e-3


def test_one_sided_jitter_shows_as_a_slope_by_the_delay() -> None:
    noise = Random(3)
    xs = [float(x) for x in range(30)]
    delays = [noise.random() for _ in xs]
    ys = [2 * x + 0.5 * d for x, d in zip(xs, delays, strict=True)]
    assert slope_by_delay(xs, delays, ys) == pytest.approx(0.5)
    assert slope_by_delay(xs, [1.0] * 30, ys) is None


# Rivals.


def packet(server: str, at: float, error: float, delay: float) -> Packet:
    """A packet whose middle is at RAW `at`, where X is 0."""
    r1_ns, r4_ns = raw_ns(at - delay / 2), raw_ns(at + delay / 2)
    t_ns = (r1_ns + r4_ns) // 2 + X_BASE_NS + round(error * NS_PER_S)
    return Packet(server, r1_ns, r4_ns, t_ns, t_ns, 1e-9, 0.0, filling=False)


def test_a_packet_knows_its_error() -> None:
    one = packet("a", 100.0, error=3 * MS, delay=20 * MS)
    assert one.error == pytest.approx(3 * MS)
    assert one.delay == pytest.approx(20 * MS)


def test_the_reference_rule_drops_packets_that_took_twice_as_long() -> None:
    rule = ReferenceRule()
    for at, error, delay in ((0, 1, 10), (2, 3, 12), (4, 2, 11)):
        assert rule.on_packet(packet("a", at, error * MS, delay * MS)) is None
    assert rule.on_packet(packet("a", 6, 500 * MS, 25 * MS)) == pytest.approx(2 * MS)


def test_the_best_sample_is_the_one_nearest_to_the_truth() -> None:
    best = BestSample()
    best.on_packet(packet("a", 0, 5 * MS, 10 * MS))
    best.on_packet(packet("a", 2, -1 * MS, 90 * MS))
    assert best.on_poll_end("a", 3.0, 0.0, answered=True) == pytest.approx(-1 * MS)
    for number in range(7):
        assert best.on_poll_end("a", 64.0 * number, 0.0, answered=False) is None


def test_chronys_estimator_finds_the_offset_through_noise() -> None:
    chrony = ChronyEstimator()
    noise = Random(4)
    error = None
    for number in range(100):
        late = noise.expovariate(1 / MS)
        chrony.on_packet(packet("a", 16.0 * number, 3 * MS + late / 4, 20 * MS + late))
        error = chrony.on_poll_end("a", 16.0 * number + 1, 3 * MS, answered=True)
    assert error is not None
    assert abs(error) < 0.5 * MS


def test_chronys_selection_wants_a_majority() -> None:
    near, far = Interval("near", 0.0, 1.0), Interval("far", 10.0, 1.0)
    wide = Interval("wide", 0.5, 5.0)
    assert select([near, far]) == ()
    assert select([near, wide, far]) == [near, wide]


# Scores.


def outcome(published: Mapping[str, list[float]], **fields: object) -> Outcome:
    records = {who: Record(published.get(who, []), [0.0]) for who in (OURS, *RIVALS)}
    return Outcome("broadband", records, **fields)  # type: ignore[arg-type]


def test_figures_are_of_sizes() -> None:
    found = figures([3.0, -4.0])
    assert found is not None
    assert asdict(found) == pytest.approx(
        {"count": 2, "rms": 12.5**0.5, "p95": 4.0, "p99": 4.0, "max": 4.0}
    )
    assert figures([]) is None


def test_seeds_are_pooled() -> None:
    one = outcome({OURS: [1.0]}, gap=5.0, first=7.0)
    other = outcome({OURS: [3.0]}, gap=9.0, first=2.0, misses=[Miss(2, 0.0, 3.0, 1.0)])
    both = pooled([one, other])
    assert both.ours.published == [1.0, 3.0]
    assert (both.gap, both.first, both.coverage) == (9.0, 7.0, 0.5)


def test_a_mark_tells_whether_the_bound_held() -> None:
    found = outcome({OURS: [1.0, 2.0]}, gap=200.0, first=1.0, misses=[Miss(1, 0.0, 2.0, 1.0)])
    judged = {str(mark.wanted): mark.met for mark in marks({"broadband": found})}
    assert judged["broadband: the bound holds always"] is False
    assert judged["broadband: no gap above 133 s"] is False


def test_a_gap_may_last_two_polls_and_a_timeout() -> None:
    assert most_gap(BY_NAME["broadband"]) == 2**7 + 5
    assert most_gap(BY_NAME["server-restart"]) == 2**7 + 5 + 180


def test_a_share_is_rounded_down_and_a_miss_is_shown() -> None:
    found = outcome({OURS: [0.1] * 100_000}, first=1.0, misses=[Miss(4, 12.5, 2 * MS, 1 * MS)])
    text = "\n".join(lines({"broadband": found}))
    assert "99.999%" in text
    assert "seed 4, at 12.500 s: off by 2 ms with a bound of 1 ms" in text


def test_times_have_three_digits_and_a_unit() -> None:
    assert [short(each) for each in (1.5, 0.0123, 7.25e-6, 3e-9, None)] == [
        "1.5 s",
        "12.3 ms",
        "7.25 µs",
        "3 ns",
        "-",
    ]


def test_there_are_at_least_twenty_scenarios_with_names_of_their_own() -> None:
    assert len(BY_NAME) == len(SCENARIOS) >= 20


def test_seeds_are_a_number_or_a_list() -> None:
    assert seeds("3") == (1, 2, 3)
    assert seeds("4,9") == (4, 9)


def test_the_command_prints_tables_and_marks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--hours", "0.1", "--only", "lan", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "RMS beside rivals" in printed
    assert "lan: the bound holds always" in printed
