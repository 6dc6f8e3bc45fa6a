"""The paths, and their form on the emulator's command line. Delays are in s.

The delay models and their words are those of benchmarks/simulation/network.py; wan.c describes
each. The parameters were chosen before the first run.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exponential:
    """Light-tailed jitter of that mean."""

    mean: float

    def __str__(self) -> str:
        return f"exponential={self.mean:g}"


@dataclass(frozen=True, slots=True)
class Pareto:
    """Heavy-tailed jitter, cut at `most`."""

    scale: float
    shape: float
    most: float

    def __str__(self) -> str:
        return f"pareto={self.scale:g}:{self.shape:g}:{self.most:g}"


@dataclass(frozen=True, slots=True)
class Bloat:
    """A buffer that fills for a part of each period: up to `extra` more, at random."""

    period: float
    duty: float
    extra: float

    def __str__(self) -> str:
        return f"bloat={self.period:g}:{self.duty:g}:{self.extra:g}"


@dataclass(frozen=True, slots=True)
class Loss:
    """The share of packets that are lost."""

    share: float

    def __str__(self) -> str:
        return f"loss={self.share:g}"


Model = Exponential | Pareto | Bloat | Loss
"""A part of a way's model: `str()` of it is a word that wan.c reads."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a path: the least delay, and the models that add to it."""

    base: float
    models: tuple[Model, ...] = ()

    def __str__(self) -> str:
        """The model as wan.c reads it."""
        return " ".join((f"base={self.base:g}", *map(str, self.models)))


@dataclass(frozen=True, slots=True)
class WanPath:
    """`up` leads from the client to the server, `down` back."""

    name: str
    up: Way
    down: Way

    def lines(self) -> Iterator[str]:
        """The path for a reader."""
        if self.up == self.down:
            yield f"each way: {self.up}"
        else:
            yield f"up: {self.up}; down: {self.down}"


MS = 1e-3

_BROADBAND = Way(8 * MS, (Pareto(1.5 * MS, 1.4, 400 * MS),))
_MOBILE = Way(30 * MS, (Exponential(15 * MS), Bloat(900, 0.3, 250 * MS), Loss(0.03)))
_QUIET = Way(10 * MS, (Exponential(0.5 * MS),))

PATHS = {
    path.name: path
    for path in (
        WanPath("broadband", _BROADBAND, _BROADBAND),
        WanPath("mobile", _MOBILE, _MOBILE),
        WanPath("bufferbloat", Way(_QUIET.base, (*_QUIET.models, Bloat(300, 0.2, 1.0))), _QUIET),
    )
}
