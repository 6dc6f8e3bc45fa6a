"""The line against a plain computation, and against known lines."""

from itertools import pairwise
from math import floor, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import ns, x_ns
from webntpd.ntp.line import MAX_POINTS, MIN_POINTS, Fit, Line
from webntpd.ntp.readings import NS_PER_S
from webntpd.ntp.student import t_quantile

PPM = 1e-6


def fit_of(points: list[tuple[float, float, float]]) -> Fit | None:
    """The fit of points (x, y, delay), in seconds, added one after the other."""
    line = Line()
    found = None
    for x, y, delay in points:
        line.add(ns(x), x_ns(y), delay)
        found = line.fit()
    return found


def noisy(
    seed: int, count: int, frequency: float, jitter: float, poll: float = 64.0
) -> list[tuple[float, float, float]]:
    """Points whose error is half of their excess delay, either way, as on a real path."""
    rng = Random(seed)
    points = []
    for place in range(count):
        out, back = rng.expovariate(1 / jitter), rng.expovariate(1 / jitter)
        x = place * poll
        points.append((x, frequency * x + (out - back) / 2, 0.01 + out + back))
    return points


def test_few_points_make_no_line() -> None:
    assert fit_of([(0, 0, 0.01), (64, 0, 0.01)]) is None
    assert fit_of([(0, 0, 0.01), (64, 0, 0.01), (128, 0, 0.01)]) is not None


def test_points_that_are_worth_two_make_no_line() -> None:
    assert fit_of([(0, 0, 0.01), (64, 0, 9e6), (128, 0, 0.01)]) is None


def test_a_line_with_hardly_any_noise_is_found() -> None:
    found = fit_of(noisy(1, 20, 12 * PPM, jitter=1e-9))
    assert found is not None
    assert found.frequency.value == pytest.approx(12 * PPM, abs=1e-10)
    assert found.sigma == pytest.approx(1e-6)
    assert found.start_ns == 0


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_within_the_uncertainty(seed: int) -> None:
    found = fit_of(noisy(seed, 64, -30 * PPM, jitter=1e-3))
    assert found is not None
    assert abs(found.frequency.value + 30 * PPM) < 3 * found.frequency.uncertainty
    assert found.frequency.uncertainty < 3 * PPM
    assert 1e-5 < found.sigma < 1e-3


def test_a_late_packet_hardly_counts() -> None:
    points = noisy(1, 40, 0.0, jitter=1e-4)
    x, y, delay = points[20]
    spoilt = [*points[:20], (x, y + 0.5, delay + 1.0), *points[21:]]
    before, after = fit_of(points), fit_of(spoilt)
    assert before is not None
    assert after is not None
    assert after.frequency.value == pytest.approx(before.frequency.value, abs=0.05 * PPM)


def test_the_least_delay_is_that_of_the_time_around() -> None:
    """A longer route is no queue: its points keep their weight."""
    rng = Random(3)
    points = []
    for place in range(64):
        base = 0.01 if place < 32 else 0.03
        noise = rng.gauss(0, 2e-6)
        points.append((place * 256.0, noise, base + abs(noise)))
    found = fit_of(points)
    assert found is not None
    assert found.start_ns == 0
    assert found.frequency.uncertainty < 0.1 * PPM


def test_a_bend_shortens_the_fit() -> None:
    bend = 30 * 64
    points = [
        (x, 5 * PPM * max(0, x - bend) + noise[1], noise[2])
        for x, noise in ((n[0], n) for n in noisy(2, 60, 0.0, jitter=2e-6))
    ]
    found = fit_of(points)
    assert found is not None
    assert found.start_ns >= ns(bend - 4 * 64)
    assert found.frequency.value == pytest.approx(5 * PPM, abs=0.3 * PPM)


def test_points_before_the_bend_never_come_back() -> None:
    line = Line()
    starts = []
    for x, noise, delay in noisy(4, 90, 0.0, jitter=2e-6):
        line.add(ns(x), x_ns(5 * PPM * max(0, x - 1920) + noise), delay)
        found = line.fit()
        if found:
            starts.append(found.start_ns)
    assert starts == sorted(starts)


@pytest.mark.parametrize("count", [4, 20, 64])
def test_the_wander_allowed_for_shrinks_with_the_span(count: int) -> None:
    found = fit_of(noisy(1, count, 0.0, jitter=1e-9))
    assert found is not None
    span = (count - 1) * 64 - found.start_ns / NS_PER_S
    assert found.frequency.wander == pytest.approx(10 * 3e-6 / (span / 2) ** 2)


def test_a_better_point_of_the_same_poll_takes_the_place_of_the_last() -> None:
    line = Line()
    for x in (0, 64, 128):
        line.add(ns(x), x_ns(0), 0.01)
    line.replace_last(ns(130), x_ns(0.001), 0.02)
    worse = line.fit()
    line.replace_last(ns(130), x_ns(0.001), 0.01)
    better = line.fit()
    assert worse is not None
    assert better is not None
    assert worse.frequency.value == pytest.approx(0)
    assert better.frequency.value > PPM


def test_nothing_is_replaced_where_nothing_is() -> None:
    line = Line()
    line.replace_last(0, x_ns(0), 0.01)
    assert line.fit() is None


def test_a_cleared_line_has_forgotten_its_points() -> None:
    line = Line()
    for x in range(0, 640, 64):
        line.add(ns(x), x_ns(0), 0.01)
    line.clear()
    assert line.fit() is None
    for x in (0, 64, 128):
        line.add(ns(1000 + x), x_ns(5 + 9 * PPM * x), 0.01)
    found = line.fit()
    assert found is not None
    assert found.frequency.value == pytest.approx(9 * PPM)
    assert found.start_ns == ns(1000)


