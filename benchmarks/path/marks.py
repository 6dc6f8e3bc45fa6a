"""The marks of each path."""

from collections.abc import Iterable, Iterator

from benchmarks.common.marks import Mark
from benchmarks.path.results import Result

MOST = 1.0
AIM = 0.5


def marks(results: Iterable[Result]) -> Iterator[Mark]:
    """Each path's marks; one that cannot be judged is unclear."""
    for result in results:
        ratio, coverage = result.ratio, result.coverage
        found = "no estimate" if ratio is None else f"{ratio:.2f}"
        for text, bound in (("at most", MOST), ("aim", AIM)):
            wanted = f"{result.path}: view of us / NTP, RMS: {text} {bound:g}"
            yield Mark(wanted, found, None if ratio is None else ratio <= bound)
        yield Mark(
            f"{result.path}: our bound holds always",
            "no publication" if coverage is None else f"{coverage:.2%}",
            None if coverage is None else coverage == 1.0,
        )
