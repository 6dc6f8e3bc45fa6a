"""The marks of a run."""

from collections.abc import Iterable

from benchmarks.common.marks import Mark
from benchmarks.loop.paths import BROADBAND, MOBILE
from benchmarks.loop.scoring import Floor, Score, without_floor

MS = 1e-3

RMS = {BROADBAND: 0.3 * MS, MOBILE: 2 * MS}
"""The largest RMS of the guest's clock for each path, s."""
LARGEST_FLOOR = 0.15 * MS
"""Above this floor, the difference of squares is judged, s."""
LEAST_TIME = 900.0
"""A shorter run decides nothing, s."""


def judged_rms(score: Score, floor: Floor) -> float:
    """The RMS that counts, s: without the floor's share where the floor is high."""
    return without_floor(score.rms, floor.rms) if floor.rms > LARGEST_FLOOR else score.rms


def marks(path: str, score: Score, floor: Floor, seconds: float) -> Iterable[Mark]:
    """The marks of one path's run of that length."""
    wanted, found = RMS[path], judged_rms(score, floor)
    long_enough = seconds >= LEAST_TIME
    yield Mark(
        f"{path}: RMS of the guest's clock ≤ {wanted / MS:g} ms",
        f"{found / MS:.3f} ms",
        found <= wanted if long_enough else None,
    )
    yield Mark(
        f"{path}: never a swing",
        f"{score.turns} turns from side to side",
        not score.swings if long_enough else None,
    )