def test_after_a_bend_a_few_late_points_leave_a_sound_line() -> None:
    """Sums that are updated by subtracting cancel away here."""
    line = Line()
    for place in range(40):
        bend = 20 * PPM * max(0, place - 20) * 64
        line.add(ns(place * 64), x_ns(bend + place % 2 * 1e-9), 0.01)
        line.fit()
    for place in range(40, 52):
        line.add(ns(place * 64), x_ns(20 * PPM * (place - 20) * 64), 0.06 + place % 3 * 0.02)
        found = line.fit()
        assert found is not None
        assert found.frequency.value == pytest.approx(20 * PPM, abs=3 * found.frequency.uncertainty)


def test_points_that_go_back_in_time_begin_a_new_line() -> None:
    line = Line()
    for at in (1000, 1064, 1128, 0, 64, 64, 128, 192, 256):
        line.add(ns(at), x_ns(0), 0.01)
    found = line.fit()
    assert found is not None
    assert found.start_ns == ns(64)


class Plain:
    """The same fit without running sums: everything anew for each candidate length."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []
        self.fitted = 0

    def add(self, point: tuple[float, float, float]) -> None:
        self.points.append(point)
        self.fitted = min(self.fitted + 1, MAX_POINTS)
        del self.points[: -MAX_POINTS - self.fitted]

    def fit(self) -> tuple[float, float, float, float] | None:
        """Frequency, uncertainty, sigma and start."""
        if self.fitted < MIN_POINTS - 1:
            return None
        points = self.points
        new = points[-self.fitted :]
        reach = max(1200.0, 8 * (new[-1][0] - new[0][0]) / (len(new) - 1))
        excess = [
            (d - min(e for z, _, e in points if abs(z - x) <= reach)) / 2 for x, _, d in points
        ]
        scale = max(3e-6, sorted(excess[-self.fitted :])[int(0.3 * self.fitted)])
        weights = [1 / (1 + (e / scale) ** 2) for e in excess]
        while True:
            k = self.fitted
            slope, intercept = self.least_squares(points[-k:], weights[-k:])
            residuals = [y - intercept - slope * x for x, y, _ in points]
            signs = [
                residual > 0
                for residual, e in zip(residuals[-2 * k :], excess[-2 * k :], strict=True)
                if e <= 3 * scale
            ]
            n = len(signs)
            runs = 1 + sum(a != b for a, b in pairwise(signs))
            if k <= MIN_POINTS or n < 8 or runs > floor(n / 2 - 0.83 * sqrt(n) + 1.1):
                break
            self.fitted -= 1
        del self.points[: -MAX_POINTS - self.fitted]
        w, used = weights[-k:], points[-k:]
        total, n_eff = sum(w), sum(w) ** 2 / sum(each * each for each in w)
        if n_eff <= 2:
            return None
        mean = sum(a * p[0] for a, p in zip(w, used, strict=True)) / total
        spread = sum(a * (p[0] - mean) ** 2 for a, p in zip(w, used, strict=True))
        squares = sum(a * r * r for a, r in zip(w, residuals[-k:], strict=True))
        variance = max(squares / total * n_eff / (n_eff - 2), 1e-12)
        deviation = sqrt(variance * total / (n_eff * spread))
        t = min(t_quantile(n_eff - 2) / 3.5, 3)
        span = used[-1][0] - used[0][0]
        wander = min(max(10 * scale / (span / 2) ** 2, 1e-11), 1e-8)
        return slope, 2 * t * deviation + wander * span / 2, sqrt(variance), used[0][0]

    @staticmethod
    def least_squares(
        points: list[tuple[float, float, float]], weights: list[float]
    ) -> tuple[float, float]:
        total = sum(weights)
        mean_x = sum(w * p[0] for w, p in zip(weights, points, strict=True)) / total
        mean_y = sum(w * p[1] for w, p in zip(weights, points, strict=True)) / total
        spread = sum(w * (p[0] - mean_x) ** 2 for w, p in zip(weights, points, strict=True))
        slope = (
            sum(w * (p[0] - mean_x) * (p[1] - mean_y) for w, p in zip(weights, points, strict=True))
            / spread
        )
        return slope, mean_y - slope * mean_x


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(3, 160),
    jitter=st.sampled_from([2e-6, 1e-4, 5e-3]),
    bend=st.sampled_from([0.0, 2 * PPM, 20 * PPM]),
    poll=st.sampled_from([16.0, 64.0, 1024.0]),
)
def test_it_agrees_with_a_plain_computation(
    seed: int, count: int, jitter: float, bend: float, poll: float
) -> None:
    line, plain = Line(), Plain()
    middle = poll * count / 2
    for x, y, delay in noisy(seed, count, 8 * PPM, jitter, poll):
        # Whole nanoseconds, so that both see the same figures.
        point = (x, round(y + bend * max(0.0, x - middle), 9), delay)
        line.add(ns(point[0]), x_ns(0) + ns(point[1]), delay)
        plain.add(point)
        found, expected = line.fit(), plain.fit()
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            frequency, uncertainty, sigma, start = expected
            assert found.frequency.value == pytest.approx(frequency, abs=1e-12)
            assert found.frequency.uncertainty == pytest.approx(uncertainty, rel=1e-6)
            assert found.sigma == pytest.approx(sigma, rel=1e-6)
            assert found.start_ns == ns(start)
