"""The frequency of the local oscillator as one peer sees it: a straight line through X over RAW.

No program steers RAW, so X = true time - RAW is a straight line, but for the oscillator's own
wander. Each poll gives one point, the exchange of the least delay. The fit weighs a point down
by its excess, half of its delay above the least delay around it: the path explains that part of its
error. The least delay is a local one, because routes change.

The fit reaches back as long as the oscillator was steady. chrony's runs test finds how long: noise
changes its sign often, whereas the residuals of a line that has bent stay on one side for long.
Points that make the test fail leave the fit for good. They still witness: the fitted line, carried
back over them, must pass the test as well. Without the older points a LAN's error is 48 us instead
of 7.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, sqrt
from typing import NamedTuple

from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import NS_PER_S
from webntpd.ntp.student import t_quantile

MAX_POINTS = 64
"""The fit takes the newest points up to this number; the runs test takes as many older ones."""
MIN_POINTS = 4
"""The runs test shortens the fit to no fewer points."""
MIN_RUNS_POINTS = 8
"""The runs test needs this many residuals to say anything."""
NEIGHBOURHOOD = 1200.0
NEIGHBOUR_POLLS = 8
"""The least delay around a point is that within the longer of these, s and mean poll intervals."""
MIN_SCALE = 3e-6
SCALE_QUANTILE = 0.3
"""The scale is the excess at which a point's weight is one half: this quantile of the fitted
points' excesses, but at least MIN_SCALE, s, the noise of timestamps."""
OUTLYING = 3.0
"""The runs test ignores points whose excess is more than so many scales."""
MIN_RESIDUAL = 1e-6
"""A residual standard deviation below this counts as this, s."""
T_OF_MANY = 3.5
MAX_T = 3.0
"""The uncertainty of few points is larger: by the quantile of Student's t over T_OF_MANY, that of
many points, and at most by MAX_T."""
WANDER_SHARE = 10.0
MIN_WANDER, MAX_WANDER = 1e-11, 1e-8
"""The runs test cannot see a wander of WANDER_SHARE scales over half the fit's span squared yet. It
is clipped to these, s/s per s."""


@dataclass(frozen=True, slots=True)
class Point:
    """One poll's best exchange, s: RAW in its middle, the middle of its bounds of X, its delay.

    `x` (RAW) and `y` (X) are relative to the line's own base.
    """

    x: float
    y: float
    delay: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted line.

    `sigma` is the weighted standard deviation of the residuals, s; `start_ns` is the RAW instant of
    the first fitted point.
    """

    frequency: Frequency
    sigma: float
    start_ns: int


class Line:
    """The points of one peer, and the line through the newest of them."""

    def __init__(self) -> None:
        self._fitted: deque[Point] = deque()
        self._older: deque[Point] = deque(maxlen=MAX_POINTS)
        self._base: tuple[int, int] | None = None

    def add(self, at_ns: int, x_ns: int, delay: float) -> None:
        """Take a poll's point: X was about `x_ns` at RAW `at_ns`, give or take delay/2 s."""
        point = self._point(at_ns, x_ns, delay)
        if self._fitted and point.x <= self._fitted[-1].x:
            self.clear()  # RAW went back: a virtual machine was restored
            point = self._point(at_ns, x_ns, delay)
        self._fitted.append(point)
        if len(self._fitted) > MAX_POINTS:
            self._older.append(self._fitted.popleft())

    def replace_last(self, at_ns: int, x_ns: int, delay: float) -> None:
        """As add, for a better point of the poll that gave the last one."""
        if self._fitted and self._fitted[-1].delay >= delay:
            self._fitted[-1] = self._point(at_ns, x_ns, delay)

    def clear(self) -> None:
        """Forget all points: X has a new value."""
        self._fitted.clear()
        self._older.clear()
        self._base = None

    def fit(self) -> Fit | None:
        """The line through the newest points; None while they are too few, or weigh too little."""
        if len(self._fitted) < MIN_POINTS - 1:
            return None
        points = [*self._older, *self._fitted]
        excesses = _excesses(points, self._mean_interval())
        first = len(self._older)
        scale = max(MIN_SCALE, _quantile(excesses[first:], SCALE_QUANTILE))
        sums = _Sums(points, [1 / (1 + (excess / scale) ** 2) for excess in excesses], first)
        witnesses = [excess <= OUTLYING * scale for excess in excesses]
        while len(self._fitted) > MIN_POINTS and not _passes_runs_test(points, witnesses, sums):
            sums.drop_first()
            self._older.append(self._fitted.popleft())
        return self._outcome(sums, scale)

    def _outcome(self, sums: "_Sums", scale: float) -> Fit | None:
        n = sums.effective_number
        if n <= 2 or self._base is None:
            return None
        span = self._fitted[-1].x - self._fitted[0].x
        variance = max(sums.residual_variance() * n / (n - 2), MIN_RESIDUAL**2)
        deviation = sqrt(variance * sums.weight / (n * sums.spread))
        t = min(t_quantile(n - 2) / T_OF_MANY, MAX_T)
        wander = min(max(WANDER_SHARE * scale / (span / 2) ** 2, MIN_WANDER), MAX_WANDER)
        return Fit(
            Frequency(sums.slope, 2 * t * deviation + wander * span / 2, wander),
            sqrt(variance),
            self._base[0] + round(self._fitted[0].x * NS_PER_S),
        )

    def _point(self, at_ns: int, x_ns: int, delay: float) -> Point:
        base_at_ns, base_x_ns = self._base = self._base or (at_ns, x_ns)
        return Point((at_ns - base_at_ns) / NS_PER_S, (x_ns - base_x_ns) / NS_PER_S, delay)

    def _mean_interval(self) -> float:
        return (self._fitted[-1].x - self._fitted[0].x) / (len(self._fitted) - 1)


class _Totals(NamedTuple):
    """Weighted sums over some points, relative to an origin that they share."""

    weight: float
    squares: float
    x: float
    y: float
    xx: float
    xy: float


class _Sums:
    """The weighted least-squares line through `points` from `first` on."""

    def __init__(self, points: Sequence[Point], weights: Sequence[float], first: int) -> None:
        self._points = points
        self._weights = weights
        # About the middle of the points: sums about a distant origin cancel away their digits.
        self._origin = points[(first + len(points)) // 2]
        # From the newest point backwards, so that dropping the oldest subtracts nothing: where few
        # points have nearly all of the weight, a difference of sums would be noise.
        totals = _Totals(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._suffixes = [
            totals := self._plus(totals, index) for index in range(len(points) - 1, first - 1, -1)
        ]
        self._solve()

    @property
    def first(self) -> int:
        """The index of the oldest fitted point."""
        return len(self._points) - len(self._suffixes)

    def drop_first(self) -> None:
        """Take the oldest point out of the fit."""
        self._suffixes.pop()
        self._solve()

    @property
    def weight(self) -> float:
        return self._suffixes[-1].weight

    @property
    def effective_number(self) -> float:
        """How many points of equal weight would be worth as much as these (Kish)."""
        return self.weight**2 / self._suffixes[-1].squares

    def residual(self, index: int) -> float:
        """How far a point lies above the line, s."""
        point = self._points[index]
        return (point.y - self._origin.y) - (
            self._intercept + self.slope * (point.x - self._origin.x)
        )

    def residual_variance(self) -> float:
        """The weighted mean of the squared residuals of the fitted points, s^2."""
        total = sum(
            self._weights[index] * self.residual(index) ** 2
            for index in range(self.first, len(self._points))
        )
        return total / self.weight

    def _plus(self, totals: _Totals, index: int) -> _Totals:
        point, weight = self._points[index], self._weights[index]
        x, y = point.x - self._origin.x, point.y - self._origin.y
        return _Totals(
            totals.weight + weight,
            totals.squares + weight**2,
            totals.x + weight * x,
            totals.y + weight * y,
            totals.xx + weight * x * x,
            totals.xy + weight * x * y,
        )

    def _solve(self) -> None:
        weight, _, x, y, xx, xy = self._suffixes[-1]
        self.spread = xx - x * x / weight
        self.slope = (xy - x * y / weight) / self.spread
        self._intercept = (y - self.slope * x) / weight


def _excesses(points: Sequence[Point], interval: float) -> list[float]:
    """Half of each point's delay above the least delay in its neighbourhood, s."""
    reach = max(NEIGHBOURHOOD, NEIGHBOUR_POLLS * interval)
    excesses = []
    least: deque[int] = deque()  # indices within reach, by increasing delay
    entering = 0
    for point in points:
        while entering < len(points) and points[entering].x <= point.x + reach:
            while least and points[least[-1]].delay >= points[entering].delay:
                least.pop()
            least.append(entering)
            entering += 1
        while points[least[0]].x < point.x - reach:
            least.popleft()
        excesses.append((point.delay - points[least[0]].delay) / 2)
    return excesses


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


def _passes_runs_test(points: Sequence[Point], witnesses: Sequence[bool], sums: _Sums) -> bool:
    """Whether the residuals change their sign as often as noise does (chrony's runs test).

    The fitted points are tested with up to as many older ones.
    """
    begin = max(0, 2 * sums.first - len(points))
    signs = [sums.residual(index) > 0 for index in range(begin, len(points)) if witnesses[index]]
    count = len(signs)
    if count < MIN_RUNS_POINTS:
        return True
    runs = 1 + sum(one != following for one, following in pairwise(signs))
    # About 5 % of random sequences have so few runs.
    return runs > floor(count / 2 - 0.83 * sqrt(count) + 1.1)
